"""What a play keeps shows: in what is left after it, or in the memory of its process."""

from __future__ import annotations

from pathlib import Path

import msgspec

from actorfl.chaos.command import ENOUGH_SEEDS, MOST_GROWTH, together
from actors import Actor, ActorGraph, Message, Process, Simulated, one_for_one
from actors.testing.chaos import Played, Report, Scenario, explore

SEEDS = 24
#: Bytes; more than the bound over the second half of the seeds, and each touched.
PART = 3 * MOST_GROWTH // SEEDS

kept: list[bytes] = []


class Hear(Message[int]):
    pass


class Hearer(Actor):
    def hear(self, message: Hear) -> int:
        return 1


async def tidy(on: Simulated) -> None:
    graph = ActorGraph("small")
    with graph.supervisor("all", one_for_one(1)):
        graph.actor("hearer", Hearer, place=Process())
    async with graph.start(on=on) as live:
        live["hearer"].tell(Hear())


async def keep(on: Simulated) -> None:
    await tidy(on)
    kept.append(b"x" * PART)


right = Scenario(tidy, ("p0",), on=Simulated(1), kinds=("delay",))
leaking = Scenario(keep, ("p0",), on=Simulated(1), kinds=("delay",))


def explored(name: str) -> Report:
    """Played in a process of its own, as ``actorfl chaos`` does."""
    report = explore(f"{Path(__file__)}:{name}", range(SEEDS), jobs=1)
    assert (report.seeds, report.failed) == (SEEDS, ())
    return report


def test_a_play_that_keeps_memory_is_told_of_all_plays_together() -> None:
    report = explored("leaking")
    (sentence,) = together(report, enough=SEEDS)
    assert "a process grew by" in sentence
    assert together(explored("right"), enough=SEEDS) == []
    # A few seeds tell a leak not from a cache that fills; a thousand do.
    assert together(report) == []
    assert together(msgspec.structs.replace(report, seeds=ENOUGH_SEEDS)) == [sentence]


def test_the_process_that_grows_most_is_the_one_that_is_told() -> None:
    def played(process: int, *memory: int) -> list[Played]:
        return [Played(seed=n, process=process, memory=each) for n, each in enumerate(memory)]

    # What comes before the second half of a process's own seeds is its beginning.
    steady, growing = played(1, 10, 500, 700, 700, 700, 705), played(2, 10, 20, 30, 30, 60, 90)
    assert Report.of([*steady, *growing], [], 1.0).growth == 60
    assert Report.of(steady, [], 1.0).growth == 5
