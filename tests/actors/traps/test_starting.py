"""A constructor that fails again and again is tried as the strategy says, and costs no other."""

from __future__ import annotations

from itertools import pairwise

import pytest

import actors
from actors import (
    Actor,
    ActorFailure,
    ActorGraph,
    ActorRestarted,
    Backoff,
    GaveUp,
    Message,
    Process,
    SupervisorGaveUp,
    one_for_one,
)
from actors.deploy import Deployment
from tests.actors.traps.places import INLINE, PROCESSES, SIMULATED, Heard, started, virtual

BACKOFF = Backoff(initial=0.1, factor=2.0, maximum=0.5, jitter=0.0)
DELAYS = [0.1, 0.2, 0.4, 0.5, 0.5]

everywhere = pytest.mark.parametrize("on", [SIMULATED, INLINE, PROCESSES], ids=str)


class Restarts(Message[int]):
    pass


class Stillborn(Actor):
    """Cannot be made before so many restarts."""

    def __init__(self, before: int, hook: bool = False) -> None:
        self.before = before
        self.hook = hook
        if not hook:
            self.fail()

    async def on_start(self) -> None:
        if self.hook:
            self.fail()

    def fail(self) -> None:
        if self.restarts < self.before:
            raise OSError(f"no camera, {self.restarts} restarts")

    def counted(self, message: Restarts) -> int:
        return self.restarts


def stillborn(intensity: int, before: int, *, hook: bool = False) -> ActorGraph:
    graph = ActorGraph("stillborn")
    with graph.supervisor("root", one_for_one(intensity, backoff=BACKOFF), place=Process("one")):
        graph.actor("well", Stillborn, before=0)
        graph.actor("bad", Stillborn, before=before, hook=hook)
    return graph


def check_delays(on: Deployment, times: list[float], delays: list[float]) -> None:
    waits = [later - earlier for earlier, later in pairwise(times)]
    if virtual(on):  # where only the way to its process and back takes time besides
        assert waits == pytest.approx(delays, abs=0.02)
    else:
        assert all(wait > delay - 0.02 for wait, delay in zip(waits, delays, strict=True)), waits


@everywhere
def test_a_constructor_that_always_fails_is_tried_under_back_off_until_the_budget_ends(
    on: Deployment,
) -> None:
    async def main() -> None:
        failures, gave_up = Heard(ActorFailure), Heard(SupervisorGaveUp)
        sentence = "bad failed again after 5 restarts within 60 s"
        with pytest.raises(GaveUp, match=sentence) as raised:
            # Starting waits for all of them, and ends when one cannot be had.
            async with started(stillborn(5, 99), on, failures, gave_up):
                pass
        assert (raised.value.child, raised.value.restarts) == ("/root/bad", 5)
        (end,) = gave_up.events
        bad = [failure.error for failure in failures.events if failure.path == "/root/bad"]
        assert bad == [f"OSError: no camera, {number} restarts" for number in range(6)]
        times = [
            time
            for failure, time in zip(failures.events, failures.times, strict=True)
            if failure.path == "/root/bad"
        ]
        check_delays(on, times, DELAYS)
        assert (end.child, end.restarts) == ("/root/bad", 5)
        assert "OSError: no camera, 5 restarts" in end.error

    actors.run(main(), on=on)


@everywhere
@pytest.mark.parametrize("hook", [False, True], ids=["constructor", "on_start"])
def test_one_that_succeeds_at_last_answers_what_was_asked_meanwhile(
    hook: bool, on: Deployment
) -> None:
    async def main() -> None:
        restarted, gave_up = Heard(ActorRestarted), Heard(SupervisorGaveUp)
        async with started(stillborn(3, 3, hook=hook), on, restarted, gave_up) as live:
            # Reference and mailbox are there from the first attempt on.
            assert await live["bad"].ask(Restarts(), timeout=30) == 3
            (event,) = await restarted.number(1)
            assert (event.path, event.restarts, event.outside) == ("/root/bad", 3, False)
            assert await live["well"].ask(Restarts(), timeout=10) == 0
        assert not gave_up.events

    actors.run(main(), on=on)
