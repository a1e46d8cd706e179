"""A worker that would not compute the same bits is refused, or the result says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actorfl import Rounds, Run, Star
from actorfl.errors import Misfit
from actorfl.saying import closing_line
from actors import CrashPoint, FaultPlan, Processes
from tests.faults.runs import carry_out, small

pytestmark = pytest.mark.timeout(120)

CHANGES = [
    pytest.param({"ACTORFL_THREADS": "2"}, "w2 computes with 2 threads per fit and w0 with 1 ", id="threads"),
    pytest.param({"OMP_NUM_THREADS": "2"}, "w2 computes with 2 threads per fit and w0 with 1 ", id="openmp"),
    pytest.param(
        {"ATEN_CPU_CAPABILITY": "default"}, "w2 computes with the CPU capability DEFAULT and w0 ", id="capability"
    ),
]  # fmt: skip


def three(**changed: Any) -> Run:
    """Each worker in a process of its own; whoever differs is neither the first nor alone."""
    return small(topology=Star(3), until=Rounds(2), **changed)


@pytest.mark.parametrize(("variables", "sentence"), CHANGES)
async def test_a_strict_run_refuses_a_worker_that_computes_otherwise(
    variables: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    on = Processes(3, env={"w2": variables})
    with pytest.raises(Misfit, match="the run is strict, but w2 computes with ") as no:
        await carry_out(three(strict=True), tmp_path, on)
    assert sentence in str(no.value)
    assert no.value.exit_code == 15


async def test_another_run_says_that_its_bits_are_not_promised(tmp_path: Path) -> None:
    on = Processes(3, env={"w2": {"ACTORFL_THREADS": "2"}})
    said: list[str] = []
    result = await carry_out(
        three(), tmp_path, on, on_row=lambda row: said.append(str(row.get("event")))
    )
    assert list(result.unpromised) == ["w2"]
    assert "w2 computes with 2 threads per fit and w0 with 1 " in result.unpromised["w2"]
    assert any(line.startswith("the same bits are not promised: w2") for line in said)
    assert "the same bits are not promised; " in closing_line(result)
    stored = json.loads((result.directory / "result.json").read_text())
    assert stored["unpromised"] == dict(result.unpromised)


async def test_a_worker_that_differs_is_known_though_the_aggregator_died_before_it_saved(
    tmp_path: Path,
) -> None:
    # The first write of its storage takes over the metrics, the second is the first checkpoint.
    point = CrashPoint(point="storage.write", action="sigkill", at=2, node="aggregator")
    on = Processes(3, env={"w2": {"ACTORFL_THREADS": "2"}}, faults=FaultPlan(point))
    result = await carry_out(three(), tmp_path, on)
    assert result.restarts == 1
    assert list(result.unpromised) == ["w2"]


async def test_a_strict_run_whose_workers_are_alike_is_like_any_other(tmp_path: Path) -> None:
    on = Processes(2, env={"w1": {"SOMETHING_ELSE": "1"}})
    strict = await carry_out(small(strict=True, until=Rounds(2)), tmp_path, on)
    other = await carry_out(small(until=Rounds(2)), tmp_path)
    assert strict.sha256 == other.sha256
    assert strict.unpromised == {}
