"""Bugs of who is believed: workers that are killed, and a keeper that hears of them late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from actorfl.chaos import laws
from actorfl.roster import Answer, Phase, Verdict
from actorfl.rounds import Rounds
from actorfl.sync import BSP
from actorfl.witness import Act
from actors import (
    Actor,
    ActorGraph,
    ActorRef,
    Backoff,
    Message,
    Process,
    Simulated,
    one_for_one,
)
from actors.testing.chaos import Evidence, Scenario

ROSTER = ("w0", "w1")
CLOCKS = 4
#: Seconds of a clock: so long, a part of the incarnation before may come meanwhile.
COMPUTES = 0.4
ASKS = 0.1


# -- trust an old incarnation ----------------------------------------------------------------------


class Trusting(Rounds):
    """Whoever speaks is taken for the one of today."""

    def _heard(self, worker: str, incarnation: int) -> Verdict | None:
        latest = self.incarnations.get(worker, -1)
        return super()._heard(worker, max(latest, incarnation))


# -- the scenario ----------------------------------------------------------------------------------


class Ready(Message[None]):
    worker: str
    incarnation: int
    me: ActorRef


class Go(Message[None]):
    clock: int


class Part(Message[None]):
    worker: str
    incarnation: int
    clock: int
    me: ActorRef


class Settled(Message[None]):
    clock: int


class Again(Message[None]):
    pass


class Computed(Message[None]):
    clock: int


class Keeper(Actor):
    """Does with ``Rounds`` what an aggregator does, and nothing else."""

    def __init__(
        self, rounds: Callable[[], Rounds], note: Callable[[Act], None], ended: Callable[[], None]
    ) -> None:
        self._rounds = rounds()
        self._note = note
        self._ended = ended
        self._workers: dict[str, ActorRef] = {}

    def ready(self, message: Ready) -> None:
        rounds = self._rounds
        self._note(Act("heard", 0, rounds.clock, message.worker, message.incarnation))
        answer = rounds.ready(message.worker, message.incarnation, 1)
        if answer is Answer.FENCED:
            return
        self._workers[message.worker] = message.me
        if answer is Answer.GATHER and rounds.gathered:
            self._open(0)
        elif answer is Answer.GO:
            message.me.tell(Go(rounds.clock))

    def put(self, message: Part) -> None:
        rounds, clock = self._rounds, message.clock
        self._note(Act("heard", 0, rounds.clock, message.worker, message.incarnation))
        verdict = rounds.put(message.worker, message.incarnation, clock, clock)
        if verdict is Verdict.FOLD:
            rounds.arrived.add(message.worker)
            self._note(Act("merged", 0, clock, message.worker, message.incarnation))
        if verdict in (Verdict.FOLD, Verdict.AGAIN):
            message.me.tell(Settled(clock))
        if rounds.complete():
            self._open(clock + 1)

    def _open(self, clock: int) -> None:
        if clock == CLOCKS:
            self._rounds.phase = Phase.FINISHED
            self._ended()
            return
        for name in self._rounds.open(clock):
            self._workers[name].tell(Go(clock))


class Runner(Actor):
    """Asks for a clock, computes it, and says what came of it until that is settled."""

    def __init__(self, *, name: str, keeper: ActorRef) -> None:
        self._name = name
        self._keeper = keeper
        self._part: int | None = None
        self._incarnation = (self.system.generation << 20) | self.restarts

    async def on_start(self) -> None:
        self.timers.start("again", Again(), after=0.0, every=ASKS)

    def again(self, message: Again) -> None:
        if self.timers.is_active("compute"):
            return
        if self._part is None:
            self._keeper.tell(Ready(self._name, self._incarnation, self.ref))
        else:
            self._keeper.tell(Part(self._name, self._incarnation, self._part, self.ref))

    def go(self, message: Go) -> None:
        if self._part is None and not self.timers.is_active("compute"):
            self.timers.start("compute", Computed(message.clock), after=COMPUTES)

    def computed(self, message: Computed) -> None:
        self._part = message.clock
        self._keeper.tell(Part(self._name, self._incarnation, message.clock, self.ref))

    def settled(self, message: Settled) -> None:
        if message.clock == self._part:
            self._part = None


def fenced(cls: type[Rounds]) -> Scenario[list[Act]]:
    """Workers are killed, and what they had said comes late."""

    async def play(on: Simulated) -> list[Act]:
        acts: list[Act] = []
        ended = asyncio.Event()
        graph = ActorGraph("fenced")
        with graph.supervisor("all", one_for_one(1000, per=60, backoff=Backoff(0.01, maximum=0.1))):
            keeper = graph.actor(
                "keeper", Keeper, rounds=lambda: cls(ROSTER, BSP()), note=acts.append,
                ended=ended.set,
            )  # fmt: skip
            for name in ROSTER:
                graph.actor(name, Runner, place=Process(name), name=name, keeper=keeper)
        async with graph.start(on=on):
            await ended.wait()
        return acts

    return Scenario(
        play, ROSTER, (nothing_is_merged_after_its_fence,), on=Simulated(1, start=0.02),
        kinds=("kill", "jitter", "delay"),
    )  # fmt: skip


def nothing_is_merged_after_its_fence(evidence: Evidence[list[Act]]) -> str | None:
    """What a worker sent is not merged once a later incarnation of it was heard of."""
    acts = evidence.result or []
    if sum(act.kind == "merged" for act in acts) != len(ROSTER) * CLOCKS:
        return "not every part was merged once"
    return laws.nothing_is_merged_after_its_fence(acts)
