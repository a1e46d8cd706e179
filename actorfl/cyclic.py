"""What all nodes that act once a period have in common: the time, evaluations, and the gatherer."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from actorfl.attendance import Attendance
from actorfl.flatmodel import Model
from actorfl.gossip.letters import (
    Here,
    LargePush,
    Left,
    Noted,
    Progress,
    Pull,
    Push,
    Shares,
)
from actorfl.graphnode import GraphNode
from actorfl.letters import Show, Shown
from actorfl.mean import Mean
from actorfl.peersampling.topologies import Sampled
from actorfl.periods import length_of
from actorfl.protocol import pack
from actorfl.runtext import RunText
from actorfl.seeds import seed_for
from actorfl.sync import Period
from actorfl.topology import Peers
from actors import ActorRef, Message
from transports import LinkFull, Timer

T = TypeVar("T")

#: Seconds until progress that was not noted is told again.
RETRY: Final = 2.0

#: Seconds between two words to the gatherer that the run is over, once it has heard one.
_REMIND: Final = 20.0

#: Neighbours that a node which is back greets: the answer of one would do, if it were there.
_GREETED: Final = 8

#: Share of a period by which another's word on the time may differ before timers are set anew.
_NEAR: Final = 0.01

#: Share of a period that a job may take in virtual time without that anybody waits for it: it is
#: less than the phases differ by, and each wait is work for the simulation.
_BRIEF: Final = 1e-3

#: Messages on their way at once: a node that sends faster than its transfers end loses the rest.
_UNDER_WAY: Final = 10_000


class Cycle(Message[None]):
    """A node to itself: a period is over."""


class Due(Message[None]):
    """A node to itself: an evaluation is due, or the end."""


class Retry(Message[None]):
    """A node to itself: say again what was not noted."""


class Cyclic(GraphNode):
    """Base of the nodes of a run under ``Period``: what they do is said by subclasses.

    A node begins when the gatherer says that all are there, or a peer shows that it has begun. A
    new incarnation goes on from its save, says to its neighbours that it is there, and learns from
    them what time it is.

    One that joins later, or has left, says and hears nothing but what time it is, and tells the
    gatherer alone where it is. A new incarnation of one that leaves cannot know whether it has by
    now, and does nothing before somebody says what time it is.

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
        assert isinstance(self._run.sync, Period)
        self._period = self._run.sync
        self._length = length_of(self._run.until, self._period.seconds)
        self._attendance = Attendance(
            self._run.stays, self._run.topology.names, self._period.seconds, self._length
        )
        self._planned = bool(self._attendance)  # else all are there, and nobody needs to look
        self._first, self._end = self._attendance.begin(name), self._attendance.end(name)
        self._leaves = self._attendance.leaves(name)
        self._every = self._run.evaluate.every * self._period.seconds
        self._me: ActorRef | None = None  # where to answer, if others have to be told
        self._under_way: dict[int, Timer] = {}
        self._sends = 0  # that were begun, to tell timers apart
        self._counter = 0  # of saves
        self._round = self._sent = self._content = self._merged = self._refused = 0
        self._given_up: frozenset[str] = frozenset()  # nodes that nobody starts again
        topology = self._run.topology
        self._varies = (
            isinstance(topology, Peers) and not isinstance(topology, Sampled) and not topology.fixed
        )
        self._lonely = self._said_so = False
        self._joined = False  # that it takes part, or did
        self._over = False
        self._begun: float | None = None  # when the run began, on this node's clock
        self._sure = True  # whether somebody has said so since, where that decides whether it acts
        self._untold: Progress | None = None

    async def on_start(self) -> None:
        """Load the data and the newest save, say hello, and begin at a random phase."""
        await self._load_data()
        initial = await self._lane.run(self._initial)
        self._layout = initial.layout
        time = await self._load(initial)
        self._start = self.rng.bits(62)
        self._since = self._sent, self._content, self._merged
        if time is not None:
            self._sure = not self._leaves
            self._begin(time)
            if self._joined:
                self._greet(time)
        self._tell(self._progress({}))

    def _drawn(self) -> np.random.Generator:
        """What it draws from: another start has other draws, and repeats nothing."""
        seed = seed_for(self._run.seed, self._name, self._counter, "gossip")
        return np.random.Generator(np.random.PCG64(seed))

    # -- what subclasses say -----------------------------------------------------------------------

    _draw: np.random.Generator

    @abstractmethod
    async def _load(self, initial: Model) -> float | None:
        """Get ready; seconds since the run began at the newest save, or None without one."""

    @abstractmethod
    async def _save(self) -> None:
        """Make durable what it has."""

    @property
    @abstractmethod
    def _model(self) -> Model:
        """What is evaluated and shown."""

    @property
    @abstractmethod
    def _age(self) -> float:
        """Examples that the model has seen, or the node."""

    def _known(self) -> Iterable[ActorRef]:
        """Whom it may greet."""
        return [ref for name, ref in self._neighbours.items() if self._is_of_run(name)]

    def _part_taken(self) -> None:
        """It takes part from now on."""

    def _part_over(self) -> None:
        """It takes part no more, and others do."""

    def _ref_of(self, name: str, said: ActorRef | None) -> ActorRef | None:
        """The actor of a node, which has said where it is unless it is a neighbour."""
        del said
        return self._neighbours.get(name)

    # -- time --------------------------------------------------------------------------------------

    @property
    def _acts(self) -> bool:
        """Whether it takes part: it is of the run, as far as it knows."""
        return self._joined and not self._over

    def _is_of_run(self, name: str) -> bool:
        """Whether another node takes part, as far as it has not failed for good."""
        if name in self._given_up:
            return False
        return not self._planned or self._attendance.there(name, self._time)

    def _there(self, name: str) -> bool:
        """Whether a neighbour takes part, and is not known to be dead."""
        ref = self._neighbours.get(name)
        return ref is not None and ref.node_is_up and self._is_of_run(name)

    def _is_no_sender(self, name: str, ref: ActorRef | None) -> bool:
        """Whether what a node sent is not taken: it has left, and has been away when it was to.

        It is told what time it is. This is rare: the gatherer, too, has been away then.
        """
        if self._is_of_run(name):
            return False
        if ref is not None:
            here = Here(self._identity, self._name, self._time, answer=True, me=self._me)
            self._say(ref, here)
        return True

    def _begin(self, time: float) -> None:
        """The run has begun, so many seconds ago: act from now on, or from when it joins."""
        self._begun = self.clock.now() - time
        self._take_part()
        self._set_due()

    def _take_part(self) -> None:
        """Act at a random phase from now on, if it is its time."""
        near = _NEAR * self._period.seconds
        ended = self._leaves and self._time >= self._end - near
        if self._joined or ended or not self._sure or self._time < self._first - near:
            return
        self._joined = True
        phase = float(self._draw.random()) * self._period.seconds
        self.timers.start("cycle", Cycle(), after=phase, every=self._period.seconds)
        self._part_taken()

    def _greet(self, time: float) -> bool:
        """Say to some neighbours that it is back; they answer what time it is.

        Returns:
            Whether anybody is there.
        """
        there = [ref for ref in self._known() if ref.node_is_up]
        for place in self._draw.permutation(len(there))[:_GREETED]:
            self._say(there[place], Here(self._identity, self._name, time, me=self._me))
        return bool(there)

    async def on_stop(self) -> None:
        """What is on its way is lost with its sender."""
        for timer in self._under_way.values():
            timer.cancel()

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
        if not self._sure:
            self._sure = True
            self._take_part()
            self._set_due()
        elif ahead > _NEAR * self._period.seconds:
            self._set_due()

    def _set_due(self) -> None:
        """Wait until it joins, for the next evaluation, or the end."""
        if self._over:
            return
        time = self._time
        due = self._end
        if not self._joined:
            due = min(due, self._first) if self._sure else due
        elif self._at != "nowhere":
            due = min(due, (int(time / self._every + _NEAR) + 1) * self._every)
        self.timers.start("due", Due(), after=max(0.0, due - time))

    async def due(self, message: Due) -> None:
        """It is to join, or an evaluation is due, or the end."""
        time = self._time
        over = time >= self._end - _NEAR * self._period.seconds
        if not self._joined and not over:
            self._take_part()
            self._set_due()
            return
        reached = int(min(time, self._end) / self._every + _NEAR)
        if over or reached > self._round:
            metrics = await self._metrics()
            self._round = max(self._round, reached)
            if over:
                self._over = True
                self.timers.cancel("cycle")
                if self._leaves:
                    self._part_over()
                await self._save()
            self._tell(self._progress(metrics))
        self._set_due()

    # -- messages ----------------------------------------------------------------------------------

    def _after_transfer(
        self,
        name: str,
        to: ActorRef,
        message: Push | LargePush | Pull | Shares,
        size: int | None = None,
    ) -> None:
        """Send a message once it has left, which takes its time.

        Args:
            name: of the node that it is for.
            to: its actor.
            message: what.
            size: bytes of what is learned in it; None: it asks only, and is not counted.
        """
        if not self._period.transfer:
            self._leave(name, to, message, size)
        elif len(self._under_way) < _UNDER_WAY:
            self._sends += 1
            self._under_way[self._sends] = self.clock.call_later(
                self._period.transfer, self._leave, name, to, message, size, self._sends
            )

    def _leave(
        self,
        name: str,
        to: ActorRef,
        message: Push | LargePush | Pull | Shares,
        size: int | None,
        number: int = 0,
    ) -> None:
        self._under_way.pop(number, None)
        # What is on its way when one of the two leaves is lost, and what is computed meanwhile.
        left = self._leaves and (self._over or self._time >= self._end)
        if left or not self._is_of_run(name):
            return
        message = msgspec.structs.replace(message, time=self._time)
        # What never leaves is not counted.
        if to.node_is_up and self._say(to, message) and size is not None:
            self._sent += 1
            self._content += size

    @staticmethod
    def _say(to: ActorRef, message: Message[Any]) -> bool:
        """Whether it has left; else it is lost, as any message may be."""
        with contextlib.suppress(LinkFull):
            to.tell(message)
            return True
        return False

    def here(self, message: Here) -> None:
        """A neighbour is there."""
        peer = self._ref_of(message.sender, message.me)
        if message.run != self._identity or peer is None:
            return
        self._heard(message.time)
        silent = not self._joined or (self._over and self._leaves)
        if not message.answer and not silent:
            here = Here(self._identity, self._name, self._time, answer=True, me=self._me)
            self._say(peer, here)

    # -- computing ---------------------------------------------------------------------------------

    async def _compute(self, job: Callable[[], T], examples: float | None = None) -> T:
        """Where and when a job is computed; of light ones here, in the virtual time it takes."""
        if self._computes_here(examples):
            return job()
        if not self._engine.light:
            seed = int(self._draw.integers(2**63))
            return await self._lane.run(job, seed=seed, examples=examples)
        work = self.system.world.work
        assert work is not None
        return await work.run(job, examples)

    def _computes_here(self, examples: float | None) -> bool:
        """Whether a job is done where it comes up, with nothing to wait for."""
        if not self._engine.light:
            return False
        work = self.system.world.work
        return work is None or work.takes(examples) < _BRIEF * self._period.seconds

    async def _metrics(self) -> Mapping[str, Mean]:
        test = self._test
        if test is None:
            return {}
        model = self._model
        return await self._compute(
            lambda: self._engine.evaluate(self._task, model.vector, model.buffers, test)
        )

    # -- the gatherer ------------------------------------------------------------------------------

    def _progress(self, metrics: Mapping[str, Mean]) -> Progress:
        return Progress(
            self._identity, self._name, self._round, self._time, dict(metrics), self._age,
            self._sent, self._content, self._merged, self._refused, self._over, self._fingerprint,
            self.ref, self._start, self._since,
        )  # fmt: skip

    def _tell(self, progress: Progress) -> None:
        self._untold = progress
        self._say(self._gatherer, progress)
        self.timers.start("retry", Retry(), after=RETRY, every=RETRY)

    def retry(self, message: Retry) -> None:
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
            rest = self._length - self._time if self._leaves else 0.0  # until others are there
            self.timers.start("retry", Retry(), after=max(_REMIND, rest), every=_REMIND)
        else:
            self._untold = None
            self.timers.cancel("retry")

    def _tell_of_peers(self, there: bool, alone: str = "and goes on by itself") -> None:
        """Say when nobody to talk to is there any more, and when somebody is again.

        Where the graph changes by the round, this is as it should be: there it is said once.
        """
        if there is not self._lonely:
            return
        self._lonely = not there
        if not (self._varies and self._said_so):
            said = "has peers again" if there else f"has no peer that is there, {alone}"
            self.publish("warning", sentence=f"{self._name} {said}")
        self._said_so = True

    def left(self, message: Left) -> None:
        """The gatherer has heard who is lost for good: they are no peers any more."""
        if message.run == self._identity:
            self._given_up = frozenset(message.names) - {self._name}

    def show(self, message: Show) -> None:
        """The gatherer wants the final model."""
        if message.run == self._identity and self._over:
            packed = pack(self._model.vector, self._model.buffers)
            self._say(message.me, Shown(self._identity, self._name, self._layout, packed))
