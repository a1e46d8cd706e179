"""Every algorithm on every deployment: the same bits; and SCAFFOLD's c_i, which survive kills."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import actors
from actorfl import (
    SGD,
    Ctx,
    FedAvg,
    Median,
    Mine,
    Rounds,
    Run,
    Scaffold,
    Star,
    Terms,
    holding,
)
from actorfl.algorithm import Algorithm
from actorfl.errors import Misfit
from actors import Inline, Processes, Simulated
from actors.testing.chaos import explore
from tests.actorfl.clocks import KINDS
from tests.faults.runs import carry_out, small
from tests.faults.tasks import Counting
from tests.faults.test_kills import fit, killing, slow
from tests.faults.test_simulated import simulate

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


@dataclass(frozen=True)
class Lying(FedAvg):
    """FedAvg with one worker that lies."""

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        return super().up(lie(ctx), mine)


@dataclass(frozen=True)
class LyingToMedian(Median):
    """The median with one worker that lies."""

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        return super().up(lie(ctx), mine)


def short(kind: str) -> Run:
    """Three rounds of a kind, with running statistics in the model."""
    local = SGD(lr=0.1) if kind == "fedsgd" else SGD(lr=0.1, batch=8)
    return small(
        task=Counting(), topology=Star(5), algorithm=KINDS[kind], local=local, until=Rounds(3)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_the_same_bits_inline_and_simulated(kind: str, tmp_path: Path) -> None:
    inline = actors.run(carry_out(short(kind), tmp_path, Inline()))
    simulated, _ = simulate(short(kind), Simulated(2), tmp_path)
    assert (simulated.sha256, simulated.rounds) == (inline.sha256, 3)


def test_no_two_kinds_have_the_same_bits(tmp_path: Path) -> None:
    found = {kind: actors.run(carry_out(short(kind), tmp_path, Inline())).sha256 for kind in KINDS}
    # Ditto learns the shared model as FedAvg does; what it adds stays at the workers.
    assert found.pop("ditto") == found["fedavg"]
    assert len(set(found.values())) == len(KINDS) - 1


async def test_the_control_variates_of_scaffold_survive_their_process(tmp_path: Path) -> None:
    run = slow(algorithm=Scaffold())
    expected = await carry_out(run, tmp_path, Inline())
    disturb, kills = killing("p0", when=fit(3))
    result = await carry_out(run, tmp_path, Processes(2), disturb=disturb)
    assert (kills, result.restarts) == (["p0"], 1)
    assert result.sha256 == expected.sha256


@pytest.mark.parametrize("seeds", [10, pytest.param(200, marks=pytest.mark.slow)])
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


def test_one_worker_that_sends_anything_ruins_the_mean_and_not_the_median(tmp_path: Path) -> None:
    def accuracy(algorithm: Algorithm) -> float:
        run = small(algorithm=algorithm, until=Rounds(4))
        found = actors.run(carry_out(run, tmp_path, Inline())).accuracy
        assert found is not None
        return found

    fair = accuracy(FedAvg())
    assert accuracy(Lying()) < fair - 0.2
    assert accuracy(LyingToMedian()) > fair - 0.1
