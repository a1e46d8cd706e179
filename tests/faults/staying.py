"""Runs of three nodes of which one joins late and one leaves, and what is heard in them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file

from actorfl import (
    CompleteGraph,
    Every,
    Gossip,
    Period,
    Result,
    Run,
    Stay,
)
from actorfl.algorithm import Algorithm
from actorfl.cyclic import Cyclic
from actorfl.gossip.letters import Here, LargePush, Progress, Pull, Push, Shares
from actorfl.gossiper import Gossiper
from actorfl.peersampling.source import SampledPeers
from actorfl.peersampling.words import PresentView
from actors import ActorRef, FaultPlan, Message, Simulated
from tests.faults.test_gossip import run

#: Of three nodes, each in a process of its own: w1 joins after 40 s, w2 leaves after 80 s.
STAYS = (Stay("w1", join=4), Stay("w2", leave=8))
JOIN, LEAVE, PERIOD = 40.0, 80.0, 10.0
#: Nodes in the lines of twelve periods.
NODES = [2] * 4 + [3] * 4 + [2] * 4
#: Two clocks of one simulation differ by less, in seconds.
NEAR = 0.1


class Said(NamedTuple):
    sender: str
    to: str
    time: float
    message: Message[Any]


@dataclass
class Ear:
    """What nodes have said to each other, and told the gatherer, and whom they knew."""

    peers: list[Said] = field(default_factory=list)
    told: list[Progress] = field(default_factory=list)
    views: list[tuple[str, float, tuple[str, ...]]] = field(default_factory=list)
    merged: list[tuple[str, str, float]] = field(default_factory=list)

    def times(self, sender: str) -> list[float]:
        return [said.time for said in self.peers if said.sender == sender]

    def finals(self, name: str) -> list[Progress]:
        return [one for one in self.told if one.name == name and one.final]


@contextmanager
def listening(began: list[float]) -> Iterator[Ear]:
    """Hear the nodes, on the clock of the run: seconds since the first node began."""
    ear = Ear()
    said, told, begin = Cyclic._say, SampledPeers.told, Cyclic._begin
    received = Gossiper._received

    def now() -> float:
        return asyncio.get_running_loop().time() - began[0]

    def hear(to: ActorRef, message: Message[Any]) -> bool:
        if isinstance(message, Progress):
            ear.told.append(message)
        elif isinstance(message, Push | LargePush | Pull | Shares | Here):
            ear.peers.append(Said(message.sender, to.name, now(), message))
        return said(to, message)

    def see(peers: SampledPeers, message: PresentView) -> None:
        node: Any = getattr(peers._is_of_run, "__self__")  # noqa: B009
        ear.views.append((node._name, now(), message.names))
        told(peers, message)

    def start(node: Cyclic, time: float) -> None:
        # Who was away knows less of the time than others.
        began[:] = [min([*began, node.clock.now() - time])]
        begin(node, time)

    async def take(node: Gossiper, sender: str, *args: Any) -> None:
        before, time = node._merged, now()
        if (rest := received(node, sender, *args)) is not None:
            await rest
        if node._merged > before:
            ear.merged.append((node._name, sender, time))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cyclic, "_say", staticmethod(hear))
        patch.setattr(Cyclic, "_begin", start)
        patch.setattr(SampledPeers, "told", see)
        patch.setattr(Gossiper, "_received", take)
        yield ear


def three(algorithm: Algorithm | None = None, **changed: Any) -> Run:
    values: dict[str, Any] = {
        "topology": CompleteGraph(3), "stays": STAYS, "rounds": 12, "evaluate": Every(1),
        "sync": Period(PERIOD, save=2), **changed,
    }  # fmt: skip
    return run(algorithm=algorithm or Gossip(), **values)


def on(*faults: Any, until: float = 115.0, n: int = 3) -> Simulated:
    return Simulated(n, compute=0.0, faults=FaultPlan(*faults, until=until))


def check(ear: Ear, *, join: float = JOIN, leave: float = LEAVE) -> None:
    """What must hold whatever happens: nobody speaks, hears or is spoken to outside its stay."""
    assert all(time > join - NEAR for time in ear.times("w1"))
    assert all(time < leave + NEAR for time in ear.times("w2"))
    for said in ear.peers:
        # Who is back asks those that were there when it went what time it is now.
        time = said.message.time if isinstance(said.message, Here) else said.time
        assert said.to != "w1" or time > join - NEAR
        assert said.to != "w2" or time < leave + NEAR
    check_merges(ear, join=join, leave=leave)
    for name, time, names in ear.views:
        assert "w1" not in names or time > join - NEAR
        assert name != "w1" or time > join - NEAR
        assert name != "w2" or time < leave + NEAR


def check_merges(ear: Ear, *, join: float = JOIN, leave: float = LEAVE) -> None:
    """No model comes from outside a stay, or goes there."""
    assert all(time > join - NEAR for *names, time in ear.merged if "w1" in names)
    assert all(time < leave + NEAR for *names, time in ear.merged if "w2" in names)


def models(result: Result) -> dict[str, np.ndarray[Any, Any]]:
    found = {}
    for file in sorted((result.directory / "models").iterdir()):
        model = load_file(file)
        found[file.stem] = np.concatenate([model[name].ravel() for name in sorted(model)])
    return found
