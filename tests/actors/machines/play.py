"""Plays: lists of steps that hypothesis draws and shortens, and how each is carried out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from actors import ActorRef, ActorSystem
from tests.actors.machines import cast
from tests.actors.machines.cast import Stage

#: The two nodes beside the launcher's, and the pairs that can be cut from each other.
NODES = ("p0", "p1")
PAIRS = (("p0", "play"), ("p1", "play"), ("p0", "p1"))


@dataclass(frozen=True)
class Spawn:
    """A child of that player; players are counted in the order in which they were made."""

    under: int
    trouble: str


@dataclass(frozen=True)
class Stop:
    who: int


@dataclass(frozen=True)
class Fail:
    who: int


@dataclass(frozen=True)
class Watch:
    who: int
    whom: int


@dataclass(frozen=True)
class Unwatch:
    who: int
    whom: int


@dataclass(frozen=True)
class Tell:
    """By a player, or from outside of all actors."""

    by: int | None
    to: int
    times: int
    floats: int


@dataclass(frozen=True)
class Ask:
    by: int | None
    to: int
    timeout: float
    work: float
    beside: bool


@dataclass(frozen=True)
class Cancel:
    """One of the asks from outside."""

    which: int


@dataclass(frozen=True)
class Kill:
    """The node's process dies; its supervisor has it started again."""

    node: str


@dataclass(frozen=True)
class Freeze:
    node: str
    seconds: float


@dataclass(frozen=True)
class Cut:
    pair: tuple[str, str]
    seconds: float


@dataclass(frozen=True)
class Wait:
    seconds: float


Step = Spawn | Stop | Fail | Watch | Unwatch | Tell | Ask | Cancel | Kill | Freeze | Cut | Wait

_players = st.integers(0, 5)
_anybody = st.none() | _players
#: From less than a way through the network to longer than a restart takes; drawn coarsely, so that
#: steps meet.
_seconds = st.sampled_from([0.0, 0.0002, 0.001, 0.003, 0.02, 0.3, 1.0])
_patience = st.sampled_from([1.0, 0.0, 0.003, 0.02, 5.0])
_floats = st.sampled_from([0, 0, 10, 100_000])
_troubles = st.sampled_from(["", "", "", "constructor", "on_start", "on_stop"])

#: Steps that run on simulated and on real nodes.
WITHIN = (
    st.builds(Spawn, _players, _troubles),
    st.builds(Stop, _players),
    st.builds(Fail, _players),
    st.builds(Watch, _players, _players),
    st.builds(Watch, _players, _players),  # twice as often as others: most end with it
    st.builds(Unwatch, _players, _players),
    st.builds(Tell, _anybody, _players, st.sampled_from([1, 3, 12]), _floats),
    st.builds(Ask, _anybody, _players, _patience, _seconds, st.booleans()),
    st.builds(Cancel, st.integers(0, 3)),
    st.builds(Wait, _seconds),
    st.builds(Wait, _seconds),
    st.builds(Wait, st.just(2.0)),  # by then a node that was killed is back
)
FAULTS = (
    st.builds(Kill, st.sampled_from(NODES)),
    st.builds(Freeze, st.sampled_from(NODES), _seconds),
    st.builds(Cut, st.sampled_from(PAIRS), _seconds),
)


def _lost_mailbox(who: int, floats: int, node: str) -> list[Step]:
    """A scene that chance alone plays too rarely: a node dies with messages in a mailbox."""
    told: list[Step] = [Ask(None, who, 5.0, 1.0, beside=False), Tell(None, who, 3, floats)]
    return [*told, Wait(0.02), Kill(node)]


def _pair(who: int, whom: int, verbs: list[str]) -> list[Step]:
    """A scene of two, which chance alone brings together too rarely."""
    steps: dict[str, Step] = {
        "watch": Watch(who, whom),
        "unwatch": Unwatch(who, whom),
        "stop": Stop(whom),
        "fail": Fail(whom),
        "wait": Wait(0.02),
    }
    return [steps[verb] for verb in verbs]


