"""A day of gossip learning on Spambase among a hundred nodes, disturbed and not, paired by seed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from actorfl import CompleteGraph, Every, Hours, PerExample, Period, Supervision
from actorfl.data.spambase import DEBIAN
from actors import Deployment, Drop, FaultPlan, Kill, Partition, Processes, Simulated
from benchmarks.reproduce.spambase import GOSSIP, NODES, TRANSFER, Case
from tests.faults.runs import rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(
        not Path(os.environ.get("SPAMBASE", DEBIAN)).exists(),
        reason="needs the file of Debian's r-cran-kernlab, or $SPAMBASE",
    ),
]

SIMULATED, REAL = 10, 16
"""Processes that the nodes are spread over."""
METHODS: Final = ("GL plain", "GL partitioned(10)+tok")
#: Virtual hours: of the run, and those at which the worst node is looked at.
DAY: Final = 24
HEALED: Final = {"crash": 10, "islands": 15, "loss": DAY - 1}
#: Seconds that an hour takes in real processes: a tenth of a model is sent ten times as often.
HOUR: Final = {"GL plain": 5.0, "GL partitioned(10)+tok": 20.0}
WITHIN: Final = 0.015
WORST: Final = 0.03


def plan(trouble: str, processes: int, hour: float) -> FaultPlan:
    """What goes wrong, where an hour takes so many seconds."""
    names = [f"p{k}" for k in range(processes)]
    until = DAY * hour
    if trouble == "crash":  # three nodes of ten
        dead = names[: round(0.3 * processes)]
        return FaultPlan(*(Kill(name, 6 * hour, down=3 * hour) for name in dead), until=until)
    if trouble == "islands":
        half = processes // 2
        islands = (tuple(names[:half]), tuple(names[half:]))
        return FaultPlan(
            Partition(islands, others="between", after=6 * hour, before=14 * hour), until=until
        )
    return FaultPlan(Drop(0.2), until=until)


def lines(method: str, seed: int, on: Deployment, hour: float, out: Path) -> list[dict[str, Any]]:
    """A line for each hour, and the end.

    Everybody knows everybody: the bounds are of what troubles do to learners, not to samplers.
    """
    share = GOSSIP[method][1]
    seconds = TRANSFER * share * hour / 3600
    run = replace(
        Case(method, "IID", seed).run(), topology=CompleteGraph(NODES),
        until=Hours(DAY * hour / 3600),
        sync=Period(seconds, transfer=seconds, save=round(5 / share)),
        evaluate=Every(round(3600 / (TRANSFER * share))),
        supervision=Supervision(intensity=10_000, outside=10_000),
    )  # fmt: skip
    result = run.start(on, out=out)
    end = {"accuracy": result.accuracy, "accuracy_worst": result.metrics["accuracy_worst"]}
    return [*rows(result.directory), end]


def check(calm: list[dict[str, Any]], disturbed: list[dict[str, Any]], trouble: str) -> None:
    """At the end the mean, and the worst node an hour after all is well again."""
    assert disturbed[-2]["nodes"] == NODES
    assert disturbed[-1]["accuracy"] > calm[-1]["accuracy"] - WITHIN
    at = HEALED[trouble] - 1
    assert disturbed[at]["accuracy_worst"] > calm[at]["accuracy_worst"] - WORST


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("method", METHODS)
def test_a_day_with_crashes_islands_or_loss_ends_as_well_as_one_without(
    method: str, seed: int, tmp_path: Path
) -> None:
    def on(faults: FaultPlan) -> Simulated:
        return Simulated(SIMULATED, seed=seed, compute=PerExample(1e-4), faults=faults)

    calm = lines(method, seed, on(FaultPlan()), 3600.0, tmp_path / "calm")
    for trouble in HEALED:
        faults = plan(trouble, SIMULATED, 3600.0)
        check(calm, lines(method, seed, on(faults), 3600.0, tmp_path / trouble), trouble)


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, int], list[dict[str, Any]]]:
    """The lines of an undisturbed day in real processes, carried out once."""

    @cache
    def found(method: str, seed: int) -> list[dict[str, Any]]:
        return lines(method, seed, Processes(REAL), HOUR[method], tmp_path_factory.mktemp("calm"))

    return found


@pytest.mark.parametrize("trouble", list(HEALED))
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", METHODS)
def test_the_same_in_sixteen_processes_whose_hours_take_seconds(
    method: str,
    seed: int,
    trouble: str,
    undisturbed: Callable[[str, int], list[dict[str, Any]]],
    tmp_path: Path,
) -> None:
    hour = HOUR[method]
    on = Processes(REAL, faults=plan(trouble, REAL, hour))
    check(undisturbed(method, seed), lines(method, seed, on, hour, tmp_path), trouble)
