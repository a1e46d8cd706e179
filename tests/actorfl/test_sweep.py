"""A run under several seeds: which, where each leaves its files, and what is told of all."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actorfl import SGD, FedAvg, Result, Rounds, Run, Star, Sweep, Swept
from actorfl.baselines import Baselines
from actorfl.errors import WrongType, WrongValue
from actorfl.saying import summary_of_seeds
from actors import Simulated
from tests.faults.tasks import Blobs, Pooled


def run(**changed: Any) -> Run:
    values: dict[str, Any] = {
        "task": Blobs(), "topology": Star(2), "algorithm": FedAvg(), "until": Rounds(1), "seed": 3,
    }  # fmt: skip
    return Run(**{**values, "local": SGD(lr=0.1, batch=8), **changed})


def result(accuracy: float | None, **metrics: float | None) -> Result:
    return Result(accuracy, "ab", 1, 0, Path("runs/x-1"), {"accuracy": accuracy, **metrics})


def test_a_number_of_seeds_are_those_that_follow_from_the_run_s_own() -> None:
    sweep = Sweep(run(), seeds=3)
    assert [one.seed for one in sweep.runs] == [3, 4, 5]
    assert [replace(one, seed=3) for one in sweep.runs] == [run()] * 3


@pytest.mark.parametrize("task", [Blobs(), Pooled()])
def test_a_run_with_another_value_is_the_run_that_had_it_from_the_start(task: object) -> None:
    assert replace(run(task=task), seed=9) == run(task=task, seed=9)
    assert replace(run(task=task), seed=9).hash == run(task=task, seed=9).hash


def test_seeds_may_be_named() -> None:
    assert [one.seed for one in Sweep(run(), seeds=(7, 1)).runs] == [7, 1]


@pytest.mark.parametrize(
    ("seeds", "error", "sentence"),
    [
        (0, WrongValue, "the number of seeds of Sweep must be from 1 to 1000, got 0"),
        (1001, WrongValue, "from 1 to 1000, got 1001"),
        ((), WrongValue, "got 0"),
        ((1, 2, 1), WrongValue, "without a seed that is there twice, got 1"),
        ((1, -1), WrongValue, "`seed` of Run must be from 0"),
        (True, WrongType, "a number of seeds, or a tuple of them"),
        ("5", WrongType, "a number of seeds, or a tuple of them"),
    ],
)
def test_other_seeds_are_refused_before_anything_starts(
    seeds: Any, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error) as refused:
        Sweep(run(), seeds=seeds)
    assert sentence in str(refused.value)


def test_there_must_be_so_many_seeds_above_the_first() -> None:
    with pytest.raises(WrongValue, match="the last seed of Sweep"):
        Sweep(run(seed=2**63 - 1), seeds=2)
    assert Sweep(run(seed=2**63 - 1), seeds=1).each == (2**63 - 1,)


def test_each_seed_is_a_run_of_its_own_with_a_directory_of_its_own(tmp_path: Path) -> None:
    ended: list[int] = []
    swept = Sweep(run(), seeds=2).start(
        Simulated(1), out=tmp_path, on_result=lambda seed, result: ended.append(seed)
    )
    alone = run(seed=4).start(Simulated(1), out=tmp_path)
    assert ended == list(swept.seeds) == [3, 4]
    assert [one.directory.name for one in swept.results] == ["blobs-1", "blobs-2"]
    assert swept.results[1].sha256 == alone.sha256 != swept.results[0].sha256
    accuracies = [one.accuracy or 0.0 for one in swept.results]
    assert swept.mean == statistics.fmean(accuracies)
    assert swept.sd == statistics.stdev(accuracies)


def test_a_sweep_is_printed_as_mean_and_standard_deviation() -> None:
    swept = Swept((0, 1, 2), (result(0.5, loss=1.0), result(0.6, loss=1.0), result(0.7, loss=1.0)))
    assert str(swept) == "accuracy 0.6000 ± 0.1000, loss 1.0000 ± 0.0000 over 3 seeds"
    assert str(Swept((0,), (result(0.5),))) == "accuracy 0.5000 ± 0.0000 over 1 seed"


def test_what_a_run_did_not_measure_is_left_out() -> None:
    swept = Swept((0, 1), (result(None, loss=1.0), result(None, loss=2.0)))
    assert (swept.mean, swept.sd) == (None, None)
    assert str(swept) == "loss 1.5000 ± 0.7071 over 2 seeds"
    assert str(Swept((0,), (result(None),))) == "nothing measured over 1 seed"


def test_baselines_are_told_where_every_run_has_them() -> None:
    def compared(central: float, local: float) -> Result:
        return replace(result(0.5), baselines=Baselines({"accuracy": central}, {"accuracy": local}))

    swept = Swept((0, 1), (compared(0.9, 0.2), compared(0.8, 0.2)))
    told = "accuracy 0.5000 ± 0.0000; centralised accuracy 0.8500 ± 0.0707; "
    assert str(swept) == told + "local only accuracy 0.2000 ± 0.0000 over 2 seeds"
    assert summary_of_seeds(swept)["baselines"]["local_only"]["accuracy"]["mean"] == 0.2
    mixed = Swept((0, 1), (compared(0.9, 0.2), result(0.5)))
    assert mixed.baselines == {}
    assert "baselines" not in summary_of_seeds(mixed)


def test_a_sweep_in_json_has_every_run_in_it() -> None:
    told = summary_of_seeds(Swept((0, 1), (result(0.5), result(0.7))))
    assert told["accuracy"] == pytest.approx(0.6)
    assert told["metrics"]["accuracy"] == {"mean": told["accuracy"], "sd": told["sd"]}
    assert told["seeds"] == [0, 1]
    assert [one["accuracy"] for one in told["runs"]] == [0.5, 0.7]
