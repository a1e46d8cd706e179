"""The actor of a node of gossip learning: it acts once a period, and trains what it receives."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import numpy as np

from actorfl import step
from actorfl.algorithms.gossip import Gossip
from actorfl.engine import Update, engine_of
from actorfl.flatmodel import Buffers
from actorfl.gossip import saves
from actorfl.gossip.learner import BadParcel, Learned, Learner, Parcel
from actorfl.gossip.letters import Here, LargePush, Noted, Progress, Pull, Push
from actorfl.gossip.peers import GraphPeers, PeerSource
from actorfl.gossip.saves import Saved
from actorfl.gossip.sends import Coordinates
from actorfl.kept import folder_of
from actorfl.lane import lane_of
from actorfl.letters import Show, Shown
from actorfl.local import SGD
from actorfl.mean import Mean
from actorfl.peersampling.source import SampledPeers
from actorfl.peersampling.words import PresentView
from actorfl.periods import length_of
from actorfl.protocol import pack
from actorfl.runtext import RunText
from actorfl.seeds import seed_for
from actorfl.sync import Period
from actorfl.task import Dataset, who_of
from actors import Actor, ActorRef, Message
from actors.crashpoints import crash_point
from transports import LinkFull, Timer, Weights

T = TypeVar("T")

#: Seconds until progress that was not noted is told again.
RETRY: Final = 2.0

#: Seconds between two words to the gatherer that the run is over, once it has heard one.
_REMIND: Final = 20.0

#: Bytes of values from which on a part travels beside the small messages, not among them.
_LARGE: Final = 32 * 1024

#: Neighbours that a node which is back greets: the answer of one would do, if it were there.
_GREETED: Final = 8

#: Share of a period by which another's word on the time may differ before timers are set anew.
_NEAR: Final = 0.01

#: Share of a period that a job may take in virtual time without that anybody waits for it: it is
#: less than the phases differ by, and each wait is work for the simulation.
_BRIEF: Final = 1e-3

#: Messages on their way at once: a node that sends faster than its transfers end loses the rest.
_UNDER_WAY: Final = 10_000


class _Cycle(Message[None]):
    pass


class _Due(Message[None]):
    pass


class _Retry(Message[None]):
    pass


class Gossiper(Actor):
    """Holds a node's data and model; once a period it sends to a peer, or asks one.

    It begins when the gatherer says that all are there, or a peer shows that it has begun. What it
    receives it merges, trains for one local loop, and perhaps sends on. It keeps what it
    has learned every so many periods; a new incarnation goes on from there, says to its neighbours
    that it is there, and learns from them what time it is.

    Args:
        name: of the node.
        index: its place in the topology.
        run: what is to be done, and under which identity.
        gatherer: is told how it fares, and what its model is at the end.
        neighbours: by name: all to whom it may ever send, or from whom it may hear.
        at: where models are evaluated.
        sampled: whether a sampler tells it whom it knows; then it has no neighbours, and takes what
            any node of the run sends.
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
        sampled: bool = False,
    ) -> None:
        self._name = name
        self._run = run.read()
        self._identity = run.identity
        self._task = self._run.task.resolved(self._run.base)
        self._engine = engine_of(self._task)
        self._who = who_of(self._run.topology, index)
        self._gatherer = gatherer
        self._neighbours = neighbours
        self._at = at
        self._lane = lane_of(self.system.world, self._task)
        self._snapshots = self.snapshots(folder_of(name))
        assert isinstance(self._run.algorithm, Gossip)
        assert isinstance(self._run.sync, Period)
        assert isinstance(self._run.local, SGD)
        self._gossip = self._run.algorithm
        self._period = self._run.sync
        self._length = length_of(self._run.until, self._period.seconds)
        self._every = self._run.evaluate.every * self._period.seconds
        self._sampled = SampledPeers(self.system) if sampled else None
        self._peers: PeerSource = self._sampled or GraphPeers(self._run.topology, name, self._there)
        self._me = self.ref if sampled else None  # others have to be told
        self._alone = len(self._run.topology.names) == 1 if sampled else not neighbours
        self._greets = False  # as soon as it knows somebody
        self._under_way: dict[int, Timer] = {}
        self._sends = 0  # that were begun, to tell timers apart
        self._cycles = 0  # of this incarnation
        self._round = self._sent = self._content = self._merged = self._refused = 0
        self._waits = False
        self._over = False
        self._begun: float | None = None  # when the run began, on this node's clock
        self._untold: Progress | None = None

    async def on_start(self) -> None:
        """Load the data and the newest save, say hello, and begin at a random phase."""
        crash_point("worker.start")
        seed = step.load_seed(self._run, self._name)
        data = await self._lane.run(step.load, self._run, self._task, self._who, seed=seed)
        self._test: Dataset | None = None
        if self._at == "central":
            self._test = await self._lane.run(self._task.test, seed=seed)
        elif self._at == "workers":
            self._test = data.validation
        self._fingerprint = await self._lane.run(self._engine.fingerprint)
        initial = await self._lane.run(self._engine.initial, self._task, self._run.seed)
        self._layout = initial.layout
        self._buffers: Buffers = initial.buffers
        parts = self._gossip.send.parts
        found = await saves.load(self._snapshots, self._identity)
        if found is None:
            self._counter, saved = 0, Saved(self._layout, Learned.begun(initial.vector, parts))
        else:
            self._counter, saved = found
        self._round, self._sent, self._content = saved.round, saved.sent, saved.content
        self._merged, self._refused = saved.merged, saved.refused
        # Another start has other draws: what followed its save is not repeated.
        draws = seed_for(self._run.seed, self._name, self._counter, "gossip")
        self._draw = np.random.Generator(np.random.PCG64(draws))
        coordinates = Coordinates(self._layout, parts)
        self._learner = Learner(self._gossip, coordinates, saved.learned, self._draw)
        assert isinstance(self._run.local, SGD)
        self._examples = float(self._run.local.examples_of(data.examples))
        self._update: Update = self._engine.update(
            self._task, data.train, self._run.local, coordinates.part_of
        )
        if found is not None:
            self._begin(saved.time)
            self._greet(saved.time)
        self._tell(self._progress({}))

    def _begin(self, time: float) -> None:
        """The run has begun, so many seconds ago: act from now on, at a random phase."""
        self._begun = self.clock.now() - time
        phase = float(self._draw.random()) * self._period.seconds
        self.timers.start("cycle", _Cycle(), after=phase, every=self._period.seconds)
        self._set_due()

    def _greet(self, time: float) -> None:
        """Say to some neighbours that it is back; they answer what time it is."""
        known = self._sampled.refs if self._sampled else [*self._neighbours.values()]
        there = [ref for ref in known if ref.node_is_up]
        for place in self._draw.permutation(len(there))[:_GREETED]:
            self._say(there[place], Here(self._identity, self._name, time, me=self._me))
        self._greets = self._sampled is not None and not there

    def view(self, message: PresentView) -> None:
        """The node's sampler tells whom it knows."""
        if self._sampled is not None:
            self._sampled.told(message)
            if self._greets:
                self._greet(self._time)

    async def on_stop(self) -> None:
        """What is on its way is lost with its sender."""
        for timer in self._under_way.values():
            timer.cancel()

    # -- time ------------------------------------------------------------------------------------

    @property
    def _time(self) -> float:
        """Seconds since the run began, as far as this node knows."""
        return 0.0 if self._begun is None else max(0.0, self.clock.now() - self._begun)

    def _heard(self, time: float) -> None:
        """Whoever has been there for longer knows the time: a node that was away does not."""
        if self._begun is None:
            self._begin(time)
            return
        ahead = time - self._time
        if ahead > 0.0:
            self._begun -= ahead
            if ahead > _NEAR * self._period.seconds:
                self._set_due()

    def _set_due(self) -> None:
        """Wait for the next evaluation, or the end."""
        if self._over:
            return
        time = self._time
        due = self._length
        if self._at != "nowhere":
            due = min(due, (int(time / self._every + _NEAR) + 1) * self._every)
        self.timers.start("due", _Due(), after=max(0.0, due - time))

    async def due(self, message: _Due) -> None:
        """An evaluation is due, or the end."""
        time = self._time
        over = time >= self._length - _NEAR * self._period.seconds
        reached = int(min(time, self._length) / self._every + _NEAR)
        if over or reached > self._round:
            metrics = await self._metrics()
            self._round = max(self._round, reached)
            if over:
                self._over = True
                self.timers.cancel("cycle")
                await self._save()
            self._tell(self._progress(metrics))
        self._set_due()

    # -- sending ---------------------------------------------------------------------------------

    async def cycle(self, message: _Cycle) -> None:
        """A period is over."""
        if self._over:
            return
        self._cycles += 1
        if self._alone:
            await self._train()  # a network of one node has nobody to learn from but itself
        elif self._gossip.exchange == "pull":
            if (peer := self._picked()) is not None:
                self._after_transfer(peer, Pull(self._identity, self._name, 0.0, self._me))
        else:
            part = self._learner.period()
            if part is not None and not self._send(part):
                self._learner.unsent(part)
        if self._cycles % self._period.save == 0:
            await self._save()

    def _picked(self) -> ActorRef | None:
        """A peer that is there; without one it waits, and says so."""
        if self._sampled is not None and not self._sampled.heard:
            return None  # it starts with its sampler, and may be the first
        name = self._peers.pick(self._draw, int(self._time / self._period.seconds))
        if (name is None) != self._waits:
            self._waits = name is None
            said = "has no peer that is there, and waits" if self._waits else "has peers again"
            self.publish("warning", sentence=f"{self._name} {said}")
        return None if name is None else self._ref_of(name, None)

    def _ref_of(self, name: str, said: ActorRef | None) -> ActorRef | None:
        """The actor of a node, which has said where it is unless it is a neighbour."""
        if self._sampled is None:
            return self._neighbours.get(name)
        return said or self._sampled.ref(name)

    def _there(self, name: str) -> bool:
        ref = self._neighbours.get(name)
        return ref is not None and ref.node_is_up

    def _send(self, part: int) -> bool:
        peer = self._picked()
        if peer is None:
            return False
        self._push(peer, self._learner.parcel(part), answer=False)
        return True

    def _push(self, to: ActorRef, parcel: Parcel, *, answer: bool) -> None:
        self._sent += 1
        self._content += parcel.size
        if len(parcel.values) < _LARGE:
            self._after_transfer(
                to, Push(self._identity, self._name, parcel, 0.0, answer, self._me)
            )
            return
        values = Weights.of({"values": np.frombuffer(parcel.values, np.uint8)})
        bare = Parcel(b"", parcel.age, parcel.part, parcel.total, parcel.places)
        self._after_transfer(
            to, LargePush(self._identity, self._name, bare, 0.0, values, answer, self._me)
        )

    def _after_transfer(self, to: ActorRef, message: Push | LargePush | Pull) -> None:
        """Send a message once it has left, which takes its time."""
        if not self._period.transfer:
            self._leave(to, message)
        elif len(self._under_way) < _UNDER_WAY:
            self._sends += 1
            self._under_way[self._sends] = self.clock.call_later(
                self._period.transfer, self._leave, to, message, self._sends
            )

    def _leave(self, to: ActorRef, message: Push | LargePush | Pull, number: int = 0) -> None:
        self._under_way.pop(number, None)
        time = self._time
        if isinstance(message, Push):
            message = Push(
                message.run, message.sender, message.parcel, time, message.answer, message.me
            )
        elif isinstance(message, Pull):
            message = Pull(message.run, message.sender, time, message.me)
        if to.node_is_up:
            self._say(to, message)

    @staticmethod
    def _say(to: ActorRef, message: Message[Any]) -> None:
        with contextlib.suppress(LinkFull):  # it is lost, as any message may be
            to.tell(message)

    # -- receiving -------------------------------------------------------------------------------

    async def push(self, message: Push) -> None:
        """A peer sent a part of its model."""
        if message.run == self._identity:
            peer = self._ref_of(message.sender, message.me)
            await self._received(message.sender, peer, message.parcel, message.time, message.answer)

    async def large_push(self, message: LargePush) -> None:
        """The same, of a large model."""
        try:
            if message.run != self._identity:
                return
            bare, names = message.parcel, message.values.names()
            values = bytes(message.values["values"]) if "values" in names else b""
        finally:
            message.values.release()
        parcel = Parcel(values, bare.age, bare.part, bare.total, bare.places)
        peer = self._ref_of(message.sender, message.me)
        await self._received(message.sender, peer, parcel, message.time, message.answer)

    async def _received(
        self, sender: str, peer: ActorRef | None, parcel: Parcel, time: float, answer: bool
    ) -> None:
        self._heard(time)
        if self._over or peer is None:
            return
        if self._gossip.exchange == "push-pull" and not answer:
            with contextlib.suppress(BadParcel):
                self._learner.check(parcel)
                self._push(peer, self._learner.parcel(parcel.part), answer=True)
        try:
            useful = self._learner.merge(parcel)
        except BadParcel as error:
            self._refused += 1
            if self._refused == 1:  # what comes again and again is counted
                sentence = f"{self._name} can make nothing of what {sender} sent: {error}"
                self.publish("warning", sentence=sentence)
            return
        self._merged += 1
        await self._train()
        for _ in range(self._learner.reaction(parcel.part, useful)):
            if not self._send(parcel.part):
                self._learner.unsent(parcel.part)

    def pull(self, message: Pull) -> None:
        """A peer asks for a part of this node's model."""
        peer = self._ref_of(message.sender, message.me)
        if message.run != self._identity or peer is None or self._over:
            return
        self._heard(message.time)
        if self._gossip.exchange == "pull":
            self._push(peer, self._learner.parcel(self._learner.following()), answer=True)

    def here(self, message: Here) -> None:
        """A neighbour is there."""
        peer = self._ref_of(message.sender, message.me)
        if message.run != self._identity or peer is None:
            return
        self._heard(message.time)
        if not message.answer:
            here = Here(self._identity, self._name, self._time, answer=True, me=self._me)
            self._say(peer, here)

    async def _train(self) -> None:
        """One local loop on the node's own data."""
        learned = self._learner.learned
        arguments = learned.weights, learned.ages, self._draw
        learned.weights, learned.ages = await self._compute(
            lambda: self._update(*arguments), self._examples
        )

    async def _compute(self, job: Callable[[], T], examples: float | None = None) -> T:
        """Where and when a job is computed; of light ones here, in the virtual time it takes."""
        if not self._engine.light:
            seed = int(self._draw.integers(2**63))
            return await self._lane.run(job, seed=seed, examples=examples)
        work = self.system.world.work
        if work is None or work.takes(examples) < _BRIEF * self._period.seconds:
            return job()
        return await work.run(job, examples)

    async def _metrics(self) -> Mapping[str, Mean]:
        test = self._test
        if test is None:
            return {}
        weights = self._learner.learned.weights
        return await self._compute(
            lambda: self._engine.evaluate(self._task, weights, self._buffers, test)
        )

    async def _save(self) -> None:
        self._counter += 1
        saved = Saved(
            self._layout, self._learner.learned, self._time, self._round, self._sent,
            self._content, self._merged, self._refused,
        )  # fmt: skip
        await saves.save(self._snapshots, self._counter, self._identity, saved)
        crash_point("worker.saved", self._cycles)

    # -- the gatherer ----------------------------------------------------------------------------

    def _progress(self, metrics: Mapping[str, Mean]) -> Progress:
        return Progress(
            self._identity, self._name, self._round, self._time, dict(metrics), self._learner.age,
            self._sent, self._content, self._merged, self._refused, self._over, self._fingerprint,
            self.ref,
        )  # fmt: skip

    def _tell(self, progress: Progress) -> None:
        self._untold = progress
        self._say(self._gatherer, progress)
        self.timers.start("retry", _Retry(), after=RETRY, every=RETRY)

    def retry(self, message: _Retry) -> None:
        """Say again what was not noted."""
        if self._untold is not None:
            self._say(self._gatherer, self._untold)

    def noted(self, message: Noted) -> None:
        """The gatherer has heard."""
        if message.run != self._identity or not message.begun:
            return
        self._heard(message.time)
        told = self._untold
        if told is None or message.round < told.round or message.final < told.final:
            return
        if told.final:  # a gatherer that is restarted has forgotten who is at the end
            self.timers.start("retry", _Retry(), after=_REMIND, every=_REMIND)
        else:
            self._untold = None
            self.timers.cancel("retry")

    def show(self, message: Show) -> None:
        """The gatherer wants the final model."""
        if message.run == self._identity and self._over:
            packed = pack(self._learner.learned.weights, self._buffers)
            self._say(message.me, Shown(self._identity, self._name, self._layout, packed))
