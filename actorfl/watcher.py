"""The gatherer of a run whose nodes act once a period: it looks on, and nobody waits for it."""

from __future__ import annotations

import json
import logging
import math
import operator
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np

from actorfl import measures, modelfile
from actorfl.attendance import Attendance
from actorfl.errors import BeyondHelp, NothingToResume
from actorfl.flatmodel import Model, Totals
from actorfl.gossip.letters import Left, Noted, Progress
from actorfl.keeper import number
from actorfl.kept import folder_of
from actorfl.letters import Show, Shown
from actorfl.lookingon import RETRY, Header, LookingOn
from actorfl.mean import Mean
from actorfl.protocol import Gone, WhoIsGone, unpack
from actorfl.stay import Stay
from actors import ActorRef, Message

_log = logging.getLogger("actorfl.watcher")

#: Seconds at the end in which a node that is away may come back; it counts from the first end.
_LAST: Final = 30.0

#: Seconds until a run begins though not all nodes are there.
_FIRST: Final = 60.0

#: Share of the time between two evaluations in which the slower ones may tell of theirs.
_PATIENCE: Final = 0.5

#: Seconds without a word of any node after which the monitor is asked who is gone, at least.
_QUIET: Final = 30.0

#: Share of a period by which a node may end too early: timers are no more exact.
_NEAR: Final = 0.02

#: Times that a node is asked for its model, which may be gone by then.
_TRIES: Final = 5

#: Nodes up to which the model of each becomes a file; thousands of files help nobody.
FILES_MAX: Final = 1024


class Counted(Header, frozen=True, array_like=True):
    """What a watcher makes durable with each line that it writes.

    Attributes:
        sent: messages, bytes and merges of each node that the lines have told of.
        origins: of each node its incarnation, and what to add to what this one counts.
        ended: of each node that has come to its end what its save has at least: evaluations, and
            seconds of the run.
    """

    sent: dict[str, tuple[int, int, int]] = msgspec.field(default_factory=dict)
    origins: dict[str, tuple[int, int, int, int]] = msgspec.field(default_factory=dict)
    ended: dict[str, tuple[int, float]] = msgspec.field(default_factory=dict)


class _Begin(Message[None]):
    pass


class _Line(Message[None]):
    pass


class _End(Message[None]):
    pass


class _Quiet(Message[None]):
    pass


class _Retry(Message[None]):
    pass


