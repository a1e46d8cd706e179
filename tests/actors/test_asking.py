"""Asks across nodes: circles are named, cancellations arrive, late answers are dropped."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable

import numpy as np
import pykka
import pytest

import actors
from actors import (
    Actor,
    ActorFailed,
    ActorGraph,
    ActorRef,
    ActorSystem,
    AskTimeout,
    Backoff,
    Deployment,
    Inline,
    Message,
    NoSuchActor,
    NotStarted,
    Process,
    Processes,
    Simulated,
    one_for_one,
)
from actors.item import CANCEL, Item
from actors.live import Live
from transports import Weights

EVERYWHERE = pytest.mark.parametrize(
    "on", [Inline(), Simulated(1), Processes(1)], ids=["inline", "simulated", "processes"]
)


class Around(Message[int]):
    """Asks the next of these, with the rest."""

    rest: list[ActorRef]


class Held(Message[None]):
    """Told once the handler of Hold is at work."""


class Hold(Message[None]):
    tell: list[ActorRef]


class Until(Message[None]):
    """Answered once it was told Held."""


class Carry(Message[None]):
    weights: Weights


class Log(Message[list[str]]):
    pass


class Member(Actor):
    def __init__(self) -> None:
        self._log: list[str] = []
        self._held = False

    async def around(self, message: Around) -> int:
        return 1 + await message.rest[0].ask(Around(message.rest[1:]), timeout=10)

    async def hold(self, message: Hold) -> None:
        self._log.append("holds")
        for ref in message.tell:
            ref.tell(Held())
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self._log.append("cancelled")
            raise

    async def carry(self, message: Carry) -> None:
        self._log.append("carries")

    def log(self, message: Log) -> list[str]:
        return self._log

    def held(self, message: Held) -> None:
        self._held = True
        self.stash.unstash_all()

    def until(self, message: Until) -> None:
        if not self._held:
            self.stash.stash(message)


class Slow(Actor):
    """Answers half a second later."""

    async def log(self, message: Log) -> list[str]:
        await self.clock.sleep(0.5)
        return []


class BlockingMember(pykka.ThreadingActor):
    def log(self, message: Log) -> list[str]:
        return []

    def around(self, message: Around) -> int:
        return 1 + message.rest[0].ask_blocking(Around(message.rest[1:]), timeout=10)


def members() -> ActorGraph:
    graph = ActorGraph("members")
    with graph.supervisor("root", one_for_one(100, backoff=Backoff(0.0))):
        graph.actor("a", Member)
        graph.actor("b", Member, place=Process("pb"))
        graph.actor("c", Member, place=Process("pc"))
        graph.actor("d", BlockingMember, place=Process("pb"))
        graph.actor("slow", Slow, place=Process("pc"))
    return graph


async def ready(live: Live, names: Iterable[str]) -> None:
    """Each of them answers: their processes are up, and what failed is restarted."""
    for name in names:
        while True:
            try:
                await live[name].ask(Log(), timeout=10)
                break
            except NoSuchActor:
                await asyncio.sleep(0.01)


async def refused(live: Live, *path: str) -> str:
    await ready(live, "abcd")
    first, *rest = [live[name] for name in path]
    with pytest.raises(ActorFailed) as caught:
        await first.ask(Around(rest), timeout=10)
    return str(caught.value)


@EVERYWHERE
def test_an_ask_in_a_circle_is_refused_and_names_all_of_it(on: Deployment) -> None:
    async def main() -> None:
        async with members().start(on) as live:
            for path in ("aa", "bb", "aba", "abca", "bcb", "abcb", "dbd", "adbca"):
                sentence = await refused(live, *path)
                circle = path[path.index(path[-1]) :]
                names = " -> ".join(f"/root/{name}" for name in circle)
                assert "WouldDeadlock" in sentence
                assert f"waits for this ask of Around itself: {names}; tell it" in sentence, path

    actors.run(main(), on=on)


async def test_a_chain_that_is_too_long_is_refused_and_named() -> None:
    async with ActorSystem("node") as system:
        refs = [await system.spawn(f"m{number}", Member) for number in range(18)]
        with pytest.raises(ActorFailed) as caught:
            await refs[0].ask(Around(refs[1:]), timeout=10)
        names = " -> ".join(f"/m{number}" for number in range(18))
        assert f"17 actors wait for each other in a row: {names}; break" in str(caught.value)


def test_an_actor_of_a_circle_that_cannot_be_asked_for_its_name_is_a_uid() -> None:
    on = Simulated(1)

    async def main() -> str:
        async with members().start(on) as live:
            # The node of b does not answer for its actors: c names what it knows.
            return await refused(live, "a", "b", "c", "a")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("actors.system.answer_node", lambda *_: None)
        sentence = actors.run(main(), on=on)
    assert re.search(r"itself: /root/a -> uid [0-9a-f]+ -> /root/c -> /root/a; tell", sentence)


@EVERYWHERE
def test_a_cancelled_ask_reaches_its_handler_and_those_that_wait(on: Deployment) -> None:
    async def main() -> None:
        async with members().start(on) as live:
            await ready(live, "bc")
            ref = live["b"]
            held = asyncio.create_task(ref.ask(Hold([live["c"]]), timeout=60))
            waiting = asyncio.create_task(ref.ask(Hold([live["c"]]), timeout=60))
            await live["c"].ask(Until(), timeout=60)
            for ask in (waiting, held):  # the one that waits first: the other would let it begin
                ask.cancel()
            await asyncio.wait({held, waiting})
            assert await ref.ask(Log(), timeout=60) == ["holds", "cancelled"]

    actors.run(main(), on=on)


# Within one process its handler is called before anybody can cancel it.
@pytest.mark.parametrize("on", [Simulated(1), Processes(1)], ids=["simulated", "processes"])
def test_a_cancelled_ask_with_arrays_is_not_handled_however_late_it_comes(on: Deployment) -> None:
    async def main() -> None:
        async with members().start(on) as live:
            await ready(live, "bc")
            ref = live["b"]
            weights = Weights.of({"w": np.zeros(4_000_000, np.float32)})
            ask = asyncio.create_task(ref.ask(Carry(weights), timeout=60))
            await asyncio.sleep(0)
            ask.cancel()
            with pytest.raises(asyncio.CancelledError):
                await ask
            other = Weights.of({"w": np.zeros(1, np.float32)})
            await ref.ask(Carry(other), timeout=60)
            assert await ref.ask(Log(), timeout=60) == ["carries"]

    actors.run(main(), on=on)


async def test_a_cancellation_that_overtakes_its_ask_is_heeded() -> None:
    async with ActorSystem("node") as system:
        ref = await system.spawn("member", Member)
        link, number = system.router.endpoint.local, system.asks.number
        system.cancelled(link, Item(ref.uid, 0, CANCEL, b"", number + 1))
        with pytest.raises(NotStarted, match="/member did not handle Hold: the asker gave up"):
            await ref.ask(Hold([]), timeout=5)
        assert await ref.ask(Log(), timeout=5) == []


@EVERYWHERE
def test_a_late_answer_is_dropped_and_counted(on: Deployment) -> None:
    async def main() -> None:
        async with members().start(on) as live:
            await ready(live, ["slow"])
            with pytest.raises(AskTimeout, match=r"/root/slow did not answer Log within 0\.2 s"):
                await live["slow"].ask(Log(), timeout=0.2)
            assert live.system.statistics().late_replies == 0
            assert await live["slow"].ask(Log(), timeout=10) == []
            assert live.system.statistics().late_replies == 1

    actors.run(main(), on=on)
