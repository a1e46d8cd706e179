"""What workers have for themselves, under faults: the same bits, and none of them sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import actors
from actorfl import (
    Algorithm,
    Ditto,
    Every,
    FedAdam,
    FedAvgM,
    FedBN,
    FedNova,
    FedRep,
    Result,
    Rounds,
    Run,
    Tree,
    personal_model,
)
from actorfl.errors import Misfit, RunDirectoryError, UnknownKey, WrongValue
from actorfl.replaying import replay
from actors import Inline, Processes, Simulated
from tests.faults.runs import carry_out, rows, small
from tests.faults.tasks import Counting
from tests.faults.test_kills import fit, killing, slow
from tests.faults.test_simulated import PATIENT, schedule, simulate

pytestmark = pytest.mark.timeout(300)

#: Schedules in which processes of workers are killed.
SEEDS = (0, 1, 2)
KINDS = {
    "fedbn": FedBN(),
    "fedrep": FedRep(head_epochs=1),
    "ditto": Ditto(lam=0.5),
    "parts": FedAvgM(lr=0.5),
}


def kept(kind: str, **changed: Any) -> Run:
    """Three rounds in which workers keep something for themselves, measured there."""
    parts: Any = {"1.*": "local", "3.bias": "mean", "*": "shared"} if kind == "parts" else None
    values = {"task": Counting(), "validate": 0.2, "evaluate": Every(1, at="workers")}
    return small(**values, algorithm=KINDS[kind], parts=parts, until=Rounds(3), **changed)


def left(result: Result) -> tuple[Any, ...]:
    """The shared model, what was measured, and the model of each worker."""
    models = [personal_model(result.directory, f"w{n}") for n in range(4)]
    own = [{name: array.tobytes() for name, array in each.items()} for each in models]
    return result.sha256, dict(result.metrics), own


@pytest.mark.parametrize("kind", KINDS)
def test_no_schedule_of_faults_changes_a_bit_of_what_workers_have_for_themselves(
    kind: str, tmp_path: Path
) -> None:
    expected = left(actors.run(carry_out(kept(kind), tmp_path, Inline())))
    killed = 0
    for seed in SEEDS:
        result, told = simulate(kept(kind, **PATIENT), schedule(seed), tmp_path / str(seed))
        assert left(result) == expected, f"seed {seed}"
        killed += told.started - 4
    assert killed >= len(SEEDS)
    assert len({tuple(sorted(own.items())) for own in expected[2]}) == 4


async def test_a_head_survives_its_process(tmp_path: Path) -> None:
    run = slow(algorithm=FedRep(head_epochs=1), validate=0.2, until=Rounds(2))
    expected = await carry_out(run, tmp_path, Inline())
    disturb, kills = killing("p0", when=fit(1))
    result = await carry_out(run, tmp_path, Processes(2), disturb=disturb)
    assert (kills, result.restarts) == (["p0"], 1)
    assert (result.sha256, result.metrics) == (expected.sha256, expected.metrics)
    assert set(result.metrics) == {
        *("accuracy", "accuracy_worst_decile", "loss", "loss_worst_decile"),
    }


def test_a_personal_model_is_the_shared_one_with_the_workers_own_parts(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    result = actors.run(carry_out(kept("fedbn"), tmp_path, Inline()))
    shared = load_file(result.directory / "model.safetensors")
    assert set(shared) == {"0.weight", "0.bias", "3.weight", "3.bias"}
    mine = personal_model(result.directory, "w2")
    assert set(mine) == set(Counting().model().state_dict())
    assert all(np.array_equal(mine[name], array) for name, array in shared.items())
    with pytest.raises(WrongValue, match=r"has no worker 'w9'; known here: `w0`"):
        personal_model(result.directory, "w9")
    with pytest.raises(RunDirectoryError, match="no directory of a run"):
        personal_model(tmp_path / "elsewhere", "w0")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    "values", [{"topology": Tree(root=1, edge=2, worker=4)}, {"combine": True}], ids=["tree", "sum"]
)
def test_a_personal_model_is_read_where_aggregators_lie_between(
    values: dict[str, Any], tmp_path: Path
) -> None:
    star, _ = simulate(kept("ditto"), Simulated(2), tmp_path / "star")
    result, _ = simulate(kept("ditto", **values), Simulated(2), tmp_path / "between")
    assert left(result) == left(star)


@pytest.mark.parametrize("algorithm", [FedAvgM(lr=0.5), FedAdam(), FedNova()])
def test_a_model_that_takes_the_mean_is_that_of_fedavg_whatever_the_server_does(
    algorithm: Algorithm, tmp_path: Path
) -> None:
    run = small(task=Counting(), algorithm=algorithm, parts={"*": "mean"}, until=Rounds(3))
    mean = actors.run(carry_out(run, tmp_path, Inline()))
    fedavg = actors.run(carry_out(small(task=Counting(), until=Rounds(3)), tmp_path, Inline()))
    assert mean.sha256 == fedavg.sha256


def test_only_what_is_shared_counts_as_traffic(tmp_path: Path) -> None:
    sizes = {
        kind: rows(actors.run(carry_out(kept(kind), tmp_path, Inline())).directory)[0]["bytes"]
        for kind in ("fedbn", "ditto")
    }
    # 4 workers, up and down; tensors begin on boundaries of 64 bytes.
    assert sizes == {"fedbn": 1536, "ditto": 3072}


def test_a_clock_with_local_parts_can_be_replayed(tmp_path: Path) -> None:
    result = actors.run(carry_out(kept("fedrep", record=True), tmp_path, Inline()))
    assert replay(result.directory, "w1", 2).same


@pytest.mark.parametrize(
    ("changed", "kind", "sentence"),
    [
        ({"parts": {"haed.*": "local", "*": "shared"}}, UnknownKey, "unknown pattern `haed"),
        ({"algorithm": FedBN()}, Misfit, "FedBN keeps normalisation layers"),
        ({"algorithm": FedRep(head="*")}, Misfit, "has none in its body"),
    ],
)
def test_what_does_not_fit_the_model_ends_the_run_before_its_first_round(
    changed: dict[str, Any], kind: type[Exception], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=sentence):
        actors.run(carry_out(small(**changed), tmp_path, Inline()))
    assert rows(tmp_path / "small-1") == []