class Watcher(LookingOn):
    """Writes a line when an evaluation was due, of the nodes that told of theirs; then the models.

    Who joins later is not waited for at the beginning; who has left is in no line after that, and
    its model becomes a file at the end, but is not in the mean.

    Args:
        identity: of the run.
        nodes: their names, in the order of the topology.
        every: periods between two evaluations.
        seconds: of a period.
        strict: whether nodes that do not compute alike end the run.
        monitor: is told of each line of the metrics and of the end.
        length: seconds of the run.
        stays: who joins late or leaves early, as the run has them.

    The storage of its node is the run's directory.
    """

    _header: Counted

    def __init__(
        self,
        *,
        identity: str,
        nodes: tuple[str, ...],
        every: int,
        seconds: float,
        strict: bool,
        monitor: ActorRef,
        length: float,
        stays: tuple[Stay, ...] = (),
    ) -> None:
        super().__init__(identity=identity, nodes=nodes, strict=strict, monitor=monitor)
        self._all = frozenset(nodes)
        self._every = every
        self._seconds = seconds * every
        self._attendance = Attendance(stays, nodes, seconds, length)
        self._awaited = frozenset(n for n in nodes if not self._attendance.begin(n))
        self._leaving = frozenset(n for n in nodes if stays and self._attendance.leaves(n))
        self._header = Counted(identity)
        self._began: float | None = None
        self._told: dict[int, dict[str, Progress]] = {}
        self._latest: dict[str, Progress] = {}
        self._sent: dict[str, tuple[int, int, int]] = {}  # and bytes, and merged
        self._origins: dict[str, tuple[int, int, int, int]] = {}
        self._lined: dict[str, tuple[int, int, int]] = {}  # that the lines have told of
        self._owing = 0  # place of a node that the oldest line waits for
        self._gone: set[str] = set()
        self._last_gone = ""  # of them, and why
        self._finals: dict[str, Progress] = {}
        self._asked: list[str] = []
        self._tries = 0

    async def on_start(self) -> None:
        """Take up the newest snapshot."""
        found = await self._take_up(Counted)
        if found is not None:
            self._header = found
            self._sent, self._lined = dict(found.sent), dict(found.sent)
            self._origins = dict(found.origins)
        self.timers.start("begin", _Begin(), after=_FIRST)
        self._listen()

    async def progress(self, message: Progress) -> None:
        """A node tells where it is.

        Raises:
            NothingToResume: it had come to its end, and goes on from an older save, or from none.
        """
        if message.run != self._identity or message.name not in self._all:
            return
        rounds, time = self._header.ended.get(message.name, (0, 0.0))
        if message.round < rounds or message.time < time:
            reason = (
                f"{message.name} had come to the end of the run, and the save that it made there "
                "is gone; put it back, or start a new run"
            )
            raise NothingToResume(folder_of(message.name), reason)
        self._listen()
        self._compare(message.name, message.fingerprint)
        now = self.clock.now()
        if message.time > 0.0 and (self._began is None or message.time > now - self._began):
            self._began = now - message.time
        known = self._latest.get(message.name)
        if known is None or (message.round, message.final) >= (known.round, known.final):
            self._latest[message.name] = message
        if known is not None and self._began is None:
            self._ask_who_is_gone()  # it waits for somebody who may never come
        self._count(message)
        if self._began is None and self._are_all_there():
            self.begin(_Begin())
        else:
            self._note(message)
        if self._is_for_a_line(message):
            self._told.setdefault(message.round, {})[message.name] = message
            await self._look()
        if message.final and self._finished is None and self._totals is None:
            if message.name not in self._leaving and self._leaving.issuperset(self._finals):
                self.timers.start("end", _End(), after=max(_LAST, self._seconds * _PATIENCE))
            self._finals[message.name] = message
            self._end_if_nobody_is_left()
            await self._end_if_all_have()

    def _are_all_there(self) -> bool:
        """Whether nobody is waited for at the beginning; looked at for each word of a node."""
        if len(self._gone) + len(self._latest) < len(self._awaited):
            return False
        return self._awaited <= self._gone | self._latest.keys()

    def _count(self, message: Progress) -> None:
        """Add up what a node has sent, bytes of it, and merged, over all its incarnations.

        One that goes on from a save counts on from there. What the one before had sent after its
        save counts as far as it was told.
        """
        known = self._sent.get(message.name, (0, 0, 0))
        start, *before = self._origins.get(message.name, (None, 0, 0, 0))
        if start != message.start:
            before = [
                max(total, old + saved) - saved
                for total, old, saved in zip(known, before, message.since, strict=True)
            ]
            self._origins[message.name] = (message.start, before[0], before[1], before[2])
        counts = message.sent, message.content, message.merged
        totals = map(max, known, map(operator.add, before, counts))
        self._sent[message.name] = (next(totals), next(totals), next(totals))

    def _is_for_a_line(self, message: Progress) -> bool:
        """Whether it tells of an evaluation whose line is not written yet."""
        name, rounds = message.name, message.round * self._every
        if not message.metrics or rounds <= self._header.rounds:
            return False
        if message.final and name in self._leaving:
            # Else it has left between two lines.
            return math.isclose(message.round * self._seconds, self._attendance.end(name))
        return self._attendance.counts(name, rounds)

    def _ended(self) -> list[str]:
        """Who has come to the end of the run."""
        return [name for name in self._finals if name not in self._leaving]

    def begin(self, message: _Begin) -> None:
        """All nodes are there, or were waited for: the run begins, unless it has."""
        self.timers.cancel("begin")
        if self._began is None:
            self._began = self.clock.now()
            for known in self._latest.values():
                self._note(known)

    def _note(self, of: Progress) -> None:
        """Tell a node that its progress came, and what time it is."""
        begun = self._began is not None
        time = 0.0 if self._began is None else self.clock.now() - self._began
        self._tell(of.me, Noted(self._identity, of.round, time, of.final, begun))
        if self._gone:  # a node that was away has not heard
            self._tell(of.me, Left(self._identity, tuple(sorted(self._gone))))

    async def line(self, message: _Line) -> None:
        """Who has not told of the oldest evaluation by now is not in its line."""
        self._ask_who_is_gone()
        if self._told and not self._awaits_ends(min(self._told)):
            await self._write(min(self._told))
            await self._look()

    def quiet(self, message: _Quiet) -> None:
        """No node has said a word for long."""
        self._ask_who_is_gone()
        self._end_if_nobody_is_left()

    def _listen(self) -> None:
        after = max(_QUIET, 2 * self._seconds)
        self.timers.start("quiet", _Quiet(), after=after, every=after)

    def _ask_who_is_gone(self) -> None:
        self._tell(self._monitor, WhoIsGone(self._identity, self.ref))

    async def gone(self, message: Gone) -> None:
        """Nobody restarts these nodes any more: the others go on without them.

        Raises:
            BeyondHelp: nobody is left.
        """
        new = sorted(self._all & message.workers.keys() - self._gone)
        if message.run != self._identity or self._totals is not None or not new:
            return
        for name in new:
            self._gone.add(name)
            sentence = f"{name} has left the run for good: {message.workers[name]}"
            self._numerics.unpromised.setdefault(name, "it has left the run for good")
            self.publish("left", worker=name, sentence=sentence)
            self._last_gone = sentence
        left = Left(self._identity, tuple(sorted(self._gone)))
        for name, known in self._latest.items():
            if name not in self._gone:
                self._tell(known.me, left)
        self._end_if_nobody_is_left()
        if self._began is None and self._are_all_there():
            self.begin(_Begin())
        await self._look()
        await self._end_if_all_have()

    def _end_if_nobody_is_left(self) -> None:
        """All are gone for good, or have left as planned."""
        time = 0.0 if self._began is None else self.clock.now() - self._began
        left = {
            name
            for name in self._leaving
            if name in self._finals or time >= self._attendance.end(name)
        }
        if self._gone and self._all == self._gone | left and not self._ended():
            raise BeyondHelp(f"{self._last_gone}; nobody is left, so the run cannot go on")

    async def _end_if_all_have(self) -> None:
        if len(self._gone) + len(self._finals) < len(self._all):
            return  # thousands of nodes end one after the other
        if self._ended() and self._all == self._gone | self._finals.keys():
            await self._over()

    async def end(self, message: _End) -> None:
        """Who has not come to the end by now is away."""
        if self._totals is None and self._finished is None:
            await self._over()

    async def shown(self, message: Shown) -> None:
        """A node shows its final model."""
        try:
            wanted = self._asked[0] if self._asked else ""
            if message.run != self._identity or message.name != wanted or self._totals is None:
                return
            vector, integers, _ = unpack(message.weights)
            message.layout.check(vector)
            if len(self._all) <= FILES_MAX:
                await modelfile.write(
                    self.storage, message.layout, vector, integers,
                    modelfile.of_node(message.name),
                )  # fmt: skip
            if message.name not in self._leaving:
                self._totals.add(Model(message.layout, vector, integers))
        finally:
            message.weights.release()
        await self._next()

    async def retry(self, message: _Retry) -> None:
        """Say again what was not answered."""
        if self._finished is not None:
            # The one message that nobody asks for: the run would never end without it.
            self._tell(self._monitor, self._finished)
        elif self._totals is not None:
            self._tries += 1
            if self._tries >= _TRIES:
                await self._next()
            else:
                self._ask()

    async def _look(self) -> None:
        """Write the lines of which all nodes have told, and wait for those that have not."""
        while self._told:
            oldest = min(self._told)
            if self._is_anybody_owed(oldest):
                break
            await self._write(oldest)
        if not self._told:
            self.timers.cancel("line")
        elif not self.timers.is_active("line") and not self._awaits_ends(min(self._told)):
            self.timers.start("line", _Line(), after=self._seconds * _PATIENCE)

    def _is_anybody_owed(self, at: int) -> bool:
        """Whether a line waits for a node; of thousands each word brings us here.

        So a look goes on at who was missing at the last.
        """
        for _ in self._nodes:
            if self._is_owed(self._nodes[self._owing], at):
                return True
            self._owing = (self._owing + 1) % len(self._nodes)
        return False

    def _is_owed(self, name: str, at: int) -> bool:
        """Whether a node has yet to tell of an evaluation that it takes part in."""
        if name in self._gone or not self._attendance.counts(name, at * self._every):
            return False
        known = self._latest.get(name)
        return known is None or (known.round < at and not known.final)

    def _awaits_ends(self, at: int) -> bool:
        """Whether a line is the last, which has all that come to the end while they may."""
        told = self._told[at]
        return any(each.final for name, each in told.items() if name not in self._leaving)

    async def _write(self, at: int) -> None:
        """Append the line of an evaluation."""
        self.timers.cancel("line")
        told = self._told.pop(at)
        of_nodes = {name: told[name].metrics for name in self._nodes if name in told}
        (sent, content, merged), counted = _added(self._sent), _added(self._lined)
        row: dict[str, Any] = {
            "round": at * self._every,
            **self._measured(of_nodes),
            "nodes": len(told),
            "age": float(np.mean([each.age for each in told.values()])),
            "messages": sent - counted[0],
            "bytes": content - counted[1],
            "merged": merged - counted[2],
            "seconds": at * self._seconds,
        }
        if self._gone:
            row["left"] = sorted(self._gone)
        text = json.dumps(row, allow_nan=False)
        self._lined = dict(self._sent)
        await self._append(at * self._every, text, sent=self._lined, origins=dict(self._origins))

    async def _over(self) -> None:
        """All are at the end; ask for one final model after the other, so that one is held here."""
        self.timers.cancel("end")
        self.timers.cancel("quiet")
        while self._told:
            await self._write(min(self._told))
        self._totals = Totals()
        shown = self._nodes if len(self._all) <= FILES_MAX else self._ended()
        self._asked = [name for name in shown if name in self._finals]
        self.timers.start("retry", _Retry(), after=RETRY, every=RETRY)
        self._ask()

    def _ask(self) -> None:
        self._tell(self._finals[self._asked[0]].me, Show(self._identity, self.ref))

    async def _next(self) -> None:
        """Ask the next one, or end."""
        self._tries = 0
        del self._asked[0]
        self.timers.start("retry", _Retry(), after=RETRY, every=RETRY)
        if self._asked:
            self._ask()
        else:
            near = _NEAR * self._seconds / self._every
            ended = {
                name: (final.round, self._attendance.end(name) - near)
                for name, final in self._finals.items()
            }
            self._header = msgspec.structs.replace(self._header, ended=ended)
            await self._finish({name: self._finals[name].metrics for name in self._ended()})

    def _measured(self, of_nodes: Mapping[str, Mapping[str, Mean]]) -> dict[str, float | None]:
        """Also of the worst node."""
        worst = {name: number(value) for name, value in measures.worst(of_nodes).items()}
        return dict(sorted({**super()._measured(of_nodes), **worst}.items()))


def _added(counts: Mapping[str, tuple[int, int, int]]) -> tuple[int, int, int]:
    sent, content, merged = (sum(each[place] for each in counts.values()) for place in range(3))
    return sent, content, merged
