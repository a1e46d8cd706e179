"""The actor of a node without a centre: its program runs as a task beside its mailbox."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from copy import copy
from typing import Any, Final

import numpy as np

from actorfl import letters, memo, parcel, peerstate, step
from actorfl.algorithm import Scalar
from actorfl.delivery import Inbox, Kept, Outbox, Tag, Ways
from actorfl.engine import engine_of
from actorfl.errors import ConfigError, NothingToResume, ProgramFailed, WrongValue
from actorfl.flatmodel import Model
from actorfl.graphnode import GraphNode
from actorfl.kept import folder_of
from actorfl.layout import LayoutError
from actorfl.letters import Letter, Note, Offer, Report, Reported, Show, Shown, Standing, Told
from actorfl.local import SGD
from actorfl.mean import Mean
from actorfl.nodes import Me, NothingReceived, NotTaken, Received
from actorfl.pairexchanges import PairExchanges
from actorfl.pairfitting import fitted
from actorfl.pairrounds import Correction, PairRounds, rounds_of
from actorfl.parcel import Parcel
from actorfl.peerstate import Saved
from actorfl.protocol import pack
from actorfl.runtext import RunText
from actorfl.seeds import seed_for
from actorfl.sync import ASP
from actorfl.task import Dataset
from actorfl.terms import Array
from actorfl.topology import Peers
from actorfl.traffic import Traffic
from actors import ActorRef, Message
from actors.crashpoints import crash_point
from actors.quantities import is_finite
from transports import LinkFull, Transfer, Weights

#: Seconds until what was not answered is said again: a few bytes to a neighbour, and a letter only
#: where it did not come.
RETRY: Final = 0.25


# Rounds that are told together, where nothing was measured in them.
_AT_ONCE: Final = 16


class _Retry(Message[None]):
    pass


class _Returned(Message[None]):
    pass


class Peer(GraphNode):
    """Holds a node's data and model, runs its program, keeps and receives its letters.

    Its arguments are those of ``GraphNode``.
    """

    def __init__(
        self,
        *,
        name: str,
        index: int,
        run: RunText,
        gatherer: ActorRef,
        neighbours: dict[str, ActorRef],
        at: str,
    ) -> None:
        super().__init__(
            name=name, index=index, run=run, gatherer=gatherer, neighbours=neighbours, at=at
        )
        self._outbox: Outbox[Weights] = Outbox()
        self._inbox: Inbox[Parcel] = Inbox()
        self._ways = Ways()
        self._showing: Transfer | None = None
        self._changed = asyncio.Event()  # a letter came, or one that was kept is safe
        self._rounds = 0  # that are saved
        self._round = 0  # that a save made now says are done
        self._fits = 0
        self._loss = Mean()
        self._traffic = Traffic()  # of the round that is under way
        self._told: tuple[Told, ...] = ()
        self._fresh: tuple[Told, ...] = ()  # of rounds that no save tells of yet
        self._heard = False  # of the gatherer
        self._final: Mapping[str, Mean] | None = None
        self._measured: tuple[Model, Mapping[str, Mean]] | None = None

    async def on_start(self) -> None:
        """Load the data and the newest save, then run the program."""
        await self._load_data()
        saved = await peerstate.load(self._snapshots, self._identity)
        if saved is None:
            saved = Saved(0, await self._lane.run(self._initial))
        self._layout = saved.weights.layout
        self._outbox = Outbox(saved.kept, saved.saves)
        self._inbox = Inbox(saved.known)
        self._rounds = self._round = saved.rounds
        self._told = saved.told
        self._loss = saved.loss
        self._traffic = saved.traffic
        more = rounds_of(self._run) > saved.rounds  # a run that is resumed to go on
        self._final = None if more else saved.final
        topology = self._run.topology
        assert isinstance(topology, Peers)
        self._me = Me(
            self, name=self._name, index=self._who.index,
            neighbours=topology.neighbours(self._name),
            examples=self._data.examples, seed=self._run.seed, weights=saved.weights,
            state=saved.state,
        )  # fmt: skip
        self._tell()
        self.timers.start("retry", _Retry(), after=RETRY, every=RETRY)
        if self._final is None:
            self.pipe_to_self(self._program(), lambda _: _Returned())

    async def _program(self) -> None:
        """The person's program or ours, and the save that makes its end durable."""
        if self._run.node is not None:
            try:
                await self._run.node.run(self._me)
            except ConfigError as error:  # all has started, so that it is no configuration's
                raise ProgramFailed(str(error)) from error
        elif isinstance(self._run.sync, ASP):
            await PairExchanges(self._run, self._layout).go(self)
        else:
            await PairRounds(self._run, self._layout).go(self)
        await self._save(final=True)

    def returned(self, message: _Returned) -> None:
        """The program has ended; what it sent is still kept here."""
        self._tell()

    # -- what the program calls --------------------------------------------------------------------

    def rounds(self, count: int) -> Iterator[int]:
        """See ``Me.rounds``."""
        for number in range(self._round, count):
            self._round = number + 1
            self._fits = 0
            yield number

    @property
    def current(self) -> int:
        """The round that is under way, from 0."""
        return max(0, self._round - 1)

    async def fit(
        self, start: Model, local: SGD | None, correct: Correction | None = None
    ) -> Model:
        """See ``Me.fit``, and ``pairrounds.Host.fit``."""
        settings = self._run.local if local is None else local
        assert isinstance(settings, SGD), "refused by Run"
        self._check(start)
        purpose = f"fit{self._fits}" if self._fits else "fit"
        self._fits += 1
        clock = self.current
        self.publish("fit", worker=self._name, clock=clock, version=self._outbox.epoch)
        seed = seed_for(self._run.seed, self._name, clock, purpose)
        trained, loss = await self._lane.run(
            self._trained, start, settings, seed, clock, correct,
            seed=step.step_seed(self._run, self._name, clock),
            examples=float(settings.examples_of(self._data.examples)),
        )  # fmt: skip
        self._loss += loss
        return trained

    def _trained(
        self, start: Model, local: SGD, seed: int, clock: int, correct: Correction | None
    ) -> tuple[Model, Mean]:
        result = fitted(
            self._task, self._data, self._name, start,
            local=local, seed=seed, number=clock, correct=correct,
        )  # fmt: skip
        return Model(start.layout, result.vector, result.buffers), result.loss

    async def send(
        self,
        to: str,
        weights: Model | None,
        tag: Tag,
        timeout: float,
        content: Mapping[str, Array | Scalar],
    ) -> None:
        """See ``Me.send``."""
        _check_timeout("send", timeout)
        if weights is not None:
            self._check(weights)
        self._neighbour(to)
        if (wrong := letters.check_tag(tag)) is not None:
            raise WrongValue("a tag of a node's send", wrong, tag)
        try:
            async with asyncio.timeout(timeout):
                while self._outbox.waiting(to) >= letters.MOST_KEPT:
                    await self.changed()
        except TimeoutError:
            msg = (
                f"{self._name} waited {timeout:g} s to send {to} more, which has saved none of the "
                f"{letters.MOST_KEPT} letters kept for it; let {to} receive and save more often, "
                "or give send a longer timeout"
            )
            raise NotTaken(msg) from None
        kept = self._outbox.put(to, tag, parcel.packed(weights, content))
        if kept is None:
            need = f"one that nothing is kept under for {to}; each send has its own"
            raise WrongValue("a tag of a node's send", need, tag)
        self._traffic.count(kept.content.nbytes)
        self._post(kept)

    async def receive(self, tag: Tag, sender: str | None, timeout: float) -> Received:
        """See ``Me.receive``."""
        _check_timeout("receive", timeout)
        if sender is not None:
            self._neighbour(sender)
        try:
            async with asyncio.timeout(timeout):
                while (found := self._inbox.receive(tag, sender)) is None:
                    await self.changed()
        except TimeoutError:
            whom = "any neighbour" if sender is None else sender
            msg = (
                f"{self._name} waited {timeout:g} s for tag {tag!r} of {whom}, and nothing came; "
                "give receive a longer timeout, or see why nobody sends it"
            )
            raise NothingReceived(msg) from None
        of, came = found
        return Received(
            of, tag, self._me.weights if came.model is None else came.model, came.content
        )

    async def save(self) -> None:
        """See ``Me.save``."""
        await self._save(final=False)

    def _check(self, weights: Model) -> None:
        if not isinstance(weights, Model):
            raise WrongValue("the weights of a node", "a Model, as me.weights is", weights)
        if weights.layout != self._layout:
            raise LayoutError(f"these weights are not of the layout of {self._name}'s model")
        self._layout.check(weights.vector)

    def _neighbour(self, name: str) -> ActorRef:
        found = self._neighbours.get(name)
        if found is None:
            need = f"one of {', '.join(self._neighbours)}"
            raise WrongValue(f"a neighbour of {self._name}", need, name)
        return found

    # -- what our own program of rounds calls, see ``pairrounds.Host`` -----------------------------

    @property
    def me(self) -> Me:
        """See ``pairrounds.Host``."""
        return self._me

    async def hold(self, to: str, content: Weights, tag: Tag) -> None:
        """See ``pairrounds.Host``."""
        while self._outbox.waiting(to) >= letters.MOST_KEPT:
            await self.changed()
        if self._outbox.hold(to, tag, content) is None:
            raise ValueError(f"something is kept for {to} under {tag!r} already")
        self._traffic.count(content.nbytes)

    def poll(self, tag: Tag, sender: str) -> Parcel | None:
        """See ``pairrounds.Host``."""
        found = self._inbox.receive(tag, sender)
        return None if found is None else found[1]

    def first(self) -> tuple[str, Tag, Parcel] | None:
        """See ``pairexchanges.ExchangeHost``."""
        return self._inbox.first()

    async def changed(self) -> None:
        """Wait until a letter came, or one that was kept is safe."""
        self._changed.clear()
        await self._changed.wait()

    async def ended(self, number: int, weights: Model) -> None:
        """See ``pairrounds.Host``."""
        told = await self._told_of(weights, number)
        self._fresh = (*self._fresh, told)
        self._loss, self._traffic = Mean(), self._traffic.without(told.traffic)

    async def keep(self, rounds: int, state: Mapping[str, Array | Scalar]) -> None:
        """See ``pairrounds.Host``."""
        self._me.state = dict(state)
        await self._save(rounds=rounds)

    # -- saving ------------------------------------------------------------------------------------

    async def _told_of(self, weights: Model, number: int) -> Told:
        due = self._at != "nowhere" and (number + 1) % self._run.evaluate.every == 0
        metrics = await self._metrics(weights, number) if due else {}
        return Told(number, self._loss, dict(metrics), copy(self._traffic))

    async def _save(self, *, final: bool = False, rounds: int | None = None) -> None:
        """Make all durable.

        Args:
            final: whether the program has ended.
            rounds: that are done; without it also the one that is under way.
        """
        me, amid = self._me, rounds is not None
        rounds = self._round if rounds is None else rounds
        weights, state = me.weights, dict(me.state)
        self._check(weights)
        fresh, sent = self._fresh, Traffic()
        if not (fresh or amid) and rounds > self._rounds:
            fresh = (await self._told_of(weights, rounds - 1),)
            sent = fresh[0].traffic
        told = (*self._told, *fresh)
        found = await self._metrics(weights, max(0, rounds - 1)) if final else None
        known = self._inbox.to_save()
        kept = self._outbox.to_save()
        loss, traffic = self._loss if amid else Mean(), self._traffic.without(sent)
        await peerstate.save(
            self._snapshots, self._identity,
            Saved(
                rounds, weights, state, self._outbox.epoch + 1, kept, known, told, found, loss,
                traffic,
            ),
        )  # fmt: skip
        crash_point("worker.saved", max(0, rounds - 1))
        if fresh and not amid:
            self._loss = Mean()
        self._traffic = self._traffic.without(sent)
        self._rounds, self._told, self._fresh, self._final = rounds, told, (), found
        free, taken = self._outbox.saved(kept), self._inbox.saved(known)
        for one in free:
            self._post(one, tuple(taken.pop(one.to, ())))
        for sender, tags in taken.items():
            self._answer(self._neighbours[sender], taken=tuple(tags))
        # Rounds of milliseconds are told some at a time, at the latest with the next retry.
        if not amid or len(told) >= _AT_ONCE or any(one.metrics for one in fresh):
            self._tell()

    async def _metrics(self, weights: Model, last: int) -> Mapping[str, Mean]:
        """How good a model is; measured once where it is the same as before."""
        if self._test is None:
            return {}
        if self._measured is not None and _same(self._measured[0], weights):
            return self._measured[1]
        seed = seed_for(self._run.seed, self._name, last, "evaluate")
        found = await self._lane.run(self._measure, weights, self._test, seed=seed)
        self._measured = (weights, found)
        return found

    def _measure(self, weights: Model, data: Dataset) -> dict[str, Mean]:
        vector, buffers = weights.vector, weights.buffers
        return memo.recalled(
            "evaluate", lambda: engine_of(self._task).evaluate(self._task, vector, buffers, data),
            self._name, weights.vector, dict(weights.buffers),
        )  # fmt: skip

    # -- letters -----------------------------------------------------------------------------------

    def note(self, message: Note) -> None:
        """A neighbour sent something, and has some of mine."""
        if message.run == self._identity and message.sender in self._neighbours:
            self._is_safe(message.sender, message.taken)
            self._changed.set()
        self._came(message)

    def letter(self, message: Letter) -> None:
        """A neighbour sent something."""
        self._came(message)

    def _came(self, message: Letter | Note) -> None:
        try:
            me = self._neighbours.get(message.sender)
            if message.run != self._identity or me is None:
                return
            self._inbox.forget(message.sender, message.floor)
            state = self._inbox.state(message.sender, message.tag, message.epoch)
            if state == "taken":
                self._answer(me, taken=(message.tag,))
            # A sender keeps no more, so more are none of ours; they come again once there is room.
            elif state == "missing" and self._inbox.waiting(message.sender) < letters.MOST_KEPT:
                came = parcel.unpacked(message.weights, self._layout)
                self._inbox.arrived(message.sender, message.tag, message.epoch, came)
                self._changed.set()
        finally:
            message.weights.release()

    def offer(self, message: Offer) -> None:
        """A neighbour asks what of its letters is here."""
        me = self._neighbours.get(message.sender)
        if message.run != self._identity or me is None:
            return
        self._inbox.forget(message.sender, message.floor)
        states = [
            (tag, self._inbox.state(message.sender, tag, epoch)) for tag, epoch in message.kept
        ]
        self._answer(
            me,
            taken=tuple(tag for tag, state in states if state == "taken"),
            missing=tuple(tag for tag, state in states if state == "missing"),
        )

    def standing(self, message: Standing) -> None:
        """A neighbour says where my letters are."""
        if message.run != self._identity or message.name not in self._neighbours:
            return
        self._is_safe(message.name, message.taken)
        for tag in message.missing:
            kept = self._outbox.get(message.name, tag)
            if kept is not None:
                self._post(kept)
        self._changed.set()

    def _answer(
        self, to: ActorRef, *, taken: tuple[Tag, ...], missing: tuple[Tag, ...] = ()
    ) -> None:
        most = letters.MOST_KEPT
        for at in range(0, max(len(taken), len(missing), 1), most):
            some = Standing(
                self._identity, self._name, taken[at : at + most], missing[at : at + most]
            )
            self._say(to, some)

    def _is_safe(self, name: str, tags: tuple[Tag, ...]) -> None:
        """A neighbour has these letters safe."""
        self._outbox.taken(name, tags)
        self._ways.forget(name, tags)

    def _post(self, kept: Kept[Weights], taken: tuple[Tag, ...] = ()) -> None:
        """Send a letter, unless it is on its way already; it may say what of theirs is safe."""
        if self._ways.under_way(kept.to, kept.tag):
            return
        letter: Letter | Note = Letter(
            self._identity, self._name, kept.tag, kept.epoch, self._outbox.floor(kept.to),
            kept.content, self.ref,
        )  # fmt: skip
        if taken:
            most = letters.MOST_KEPT  # of more they ask again
            letter = Note(
                letter.run, letter.sender, letter.tag, letter.epoch, letter.floor, letter.weights,
                letter.me, taken[:most],
            )  # fmt: skip
        with contextlib.suppress(LinkFull):  # then when it is missed
            sent = self._neighbours[kept.to].send(letter)
            if sent is not None:
                self._ways.leaves(kept.to, kept.tag, sent.done)

    # -- the gatherer ------------------------------------------------------------------------------

    def reported(self, message: Reported) -> None:
        """The lines of these rounds are written.

        Raises:
            NothingToResume: this node had saved more than it goes on from. Its neighbours no longer
                keep what it received since, so it would wait for that in vain.
        """
        if message.run != self._identity:
            return
        self._heard = True
        if message.rounds > self._rounds and self._final is None:
            reason = (
                f"the lines of {message.rounds} rounds are written, and {self._name} has the saves "
                f"of {self._rounds}; put the others back, or start a new run"
            )
            raise NothingToResume(folder_of(self._name), reason)
        self._told = tuple(one for one in self._told if one.round >= message.rounds)

    def show(self, message: Show) -> None:
        """The gatherer wants the final model."""
        if message.run != self._identity or self._final is None:
            return
        if self._showing is not None and not self._showing.done.done():
            return
        weights = self._me.weights
        packed = pack(weights.vector, weights.buffers)
        with contextlib.suppress(LinkFull):  # it is asked for again
            self._showing = message.me.send(
                Shown(self._identity, self._name, weights.layout, packed)
            )

    def retry(self, message: _Retry) -> None:
        """Say again what was not answered."""
        self._ways.look()
        for name, ref in self._neighbours.items():
            kept = [one for one in self._outbox.for_(name) if self._ways.is_due(name, one.tag)]
            if kept:
                floor = self._outbox.floor(name)
                tags = peerstate.tags_of(kept)
                self._say(ref, Offer(self._identity, self._name, tags, floor, self.ref))
        if self._told or self._final is not None or not self._heard:
            self._tell()

    def _tell(self) -> None:
        told = self._told[: letters.MOST_TOLD]
        final = None if self._final is None else dict(self._final)
        self._say(
            self._gatherer,
            Report(
                self._identity, self._name, self._rounds, told, final, self._fingerprint, self.ref
            ),
        )

    @staticmethod
    def _say(to: ActorRef, message: Message[Any]) -> None:
        with contextlib.suppress(LinkFull):  # it is said again
            to.tell(message)


def _check_timeout(of: str, timeout: float) -> None:
    if not (is_finite(timeout) and timeout > 0):
        raise WrongValue(f"`timeout` of a node's {of}", "seconds, finite and above 0", timeout)


def _same(one: Model, other: Model) -> bool:
    return np.array_equal(one.vector, other.vector) and all(
        np.array_equal(array, other.buffers[name]) for name, array in one.buffers.items()
    )
