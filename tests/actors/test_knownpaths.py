"""Who is not there is called by its path, as far as anybody has heard of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import actors
from actors import (
    Actor,
    ActorGraph,
    ActorRef,
    DeadLetter,
    Message,
    NoSuchActor,
    Process,
    Processes,
    Simulated,
    one_for_one,
)
from actors.deploy import Deployment
from actors.knownpaths import _MOST, KnownPaths

APART: list[Any] = [
    pytest.param(Simulated(1), id="simulated"),
    pytest.param(Processes(1), id="processes"),
]


class Hello(Message[None]):
    pass


class End(Message[None]):
    pass


class Letters(Message[list[str]]):
    """Answered by whom the dead letters of that node were for."""


class Greeter(Actor):
    def hello(self, message: Hello) -> None:
        pass

    def end(self, message: End) -> None:
        self.stop()


class Reader(Actor):
    def __init__(self) -> None:
        self._to: list[str] = []
        self.system.events.subscribe(DeadLetter, lambda letter: self._to.append(letter.to))

    def letters(self, message: Letters) -> list[str]:
        return self._to


@pytest.mark.parametrize("on", APART)
def test_a_refusal_and_a_dead_letter_name_the_path_of_an_actor_that_is_gone(
    on: Deployment,
) -> None:
    async def main() -> None:
        graph = ActorGraph("paths")
        with graph.supervisor("root", one_for_one(), place=Process("p0")):
            graph.actor("reader", Reader)
            graph.actor("gone", Greeter, restart="temporary")
        async with graph.start(on) as live, asyncio.timeout(30):
            gone = live["gone"]
            await live.system.stop(gone)
            gone.tell(Hello())
            with pytest.raises(NoSuchActor) as refused:
                await gone.ask(Hello(), timeout=10)
            assert str(refused.value) == "/root/gone did not handle Hello: no such actor"
            # Of one that was never there only those who ask know a path.
            never = ActorRef(live.system, "p0", "/root/never", 12345)
            with pytest.raises(NoSuchActor) as refused:
                await never.ask(Hello(), timeout=10)
            assert str(refused.value) == "/root/never did not handle Hello: no such actor"
            assert await live["reader"].ask(Letters(), timeout=10) == [
                *("/root/gone", "/root/gone", "uid 3039 on p0"),
            ]

    actors.run(main(), on=on)


def test_a_node_remembers_a_bounded_number_of_paths() -> None:
    known = KnownPaths()
    for uid in range(_MOST + 1):
        known.note(uid, f"/{uid}")
    assert known.name(0, "n") == "uid 0 on n"
    assert known.name(1, "n") == "/1"
    assert repr(known) == f"<KnownPaths {_MOST}>"
