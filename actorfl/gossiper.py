"""The actor of a node of gossip learning: it acts once a period, and trains what it receives."""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine, Iterable
from typing import Any, Final

import numpy as np

from actorfl.algorithms.gossip import Gossip
from actorfl.cyclic import Cycle, Cyclic
from actorfl.engine import Update
from actorfl.errors import BeyondHelp
from actorfl.flatmodel import Model
from actorfl.gossip import saves
from actorfl.gossip.learner import BadParcel, Learned, Learner, Parcel
from actorfl.gossip.letters import LargePush, Pull, Push
from actorfl.gossip.peers import GraphPeers, PeerSource
from actorfl.gossip.saves import Saved
from actorfl.gossip.sends import Coordinates
from actorfl.local import SGD
from actorfl.peersampling.source import SampledPeers
from actorfl.peersampling.words import Join, Leave, PresentView, Waits
from actorfl.runtext import RunText
from actors import ActorRef
from actors.crashpoints import crash_point
from transports import Weights

#: Bytes of values from which on a part travels beside the small messages, not among them.
_LARGE: Final = 32 * 1024


class Gossiper(Cyclic):
    """A node of gossip learning: once a period it sends to a peer, or asks one.

    What it receives it merges, trains for one local loop, and perhaps sends on. It keeps what it
    has learned every so many periods.

    Args:
        sampled: whether a sampler tells it whom it knows; then it has no neighbours, and takes what
            any node of the run sends.
        name, index, run, gatherer, neighbours, at: see ``Cyclic``.
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
        super().__init__(
            name=name, index=index, run=run, gatherer=gatherer, neighbours=neighbours, at=at
        )
        assert isinstance(self._run.algorithm, Gossip)
        self._gossip = self._run.algorithm
        self._sampled = SampledPeers(self.system, self._is_of_run) if sampled else None
        self._peers: PeerSource = self._sampled or GraphPeers(
            self._run.topology, self._name, self._there
        )
        self._me = self.ref if sampled else None
        self._sampler: ActorRef | None = None  # of a run that nodes join and leave
        self._asked: tuple[str, ...] = ()  # whom the sampler would begin with
        self._greets = False  # as soon as it knows somebody
        self._cycles = 0  # of this incarnation
        self._lost = False  # once, what it had learned

    async def _load(self, initial: Model) -> float | None:
        if initial.buffers:
            names = ", ".join(sorted(initial.buffers)[:3])
            raise BeyondHelp(
                f"nodes of Gossip send no integer buffers, and the model has {names}; use "
                "EpidemicLearning under Period, or layers without such, as GroupNorm is"
            )
        self._buffers = initial.buffers
        parts = self._gossip.send.parts
        coordinates = Coordinates(self._layout, parts)
        if parts > max(1, len(coordinates.weights)):
            raise BeyondHelp(
                f"Partitioned(parts={parts}) cuts {len(coordinates.weights)} weights into more "
                "parts than they are; use fewer"
            )
        found = await saves.load(self._snapshots, self._identity)
        if found is None:
            saved = Saved(self._layout, Learned.begun(initial.vector, parts))
        else:
            self._counter, saved = found
        self._round, self._sent, self._content = saved.round, saved.sent, saved.content
        self._merged, self._refused = saved.merged, saved.refused
        self._draw = self._drawn()
        self._learner = Learner(self._gossip, coordinates, saved.learned, self._draw)
        assert isinstance(self._run.local, SGD)
        self._examples = float(self._run.local.examples_of(self._data.examples))
        self._update: Update = self._engine.update(
            self._task, self._data.train, self._run.local, coordinates.part_of
        )
        return None if found is None else saved.time

    @property
    def _model(self) -> Model:
        return Model(self._layout, self._learner.learned.weights, self._buffers)

    @property
    def _age(self) -> float:
        return self._learner.age

    def _known(self) -> Iterable[ActorRef]:
        return self._sampled.refs if self._sampled else super()._known()

    def _greet(self, time: float) -> bool:
        there = super()._greet(time)
        self._greets = self._sampled is not None and not there
        return there

    def view(self, message: PresentView) -> None:
        """The node's sampler tells whom it knows."""
        if self._sampled is None:
            return
        self._sampled.told(message)
        if message.sampler is not None:
            self._sampler = self.system.ref(message.sampler)
        if self._over and self._leaves:
            self._part_over()  # it was restarted, or told in vain
        elif self._greets:
            self._greet(self._time)

    def waits(self, message: Waits) -> None:
        """The node's sampler asks whether to take part."""
        self._sampler, self._asked = message.me, message.names
        if self._over and self._leaves:
            self._part_over()
        elif self._joined:
            self._part_taken()

    def _part_taken(self) -> None:
        if self._sampler is not None:
            away = tuple(name for name in self._asked if not self._is_of_run(name))
            self._say(self._sampler, Join(away))

    def _part_over(self) -> None:
        if self._sampler is not None:
            self._say(self._sampler, Leave())

    # -- sending -----------------------------------------------------------------------------------

    def cycle(self, message: Cycle) -> Coroutine[Any, Any, None] | None:
        """A period is over."""
        if not self._acts:
            return None
        self._cycles += 1
        trained = True
        if self._is_alone():
            if self._given_up:
                self._tell_of_peers(there=False)
            trained = self._train()  # a network of one has nobody to learn from but itself
        elif self._gossip.exchange == "pull":
            if (picked := self._picked()) is not None:
                self._after_transfer(*picked, Pull(self._identity, self._name, 0.0, self._me))
        else:
            part = self._learner.period()
            if part is not None and not self._send(part):
                self._learner.unsent(part)
        saves = self._cycles % self._period.save == 0
        return None if trained and not saves else self._rest_of_cycle(trained, saves)

    async def _rest_of_cycle(self, trained: bool, saves: bool) -> None:
        if not trained:
            await self._train_elsewhere()
        if saves:
            await self._save()

    def _is_alone(self) -> bool:
        """Whether all whom it might ever talk to are not of the run now, or there are none."""
        names = self._neighbours if self._sampled is None else self._run.topology.names
        return not any(name != self._name and self._is_of_run(name) for name in names)

    def _picked(self) -> tuple[str, ActorRef] | None:
        """A peer that is there; without one it waits, and says so."""
        if self._sampled is not None and not self._sampled.heard:
            return None  # it starts with its sampler, and may be the first
        name = self._peers.pick(self._draw, int(self._time / self._period.seconds))
        self._tell_of_peers(name is not None, "and waits")
        ref = None if name is None else self._ref_of(name, None)
        return None if name is None or ref is None else (name, ref)

    def _ref_of(self, name: str, said: ActorRef | None) -> ActorRef | None:
        """The actor of a node, which has said where it is unless it is a neighbour."""
        if self._sampled is None:
            return self._neighbours.get(name)
        return said or self._sampled.ref(name)

    def _send(self, part: int) -> bool:
        picked = self._picked()
        if picked is None:
            return False
        self._push(*picked, self._learner.parcel(part), answer=False)
        return True

    def _push(self, name: str, to: ActorRef, parcel: Parcel, *, answer: bool) -> None:
        if len(parcel.values) < _LARGE:
            push = Push(self._identity, self._name, parcel, 0.0, answer, self._me)
            self._after_transfer(name, to, push, parcel.size)
            return
        values = Weights.of({"values": np.frombuffer(parcel.values, np.uint8)})
        bare = Parcel(b"", parcel.age, parcel.part, parcel.total, parcel.places)
        large = LargePush(self._identity, self._name, bare, 0.0, values, answer, self._me)
        self._after_transfer(name, to, large, parcel.size)

    # -- receiving ---------------------------------------------------------------------------------

    # A light engine computes where it is called. What has nothing to wait for makes no coroutine:
    # those of an exchange were a twentieth of it.

    def push(self, message: Push) -> Coroutine[Any, Any, None] | None:
        """A peer sent a part of its model."""
        if message.run != self._identity:
            return None
        peer = self._ref_of(message.sender, message.me)
        return self._received(message.sender, peer, message.parcel, message.time, message.answer)

    def large_push(self, message: LargePush) -> Coroutine[Any, Any, None] | None:
        """The same, of a large model."""
        try:
            if message.run != self._identity:
                return None
            bare, names = message.parcel, message.values.names()
            values = bytes(message.values["values"]) if "values" in names else b""
        finally:
            message.values.release()
        parcel = Parcel(values, bare.age, bare.part, bare.total, bare.places)
        peer = self._ref_of(message.sender, message.me)
        return self._received(message.sender, peer, parcel, message.time, message.answer)

    def _received(
        self, sender: str, peer: ActorRef | None, parcel: Parcel, time: float, answer: bool
    ) -> Coroutine[Any, Any, None] | None:
        """Merge and train, and perhaps send on; what is left to wait for."""
        self._heard(time)
        if not self._acts or peer is None or self._is_no_sender(sender, peer):
            return None
        if self._gossip.exchange == "push-pull" and not answer:
            with contextlib.suppress(BadParcel):
                self._learner.check(parcel)
                self._push(sender, peer, self._learner.parcel(parcel.part), answer=True)
        self._look_whether_finite()
        try:
            useful = self._learner.merge(parcel)
        except BadParcel as error:
            self._refused += 1
            if self._refused == 1:  # what comes again and again is counted
                sentence = f"{self._name} can make nothing of what {sender} sent: {error}"
                self.publish("warning", sentence=sentence)
            return None
        self._merged += 1
        if not self._train():
            return self._train_and_react(parcel.part, useful)
        self._react(parcel.part, useful)
        return None

    async def _train_and_react(self, part: int, useful: bool) -> None:
        await self._train_elsewhere()
        self._react(part, useful)

    def _react(self, part: int, useful: bool) -> None:
        for _ in range(self._learner.reaction(part, useful)):
            if not self._send(part):
                self._learner.unsent(part)

    def pull(self, message: Pull) -> None:
        """A peer asks for a part of this node's model."""
        peer = self._ref_of(message.sender, message.me)
        if message.run != self._identity or peer is None or self._over:
            return
        self._heard(message.time)
        if not self._acts or self._is_no_sender(message.sender, peer):
            return
        if self._gossip.exchange == "pull":
            parcel = self._learner.parcel(self._learner.following())
            self._push(message.sender, peer, parcel, answer=True)

    def _look_whether_finite(self) -> bool:
        finite = self._learner.finite
        if not finite and not self._lost:
            self._lost = True
            sentence = (
                f"the model of {self._name} is not finite any more, so it takes what it receives "
                "whole; look at its data, or use a smaller lr"
            )
            self.publish("warning", sentence=sentence)
        return finite

    def _train(self) -> bool:
        """One local loop on the node's own data; of what is not finite nothing can be made.

        Returns:
            Whether that is done; else it takes its time, see ``_train_elsewhere``.
        """
        if not self._look_whether_finite():
            return True
        if not self._computes_here(self._examples):
            return False
        learned = self._learner.learned
        learned.weights, learned.ages = self._update(learned.weights, learned.ages, self._draw)
        self._look_whether_finite()
        return True

    async def _train_elsewhere(self) -> None:
        learned = self._learner.learned
        arguments = learned.weights, learned.ages, self._draw
        learned.weights, learned.ages = await self._compute(
            lambda: self._update(*arguments), self._examples
        )
        self._look_whether_finite()

    async def _save(self) -> None:
        self._counter += 1
        saved = Saved(
            self._layout, self._learner.learned, self._time, self._round, self._sent,
            self._content, self._merged, self._refused,
        )  # fmt: skip
        await saves.save(self._snapshots, self._counter, self._identity, saved)
        crash_point("worker.saved", self._cycles)
