"""Chaos accounts for messages with arrays: what a bug loses, hides or doubles there is found."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from actors import (
    Actor,
    ActorGraph,
    AskError,
    Corrupt,
    FaultPlan,
    Kill,
    Message,
    Process,
    Simulated,
    one_for_one,
)
from actors.router import Router
from actors.testing.chaos import Scenario, replay
from transports import Weights
from transports.sim import Net
from transports.transfer import Inbound

ACCOUNTED = "messages are accounted for"
MODELS = 6


class Model(Message[Weights]):
    weights: Weights


class Told(Message[None]):
    weights: Weights


class Echo(Actor):
    def model(self, message: Model) -> Weights:
        return message.weights.share()

    def told(self, message: Told) -> None:
        message.weights.release()


async def play(on: Simulated) -> None:
    graph = ActorGraph("models")
    with graph.supervisor("root", one_for_one(100)):
        graph.actor("echo", Echo, place=Process("p0"))
    weights = Weights.of({"w": np.arange(50_000, dtype=np.float32)})
    async with graph.start(replace(on, net=Net(bandwidth=2e6))) as live:
        echo = live["echo"]
        for _ in range(MODELS):
            while True:
                for _ in range(3):  # those behind the first one wait for it
                    echo.tell(Told(weights.share()))
                try:
                    (await echo.ask(Model(weights.share()), timeout=5.0)).release()
                except AskError:
                    await asyncio.sleep(0.05)
                else:
                    break


SCENARIO = Scenario(play, ("p0",), on=Simulated(1))
KILLED = FaultPlan(*(Kill("p0", at=at) for at in (0.75, 1.4, 2.1)), seed=1)
DAMAGED = FaultPlan(Corrupt(0.2), seed=2, until=20.0)


def broken(plan: FaultPlan) -> dict[str, str]:
    evidence, found = replay(SCENARIO, plan)
    assert evidence.faults, "a plan without effect proves nothing"
    return found


@pytest.mark.parametrize("plan", [KILLED, DAMAGED], ids=["killed", "damaged"])
def test_every_transfer_is_accounted_for_whatever_goes_wrong(plan: FaultPlan) -> None:
    assert broken(plan) == {}


def test_a_node_that_tells_no_range_of_what_was_under_way_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account = Router._account

    def hides(self: Router, link: Any, numbers: Any, reason: str, *, taken: bool = False) -> None:
        account(self, link, (numbers[0], ()), reason, taken=taken)

    monkeypatch.setattr(Router, "_account", hides)
    assert "range" in broken(KILLED)[ACCOUNTED]


def test_a_node_that_takes_a_transfer_again_when_it_comes_again_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Inbound, "known", lambda self, number: self._open.get(number))
    assert re.search(
        r"had transfer \d+ of p0\S* (?:[2-9]|[1-9]\d+) times$", broken(DAMAGED)[ACCOUNTED]
    )


def test_a_node_that_makes_no_dead_letter_of_what_never_left_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Router, "_never_left", lambda *_: None)
    assert "no dead letter" in broken(KILLED)[ACCOUNTED]
