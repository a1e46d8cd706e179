"""Every algorithm on every deployment: the same bits; and SCAFFOLD's c_i, which survive kills."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import actors
from actorfl import (
    SGD,
    Ctx,
    FedAvg,
    GeometricMedian,
    Gradients,
    Median,
    Mine,
    MultiKrum,
    Rounds,
    Run,
    Scaffold,
    Star,
    Terms,
    Tree,
    holding,
)
from actorfl.algorithm import Algorithm
from actorfl.errors import Misfit
from actors import Drop, Duplicate, FaultPlan, Inline, Kill, Processes, Reorder, Simulated
from actors.testing.chaos import explore
from tests.actorfl.clocks import TOGETHER
from tests.faults.runs import carry_out, small, thorough
from tests.faults.tasks import Counting
from tests.faults.test_kills import fit, killing, slow
from tests.faults.test_simulated import PATIENT, simulate

pytestmark = pytest.mark.timeout(300)

SCAFFOLD = f"""
task = {{ kind = "{Path(__file__).with_name("tasks.py")}:Blobs" }}
topology = {{ kind = "star", workers = 4 }}
algorithm = "scaffold"
local = {{ kind = "sgd", lr = 0.1, batch = 8, epochs = 1 }}
until = {{ rounds = 20 }}

[chaos]
rounds = 2
"""


def lie(ctx: Ctx) -> Ctx:
    """w0 goes a hundred times as far, and the other way."""
    if ctx.worker != "w0":
        return ctx
    return replace(ctx, weights=ctx.start - np.float32(100) * ctx.delta)


class Liar(Algorithm):
    """An algorithm with one worker that lies."""

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        return super().up(lie(ctx), mine)


@dataclass(frozen=True)
class Lying(Liar, FedAvg):
    pass


@dataclass(frozen=True)
class LyingToMedian(Liar, Median):
    pass


@dataclass(frozen=True)
class LyingToMultiKrum(Liar, MultiKrum):
    pass


@dataclass(frozen=True)
class LyingToGeometricMedian(Liar, GeometricMedian):
    pass


def short(kind: str, **changed: Any) -> Run:
    """Three rounds of a kind, with running statistics in the model."""
    local: SGD | Gradients = SGD(lr=0.1) if kind == "fedsgd" else SGD(lr=0.1, batch=8)
    algorithm = TOGETHER[kind]
    if algorithm.gradients:
        local = Gradients(batch=8)
    of = Star(5) if algorithm.edge_rounds is None else Tree(root=1, edge=2, worker=5)
    return small(
        task=Counting(), topology=of, algorithm=algorithm, local=local, until=Rounds(3), **changed
    )


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The digest of what a kind learns in one process, each computed once."""

    @cache
    def digest(kind: str) -> str:
        out = tmp_path_factory.mktemp(kind)
        return actors.run(carry_out(short(kind), out, Inline())).sha256

    return digest


@pytest.mark.parametrize("kind", TOGETHER)
def test_each_kind_has_the_same_bits_inline_and_simulated(
    kind: str, inline: Callable[[str], str], tmp_path: Path
) -> None:
    simulated, _ = simulate(short(kind), Simulated(2), tmp_path)
    assert (simulated.sha256, simulated.rounds) == (inline(kind), 3)


def test_no_two_kinds_have_the_same_bits(inline: Callable[[str], str]) -> None:
    found = {kind: inline(kind) for kind in TOGETHER}
    # Ditto learns the shared model as FedAvg does; what it adds stays at the workers.
    assert found.pop("ditto") == found["fedavg"]
    assert len(set(found.values())) == len(TOGETHER) - 1


@pytest.mark.parametrize("kind", ["krum", "multi-krum", "geometric-median"])
def test_faults_change_no_bit_of_what_looks_at_whole_models(
    kind: str, inline: Callable[[str], str], tmp_path: Path
) -> None:
    plan = FaultPlan(
        Drop(0.2), Duplicate(0.2), Reorder(0.2), Kill("p0", at=0.5), seed=1, until=20.0
    )
    on = Simulated(2, seed=1, faults=plan)
    result, told = simulate(short(kind, **PATIENT), on, tmp_path)
    assert (result.sha256, result.rounds) == (inline(kind), 3)
    assert told.faults.keys() >= {"drop", "duplicate", "reorder"}
    assert told.killed == 1


async def test_the_control_variates_of_scaffold_survive_their_process(tmp_path: Path) -> None:
    run = slow(algorithm=Scaffold())
    expected = await carry_out(run, tmp_path, Inline())
    disturb, kills = killing("p0", when=fit(3))
    result = await carry_out(run, tmp_path, Processes(2), disturb=disturb)
    assert (kills, result.restarts) == (["p0"], 1)
    assert result.sha256 == expected.sha256


@pytest.mark.parametrize("seeds", [10, thorough(200)])
def test_no_schedule_of_faults_changes_a_bit_of_scaffold(seeds: int, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(SCAFFOLD)
    report = explore(
        "actorfl.chaos.scenario:scenario", range(seeds), arguments=(str(file),), jobs=2
    )
    assert not report.failed, report.failed[0]
    assert (report.seeds, report.kills > 0) == (seeds, True)


def test_more_models_than_fit_end_the_run_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "MOST_HELD", 100)
    with pytest.raises(Misfit, match=r"Median holds the models of all 4 workers, .* use fewer"):
        actors.run(carry_out(small(algorithm=Median()), tmp_path, Inline()))


def test_one_worker_that_sends_anything_ruins_the_mean_and_no_robust_rule(tmp_path: Path) -> None:
    def accuracy(algorithm: Algorithm) -> float:
        run = small(topology=Star(5), algorithm=algorithm, until=Rounds(4))
        found = actors.run(carry_out(run, tmp_path, Inline())).accuracy
        assert found is not None
        return found

    fair = accuracy(FedAvg())
    assert accuracy(Lying()) < fair - 0.2
    for robust in (LyingToMedian(), LyingToMultiKrum(), LyingToGeometricMedian()):
        assert accuracy(robust) > fair - 0.1
