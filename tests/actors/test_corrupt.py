"""Bytes that change between nodes: no actor is ever given any of them, on either lane."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

import actors
from actors import (
    Actor,
    ActorGraph,
    AskError,
    Corrupt,
    FaultPlan,
    Message,
    Process,
    Processes,
    Simulated,
    Unacknowledged,
    one_for_one,
)
from actors.faults.noise import Corruption
from tests.actors.subjects import carried_out
from transports import Weights
from transports.sim import SimClock, SimLoop

PLAN = FaultPlan(Corrupt(0.1), seed=3)


def sha(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


class Text(Message[bool]):
    body: bytes
    sha256: str


class Model(Message[Weights]):
    weights: Weights
    sha256: str


class Seen(Message[tuple[int, int, int, int]]):
    """How many messages were not as they were sent; frames struck and refused; bulk connections."""


class Judge(Actor):
    def __init__(self) -> None:
        self._garbage = 0

    def text(self, message: Text) -> bool:
        intact = sha(message.body) == message.sha256
        self._garbage += not intact
        return intact

    def model(self, message: Model) -> Weights:
        self._garbage += sha(message.weights.buffer) != message.sha256
        return message.weights.share()

    def seen(self, message: Seen) -> tuple[int, int, int, int]:
        system = self._cell.system
        told = system.router.endpoint.statistics()
        struck = system.world.fault_counts["corrupt"]
        epochs = max(link.bulk.epoch for link in told.links)
        return self._garbage, struck, told.refused.get("malformed", 0), epochs


async def until_answered(ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What an ask ends in that its sender makes again when it was lost."""
    while True:
        try:
            return await ask()
        except AskError:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "on",
    [Simulated(1, faults=PLAN), Processes(1, faults=PLAN), Processes(1, faults=PLAN, over="tcp")],
    ids=["simulated", "ipc", "tcp"],
)
def test_what_is_damaged_reaches_no_actor_and_its_sender_learns_of_the_loss(
    on: Processes | Simulated,
) -> None:
    graph = ActorGraph("judging")
    with graph.supervisor("root", one_for_one(3), place=Process()):
        graph.actor("judge", Judge)
    told: list[Unacknowledged] = []

    async def main() -> tuple[int, int, int, int]:
        async with graph.start(
            on, before=lambda system: system.events.subscribe(Unacknowledged, told.append)
        ) as live:
            judge = live["judge"]
            for number in range(40):
                body = f"{number}".encode() * 100
                text = Text(body, sha(body))
                assert await until_answered(lambda: judge.ask(text, timeout=10.0))  # noqa: B023
            # More than one piece, so that it has to go on after some of them.
            weights = Weights.of({"w": np.arange(1_000_000, dtype=np.float32)})
            for _ in range(2):
                model = Model(weights.share(), sha(weights.buffer))
                came = await until_answered(lambda: judge.ask(model, timeout=10.0))  # noqa: B023
                assert came == weights
                came.release()
            seen: tuple[int, int, int, int] = await until_answered(
                lambda: judge.ask(Seen(), timeout=10.0)
            )
            return seen

    garbage, struck, refused, epochs = carried_out(main, on)
    assert garbage == 0
    assert struck > 3
    assert refused > 0
    assert epochs > 1, "the bulk lane was struck, too"
    assert {event.lane for event in told} == {"control"}
    assert all(event.count > 0 for event in told)


# -- what is drawn -----------------------------------------------------------------------------------


def strikes(plan: FaultPlan, node: str = "here", start: int = 0) -> list[tuple[int, int] | None]:
    """What happens to 2,000 frames of 1,000 bytes from "there", a millisecond apart."""
    loop = SimLoop()
    noise = Corruption(plan, node, start, SimClock(loop), 0.0, actors.World().fault_counts)
    struck: list[tuple[int, int] | None] = []
    for number in range(2_000):
        loop.call_later(
            number / 1000, lambda: struck.append(noise.strike("there", "control", 1000))
        )
    loop.call_later(2.5, loop.stop)
    loop.run_forever()
    loop.close()
    return struck


def test_one_byte_is_struck_as_often_as_the_plan_says_and_never_by_nothing() -> None:
    struck = [each for each in strikes(FaultPlan(Corrupt(0.1), seed=1)) if each is not None]
    assert len(struck) == pytest.approx(200, rel=0.2)
    assert all(0 <= place < 1000 and 1 <= bits <= 255 for place, bits in struck)
    assert len({place for place, _ in struck}) > 150
    assert len({bits for _, bits in struck}) > 100


def test_a_fault_strikes_the_nodes_that_it_names_while_it_holds() -> None:
    plan = FaultPlan(Corrupt(source="th*", target="h*", after=0.5, before=1.0))
    assert [i for i, each in enumerate(strikes(plan)) if each] == list(range(500, 1000))
    assert not any(strikes(plan, node="elsewhere"))
    assert not any(strikes(FaultPlan(Corrupt(source="x"))))


def test_a_fault_more_moves_no_strike_of_another_and_each_start_has_its_own() -> None:
    alone = strikes(FaultPlan(Corrupt(0.1), seed=1))
    others = (Corrupt(0.2, source="x"), Corrupt(0.3, before=1.0), actors.Drop(0.5))
    for plan in (
        FaultPlan(Corrupt(0.1), *others, seed=1),
        FaultPlan(*others, Corrupt(0.1), seed=1),
    ):
        both = strikes(plan)
        assert all(them is not None for us, them in zip(alone, both, strict=True) if us)
        assert both[1000:] == alone[1000:]
    assert strikes(FaultPlan(Corrupt(0.1), seed=1), start=1) != alone
    assert strikes(FaultPlan(Corrupt(0.1), seed=2)) != alone
