"""The ledger of a play: what was sent, what became of it, who watched whom, which asks ended when.

It looks on and changes nothing: calls of the runtime go through it to themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from actors import AskError, DeadLetter, NotStarted, Unacknowledged
from actors.cell import Cell
from actors.handling import Envelope
from actors.item import ASK, TELL, Item
from actors.ref import ActorRef
from actors.sending import Sender
from actors.system import ActorSystem
from transports import Link, NodeId, Transfer
from transports.sim import SimNetwork

#: Seconds by which virtual times that are equal may differ: an ask's deadline is a sum of floats.
EQUAL = 1e-6


@dataclass
class Sent:
    """A message that a link has taken.

    Attributes:
        number: of the message on that lane of that link.
        transfer: on the bulk lane.
        handled: how often a handler began with it.
        letters: reasons of its dead letters.
        lost: it waited in a mailbox of a node that crashed.
        orphaned: its sender's node crashed before it was known to have arrived.
    """

    id: int
    source: NodeId
    peer: NodeId
    lane: str
    number: int
    transfer: Transfer | None
    handled: int = 0
    letters: list[str] = field(default_factory=list)
    lost: bool = False
    orphaned: bool = False


@dataclass
class Asked:
    """An ask, and how it ended."""

    id: int
    node: str
    deadline: float
    ended: float | None = None
    outcome: BaseException | int | None = None


@dataclass
class Watching:
    """What one watcher did and was told about one actor, in its own order."""

    cell: Cell
    uid: int
    watches: bool = False
    story: list[str] = field(default_factory=list)


class Ledger:
    """What is known of one play."""

    def __init__(self) -> None:
        self.sent: dict[int, Sent] = {}
        self.asked: list[Asked] = []
        self.watched: dict[tuple[Cell, int], Watching] = {}
        self.systems: list[ActorSystem] = []
        self.crashed: set[NodeId] = set()
        self.unacknowledged: dict[NodeId, list[Unacknowledged]] = {}
        self.letters: dict[NodeId, int] = {}
        self.frozen: dict[str, list[tuple[float, float | None]]] = {}
        self.order: dict[tuple[int, Cell, str], int] = {}
        self._ids = 0
        #: What was seen to be wrong while it happened.
        self.faults: list[str] = []

    def next_id(self) -> int:
        """The id of a new message."""
        self._ids += 1
        return self._ids

    # -- what the cast tells ---------------------------------------------------------------------

    def told(self, key: int) -> None:
        """A tell went through: a link has it, or it is a dead letter already."""
        if key not in self.sent:
            self.faults.append(f"message {key} was told, and nobody has it")

    def handled(self, cell: Cell, message: Any, sender: int) -> None:
        """A handler begins with a message; what still runs after a crash nobody hears of."""
        if cell.system.node in self.crashed:
            return
        sent = self.sent[message.id]
        sent.handled += 1
        key = (sender, cell, sent.lane)
        if self.order.get(key, 0) > message.id:
            self.faults.append(
                f"{cell.path} had message {message.id} after {self.order[key]} of the same sender"
            )
        self.order[key] = message.id

    def watches(self, cell: Cell, uid: int) -> None:
        """An actor watches another."""
        watching = self.watched.setdefault((cell, uid), Watching(cell, uid))
        watching.watches = True
        watching.story.append("watch")

    def unwatches(self, cell: Cell, uid: int) -> None:
        """An actor does not care any more."""
        watching = self.watched.setdefault((cell, uid), Watching(cell, uid))
        watching.watches = False
        watching.story.append("unwatch")

    def terminated(self, cell: Cell, uid: int, reason: str) -> None:
        """An actor is told that one that it watched is gone."""
        watching = self.watched.setdefault((cell, uid), Watching(cell, uid))
        watching.story.append(f"terminated ({reason})")
        if not watching.watches:
            self.faults.append(f"{cell.path} was told once too often: {watching.story}")
        watching.watches = False

    async def ask(self, system: ActorSystem, ref: Any, message: Any, timeout: float) -> None:
        """Ask, and note how it ends."""
        now = asyncio.get_running_loop().time
        asked = Asked(message.id, system.name, now() + timeout)
        self.asked.append(asked)
        try:
            asked.outcome = await ref.ask(message, timeout=timeout)
        except (AskError, asyncio.CancelledError) as error:
            asked.outcome = error
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            asked.ended = now()

    # -- what the runtime is seen to do ----------------------------------------------------------

    def started(self, system: ActorSystem) -> None:
        """A node came up."""
        self.systems.append(system)
        ranges = self.unacknowledged[system.node] = []
        system.events.subscribe(Unacknowledged, ranges.append)
        self.letters[system.node] = 0

        def letter(_event: DeadLetter) -> None:
            self.letters[system.node] += 1

        system.events.subscribe(DeadLetter, letter)

    def left(self, link: Link[Item], item: Item, lane: str, transfer: Transfer | None) -> None:
        """A link took an item."""
        key = id_of(item)
        if key is None:
            return
        channel = link.channel("control")
        number = channel.sending.last + len(channel.queue) if transfer is None else transfer.number
        self.sent[key] = Sent(key, link._node, link.peer, lane, number, transfer)

    def letter(self, system: ActorSystem, entry: Any, reason: str) -> None:
        """A message became a dead letter; what is cleared up after a crash nobody hears of."""
        if system.node in self.crashed:
            return
        key = key_of(entry)
        if key is None:
            return
        if key not in self.sent:  # no link took it
            self.sent[key] = Sent(key, system.node, system.node, "none", 0, None)
        self.sent[key].letters.append(reason)

    def crash(self, name: str) -> None:
        """A node is about to crash: what it holds is lost with it."""
        for system in self.living(name):
            self.crashed.add(system.node)
            for cell in system.cells.values():
                for entry in cell.mailbox:
                    key = key_of(entry)
                    if key is not None:
                        self.sent[key].lost = True
            for sent in self.sent.values():
                if sent.source == system.node and not self._arrived(system, sent):
                    sent.orphaned = True

    def _arrived(self, system: ActorSystem, sent: Sent) -> bool:
        if sent.transfer is not None:
            return sent.transfer.done.done()
        link = system.router.endpoint.link(sent.peer)
        return link is None or sent.number <= link.channel("control").sending.acked

    def living(self, name: str) -> list[ActorSystem]:
        """The system of the node of that name, if it is up."""
        return [s for s in self.systems if s.name == name and s.node not in self.crashed]

    @contextmanager
    def looking_on(self) -> Iterator[None]:
        """See what the runtime does within the block."""
        with pytest.MonkeyPatch.context() as patch:
            start, dead_letter = ActorSystem.start, ActorSystem.dead_letter
            tell = Sender.tell
            send, transfer, crash = Link.send, Link.transfer, SimNetwork.crash

            async def started(system: ActorSystem) -> None:
                self.started(system)
                await start(system)

            def lettered(system: ActorSystem, to: str, entry: Any, reason: str) -> None:
                self.letter(system, entry, reason)
                dead_letter(system, to, entry, reason)

            def sent(link: Link[Item], item: Item, nbytes: int) -> None:
                send(link, item, nbytes)
                self.left(link, item, "control", None)

            def told(sender: Sender, ref: ActorRef, message: Any) -> Transfer | None:
                transfer = tell(sender, ref, message)
                run, own = sender._run, sender._system.router.endpoint.local
                if getattr(message, "id", None) not in self.sent and run.ref is ref:
                    self.left(own, Item(ref.uid, 0, TELL, run.bodies[-1]), "control", None)
                return transfer

            def transferred(link: Link[Item], item: Item, *args: Any, **more: Any) -> Transfer:
                begun = transfer(link, item, *args, **more)
                self.left(link, item, "bulk", begun)
                return begun

            def crashed(network: SimNetwork, name: str) -> None:
                self.crash(name)
                crash(network, name)

            patch.setattr(ActorSystem, "start", started)
            patch.setattr(ActorSystem, "dead_letter", lettered)
            patch.setattr(Link, "send", sent)
            patch.setattr(Sender, "tell", told)
            patch.setattr(Link, "transfer", transferred)
            patch.setattr(SimNetwork, "crash", crashed)
            yield

    # -- the laws --------------------------------------------------------------------------------

    def check_sum(self) -> None:
        """Every message was handled, is a dead letter, or lies in a range; and only one of them.

        A message in a range may have been handled as well: that is what is not known of it.
        """
        assert not self.faults, self.faults
        for sent in self.sent.values():
            # The answer of one that was handled may find no room: said as a letter of its ask.
            letters = [each for each in sent.letters if "answer found no room" not in each]
            assert sent.handled + len(letters) <= 1, f"more than once: {sent}"
            assert sent.handled or letters or self._covered(sent), f"nowhere: {sent}"

    def _covered(self, sent: Sent) -> bool:
        if sent.orphaned:
            return True
        ranges = [
            event
            for event in self.unacknowledged[sent.source]
            if (event.node, event.incarnation) == (sent.peer.name, sent.peer.incarnation)
            and event.lane == sent.lane
            and event.first <= sent.number <= event.last
        ]
        if any(not event.taken for event in ranges):
            return True
        return sent.lost and (sent.source in self.crashed or bool(ranges))

    def check_asks(self, tolerance: float = EQUAL) -> None:
        """Every ask ended by its deadline, and its outcome is what is so."""
        for asked in self.asked:
            assert asked.ended is not None, f"never ended: {asked}"
            limit = asked.deadline
            for since, until in self.frozen.get(asked.node, []):
                if until is not None and since <= limit <= until:
                    limit = until  # nothing of a frozen node goes on
            assert asked.ended <= limit + tolerance, f"late: {asked}"
            sent = self.sent.get(asked.id)
            handled = 0 if sent is None else sent.handled
            if isinstance(asked.outcome, NotStarted):
                assert not handled, f"said not to have been handled: {asked} {sent}"
            elif isinstance(asked.outcome, int):
                assert handled, f"answered by nobody: {asked} {sent}"
                assert asked.outcome == asked.id

    def check_watches(self) -> None:
        """When all is quiet: whoever watches still does so, and whom it watches is alive."""
        alive = {cell: system for system in self.up() for cell in system.cells.values()}
        by_uid = {cell.uid: cell for cell in alive}
        for watching in self.watched.values():
            if watching.cell in alive and watching.watches:
                target = by_uid.get(watching.uid)
                story = f"{watching.cell.path} of {watching.uid:x}: {watching.story}"
                assert target is not None, f"never told: {story}"
                assert watching.cell.uid in target.watchers, f"forgotten: {story}"
        for cell in alive:
            for uid in cell.watchers:
                watcher = by_uid.get(uid)
                assert watcher is not None, f"{cell.path} has a dead watcher {uid:x}"
                told = self.watched[watcher, cell.uid].story
                # One that was taken back and begun anew on its way may find a successor.
                assert cell.uid in watcher.watching or "unwatch" in told, (
                    f"{cell.path} is not watched by {watcher.path}: {told}"
                )
            for uid in (child.uid for child in cell.children):
                assert uid in by_uid, f"{cell.path} has a dead child {uid:x}"

    def up(self) -> list[ActorSystem]:
        """The systems that are not gone."""
        return [s for s in self.systems if s.node not in self.crashed and not s.closed]

    def check_letters(self) -> None:
        """What is counted is what was published."""
        for system in self.systems:
            assert system.statistics().dead_letters == self.letters[system.node]

    def check_left(self) -> None:
        """After the end: a system that was closed keeps nothing."""
        for system in self.systems:
            if system.node in self.crashed:
                continue
            router = system.router
            left = {
                "cells": list(system.cells),
                "top": list(system._top),
                "asks": len(system.asks),
                "stops": len(system.stops),
                "pools": list(system._pools),
                "resends": list(router._resends),
                "queues": list(router.queues),
            }
            assert not any(left.values()), f"{system} keeps {left}"


def key_of(entry: Any) -> int | None:
    """The id of what is in a mailbox; None of what is no message of the cast."""
    item = entry.item if isinstance(entry, Envelope) else entry
    if isinstance(item, Item):
        return id_of(item)
    ours = type(item).__module__ == "tests.actors.machines.cast"
    return getattr(item, "id", None) if ours else None


def id_of(item: Item) -> int | None:
    """The id of a message of the cast; None of anything else."""
    if item.kind not in (TELL, ASK):
        return None
    tag, *fields = msgspec.msgpack.decode(item.body)
    if not tag.startswith("tests.actors.machines.cast:"):
        return None
    return int(fields[0])
