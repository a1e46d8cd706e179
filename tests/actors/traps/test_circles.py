"""An ask that leads back into one that waits for it fails at once, and nobody hangs."""

from __future__ import annotations

import asyncio

import pytest

import actors
from actors import (
    Actor,
    ActorFailed,
    ActorGraph,
    ActorRef,
    ActorRestarted,
    AskTimeout,
    Backoff,
    Message,
    Process,
    WouldDeadlock,
    one_for_one,
)
from actors.deploy import Deployment
from tests.actors.traps.places import INLINE, PROCESSES, SIMULATED, Heard, started, virtual

everywhere = pytest.mark.parametrize("on", [SIMULATED, INLINE, PROCESSES], ids=str)

#: Seconds of each ask: far more than a test may take, so none of them ends one.
PATIENT = 600.0

CIRCLES = {"itself": ["a"], "a pair": ["a", "b"], "three over two nodes": ["a", "b", "c"]}
everyone = pytest.mark.parametrize("names", list(CIRCLES.values()), ids=list(CIRCLES))


class Round(Message[str]):
    """Ask the first of them the rest."""

    route: list[ActorRef]
    catch: bool


class Meet(Message[str]):
    """Ask that one after some seconds."""

    other: ActorRef
    after: float
    timeout: float


class Alive(Message[bool]):
    pass


class Link(Actor):
    async def round(self, message: Round) -> str:
        target, *rest = message.route
        try:
            return await target.ask(Round(rest, message.catch), timeout=PATIENT)
        except WouldDeadlock as error:
            if not message.catch:
                raise
            return f"{self.ref.path} hears that {error}"

    async def meet(self, message: Meet) -> str:
        await self.clock.sleep(message.after)
        try:
            await message.other.ask(Alive(), timeout=message.timeout)
        except AskTimeout:
            return "waited in vain"
        return "met"

    def alive(self, message: Alive) -> bool:
        return True


def ring() -> ActorGraph:
    graph = ActorGraph("ring")
    with graph.supervisor("root", one_for_one(3, backoff=Backoff(0.0))):
        graph.actor("a", Link, place=Process("one"))
        graph.actor("b", Link, place=Process("two"))
        graph.actor("c", Link, place=Process("one"))
    return graph


@everywhere
@everyone
def test_who_asks_in_a_circle_is_told_at_once_and_by_name(names: list[str], on: Deployment) -> None:
    async def main() -> None:
        restarted = Heard(ActorRestarted)
        loop = asyncio.get_running_loop()
        async with started(ring(), on, restarted) as live:
            route = [live[name] for name in (*names[1:], "a")]
            began = loop.time()
            sentence = await live["a"].ask(Round(route, catch=True), timeout=PATIENT)
            took = loop.time() - began
            assert took < (0.1 if virtual(on) else 10.0), took
            # Who caught it says who he is; the error says whom he cannot ask.
            assert sentence.startswith(f"/root/{names[-1]} hears that "), sentence
            assert "/root/a" in sentence.partition(" hears that ")[2]
            for name in "abc":
                assert await live[name].ask(Alive(), timeout=10)
        assert not restarted.events

    actors.run(main(), on=on)


@everywhere
@everyone
def test_a_circle_that_nobody_catches_fails_all_of_it_and_each_is_started_again(
    names: list[str], on: Deployment
) -> None:
    async def main() -> None:
        restarted = Heard(ActorRestarted)
        async with started(ring(), on, restarted) as live:
            route = [live[name] for name in (*names[1:], "a")]
            with pytest.raises(ActorFailed, match="WouldDeadlock") as caught:
                await live["a"].ask(Round(route, catch=False), timeout=PATIENT)
            assert "/root/a failed on Round" in str(caught.value)
            for name in "abc":
                assert await live[name].ask(Alive(), timeout=10)
            await restarted.number(len(names))
        assert sorted(event.path for event in restarted.events) == [f"/root/{n}" for n in names]

    actors.run(main(), on=on)


@everywhere
def test_of_two_that_ask_each_other_at_the_same_time_one_waits_for_its_deadline_and_no_longer(
    on: Deployment,
) -> None:
    """Neither ask is part of the other's chain: nobody can know but by their time."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with started(ring(), on) as live:
            a, b, c = (live[name] for name in "abc")
            assert await c.ask(Meet(a, 0.0, 10.0), timeout=10) == "met"
            began = loop.time()
            both = [
                a.ask(Meet(b, 0.2, 0.5), timeout=PATIENT),
                b.ask(Meet(a, 0.2, PATIENT), timeout=PATIENT),
            ]
            assert await asyncio.gather(*both) == ["waited in vain", "met"]
            assert 0.68 < loop.time() - began < (0.8 if virtual(on) else 10.0)
            for name in "abc":
                assert await live[name].ask(Alive(), timeout=10)

    actors.run(main(), on=on)
