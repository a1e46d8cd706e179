"""What cannot be encoded, or is too large, costs itself alone: not who sends it, not who gets it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import actors
from actors import (
    Actor,
    ActorFailed,
    ActorFailure,
    ActorGraph,
    ActorRef,
    ActorRestarted,
    CannotEncode,
    DeadLetter,
    Message,
    Process,
)
from actors.deploy import Deployment
from tests.actors.traps.places import INLINE, PROCESSES, SIMULATED, Heard, started, worlds
from transports import Limits, MessageTooLarge, Weights

everywhere = pytest.mark.parametrize("on", [SIMULATED, INLINE, PROCESSES], ids=str)

MOST = Limits().max_message


class Put(Message[int]):
    value: Any = None


class Give(Message[Any]):
    """Answered by what cannot be encoded, by so many bytes, or by how often it was asked."""

    what: str
    size: int = 0


class Model(Message[Weights]):
    """Answered by so many zeros."""

    size: int


class Send(Message[str]):
    """Have the other one told or asked what cannot travel; what came of it."""

    how: str
    what: str


def odd(what: str) -> Any:
    match what:
        case "object":
            return object()
        case "deep":
            return {"list": [1, {"inner": {1, object}}]}
        case "text":
            return "half a pair \ud800"
        case "number":
            return 1 << 70
        case _:
            return bytes(MOST + 1)


ODD = {
    "object": "a builtins.object does not travel",
    "deep": "a builtins.type does not travel",
    "text": "surrogates not allowed",
    "number": "out of range|cannot be encoded",
}


class Keeper(Actor):
    """Keeps count, so that a restart shows."""

    def __init__(self, other: ActorRef | None = None) -> None:
        self.other = other
        self.count = 0

    def put(self, message: Put) -> int:
        self.count += 1
        return self.count

    def give(self, message: Give) -> Any:
        self.count += 1
        return bytes(message.size) if message.size else odd(message.what)

    def model(self, message: Model) -> Weights:
        self.count += 1
        return Weights.of({"w": np.zeros(message.size, np.uint8)})

    async def send(self, message: Send) -> str:
        self.count += 1
        assert self.other is not None
        try:
            if message.how == "tell":
                self.other.tell(Put(odd(message.what)))
            else:
                await self.other.ask(Put(odd(message.what)), timeout=10)
        except (CannotEncode, MessageTooLarge) as error:
            return f"{type(error).__name__}: {error}"
        return "sent"


def pair() -> ActorGraph:
    graph = ActorGraph("pair")
    with graph.supervisor("root"):
        other = graph.actor("other", Keeper, place=Process("one"))
        graph.actor("keeper", Keeper, other=other, place=Process("two"))
    return graph


@everywhere
@pytest.mark.parametrize("how", ["tell", "ask"])
def test_a_message_that_cannot_travel_is_raised_where_it_is_sent_and_nowhere_else(
    how: str, on: Deployment
) -> None:
    async def main() -> None:
        failures, letters = Heard(ActorFailure), Heard(DeadLetter)
        async with started(pair(), on, failures, letters) as live:
            for number, (what, why) in enumerate(ODD.items(), 1):
                said = await live["keeper"].ask(Send(how, what), timeout=10)
                assert said.startswith("CannotEncode: Put cannot be encoded: "), said
                assert any(part in said for part in why.split("|")), said
                assert await live["other"].ask(Put(), timeout=10) == number, "the receiver is well"
            said = await live["keeper"].ask(Send(how, "large"), timeout=10)
            assert said.startswith("MessageTooLarge: "), said
            assert str(MOST) in said
            # The sender has neither failed nor lost count.
            assert await live["keeper"].ask(Put(), timeout=10) == len(ODD) + 2
            assert await live["other"].ask(Put(), timeout=10) == len(ODD) + 1
            assert live.system.statistics().asks == 0
        assert not failures.events
        assert not letters.events

    actors.run(main(), on=on)


@everywhere
def test_a_reply_that_cannot_travel_is_told_to_the_asker_and_its_actor_keeps_what_it_has(
    on: Deployment,
) -> None:
    async def main() -> None:
        restarted = Heard(ActorRestarted)
        async with started(pair(), on, restarted) as live:
            keeper = live["keeper"]
            for what, why in ODD.items():
                with pytest.raises(ActorFailed) as caught:
                    await keeper.ask(Give(what), timeout=10)
                said = str(caught.value)
                assert said.startswith("the reply of /root/keeper to Give cannot be sent: "), said
                assert any(part in said for part in why.split("|")), said
            with pytest.raises(ActorFailed) as caught:
                await keeper.ask(Give("", MOST + 1), timeout=10)
            said = str(caught.value)
            assert said.startswith("the reply of /root/keeper to Give cannot be sent: "), said
            assert str(MOST) in said, "it says what the limit is"
            # What just fits is not refused, whatever was.
            assert len(await keeper.ask(Give("", MOST - 100), timeout=30)) == MOST - 100
            assert await keeper.ask(Put(), timeout=10) == len(ODD) + 3
        assert not restarted.events

    actors.run(main(), on=on)


SMALL = Limits(max_transfer=1_000_000)


@pytest.mark.parametrize("on", [SIMULATED, PROCESSES], ids=str)  # in one process it is handed over
def test_a_reply_whose_arrays_are_too_many_for_the_asker_is_told_to_it_at_once(
    on: Deployment,
) -> None:
    async def main() -> None:
        restarted = Heard(ActorRestarted)
        async with worlds(on, SMALL) as world, started(pair(), on, restarted, world=world) as live:
            keeper = live["keeper"]
            with pytest.raises(
                ActorFailed, match="the reply of /root/keeper cannot be sent: "
            ) as e:
                await keeper.ask(Model(2_000_000), timeout=600)
            assert "1000000" in str(e.value), "it says what the limit is"
            assert len((await keeper.ask(Model(999_000), timeout=30))["w"]) == 999_000
            assert await keeper.ask(Put(), timeout=10) == 3
        assert not restarted.events

    actors.run(main(), on=on)