LOST_MAILBOX = st.builds(_lost_mailbox, st.integers(0, 3), _floats, st.sampled_from(NODES))
_verbs = st.lists(
    st.sampled_from(
        ["watch wait", "stop wait", "fail wait", "watch stop", "stop watch", "watch unwatch"]
    ),
    min_size=1,
    max_size=4,
).map(lambda pairs: " ".join(pairs).split())
PAIR = st.builds(_pair, _players, _players, _verbs)


def plays(
    *kinds: st.SearchStrategy[Step],
    scenes: int = 8,
    besides: tuple[st.SearchStrategy[list[Step]], ...] = (),
) -> st.SearchStrategy[list[Step]]:
    """Plays of these kinds of steps, in short scenes, 20 steps on the average."""
    scene: st.SearchStrategy[list[Step]] = st.lists(st.one_of(*kinds), min_size=1, max_size=8)
    scene = st.one_of(scene, scene, *besides)
    return st.lists(scene, min_size=1, max_size=scenes).map(
        lambda all_: [step for each in all_ for step in each]
    )


class Director:
    """Carries a play out.

    Args:
        stage: of the play.
        system: of the launcher.
        fault: carries out a fault.
        scale: seconds that a second of the play takes.
    """

    def __init__(
        self,
        stage: Stage,
        system: ActorSystem,
        fault: Callable[[Kill | Freeze | Cut], Awaitable[None]],
        scale: float = 1.0,
    ) -> None:
        self._scale = scale
        self._stage = stage
        self._system = system
        self._fault = fault
        self._asks: list[asyncio.Task[None]] = []
        self._spawned = 0

    def _player(self, index: int) -> ActorRef:
        """A reference of the launcher's own system: a player's is of that player's."""
        players = self._stage.players
        return self._system.ref(players[index % len(players)].parts)

    async def carry_out(self, step: Step) -> None:
        """Do a step; only ``Wait`` takes time."""
        stage = self._stage
        match step:
            case Spawn(under, trouble):
                self._spawned += 1
                name = f"a{self._spawned}"
                stage.tell(self._player(under), 0, cast.Bear, name=name, trouble=trouble)
            case Stop(who):
                self._player(who).stop()
            case Fail(who):
                stage.tell(self._player(who), 0, cast.Fail)
            case Watch(who, whom):
                target = self._player(whom)
                stage.tell(self._player(who), 0, cast.Look, whom=target, away=False)
            case Unwatch(who, whom):
                target = self._player(whom)
                stage.tell(self._player(who), 0, cast.Look, whom=target, away=True)
            case Tell(None, to, times, floats):
                stage.notes(self._player(to), 0, times, floats)
            case Tell(int(by), to, times, floats):
                target = self._player(to)
                stage.tell(self._player(by), 0, cast.Pass, to=target, times=times, floats=floats)
            case Ask(None, to, timeout, work):
                to_, scale = self._player(to), self._scale
                asking = stage.ask(self._system, to_, 0, timeout * scale, work * scale)
                self._asks.append(asyncio.get_running_loop().create_task(asking))
                await asyncio.sleep(0)
            case Ask(int(by), to, timeout, work, beside):
                fields: dict[str, Any] = {
                    "timeout": timeout * self._scale,
                    "work": work * self._scale,
                    "beside": beside,
                }
                stage.tell(self._player(by), 0, cast.Inquire, to=self._player(to), **fields)
            case Cancel(which):
                if self._asks:
                    self._asks[which % len(self._asks)].cancel()
            case Wait(seconds):
                await asyncio.sleep(seconds * self._scale)
            case Kill() | Freeze() | Cut():
                await self._fault(step)

    async def end(self) -> None:
        """Wait for the asks from outside."""
        await asyncio.gather(*self._asks, return_exceptions=True)
