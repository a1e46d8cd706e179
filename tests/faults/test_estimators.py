"""Estimators with partial_fit: the same runs, with no torch in any of their processes."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import actors
from actorfl import (
    SGD,
    Algorithm,
    Ditto,
    Every,
    FedAdam,
    FedAvg,
    FedNova,
    FedProx,
    FedRep,
    Gradients,
    Inline,
    Local,
    Median,
    ParameterServer,
    RingGraph,
    Run,
    Scaffold,
    Tree,
)  # fmt: skip
from actorfl.engine import engine_of
from actorfl.errors import ConfigError, Misfit, MissingExtra
from actors import Deployment, Processes, Simulated
from tests.faults.halves import Halves
from tests.faults.programs import Handing
from tests.faults.runs import carry_out, small
from tests.faults.test_simulated import schedule

LOCAL = SGD(lr=0.05, batch=8, epochs=2)


def halves(**changed: Any) -> Run:
    return small(**{"task": Halves(), "local": LOCAL, **changed})


@pytest.mark.parametrize("on", [Simulated(2), Processes(2)], ids=["simulated", "processes"])
def test_a_run_without_torch_gives_the_same_bits_wherever_it_runs(
    on: Deployment, tmp_path: Path
) -> None:
    changed = {"validate": 0.2, "evaluate": Every(1, at="workers")}
    inline = halves(**changed).start(on=Inline(), out=tmp_path)
    # In processes it raises where torch is loaded; this one has it from other tests.
    alone = isinstance(on, Processes)
    result = halves(task=Halves(alone=alone), **changed).start(on=on, out=tmp_path)
    assert result.sha256 == inline.sha256
    assert result.metrics == inline.metrics
    assert not result.unpromised


def test_the_task_of_the_test_above_tells_of_torch(tmp_path: Path) -> None:
    import torch

    assert torch.__version__
    with pytest.raises(RuntimeError, match="torch was loaded in this process"):
        Halves(alone=True).estimator()


@pytest.mark.parametrize(
    ("how", "algorithm"),
    [
        ("linear", FedAvg()), ("hinge", FedAdam()), ("network", FedAvg()), ("regressor", Median()),
    ],
)  # fmt: skip
def test_each_estimator_learns(how: str, algorithm: Algorithm, tmp_path: Path) -> None:
    local = replace(LOCAL, lr=0.5) if how == "network" else LOCAL
    run = halves(task=Halves(how), algorithm=algorithm, local=local)
    result = actors.run(carry_out(run, tmp_path, Inline()))
    loss = result.metrics["loss"]
    assert loss is not None
    if how == "regressor":
        assert loss < 0.4
    else:
        assert result.accuracy is not None
        assert result.accuracy > 0.7


def test_no_fault_changes_a_bit(tmp_path: Path) -> None:
    expected = actors.run(carry_out(halves(), tmp_path)).sha256
    for seed in (1, 2):
        on = schedule(seed)
        assert actors.run(carry_out(halves(), tmp_path, on), on=on).sha256 == expected


def test_a_tree_has_the_model_of_a_star_and_nodes_in_a_ring_train_so_too(tmp_path: Path) -> None:
    star = halves().start(on=Inline(), out=tmp_path)
    tree = replace(halves(), topology=Tree(root=1, edge=2, worker=4))
    assert tree.start(on=Inline(), out=tmp_path).sha256 == star.sha256
    ring = Run(Halves(), RingGraph(3), node=Handing(2), local=LOCAL)
    found = {ring.start(on=on, out=tmp_path).sha256 for on in (Inline(), Simulated(2))}
    assert len(found) == 1


@pytest.mark.parametrize(
    ("algorithm", "local"),
    [
        (FedProx(), LOCAL), (FedNova(), LOCAL), (Scaffold(), LOCAL), (Ditto(), LOCAL),
        (FedRep(head="coef_"), LOCAL), (ParameterServer(lr=0.1), Gradients()),
        (FedAvg(), replace(LOCAL, momentum=0.5)), (FedAvg(), replace(LOCAL, clip=1.0)),
        (FedAvg(), replace(LOCAL, weight_decay=0.1)),
    ],
    ids=str,
)  # fmt: skip
def test_what_partial_fit_hides_is_refused_to_be_corrected_or_counted(
    algorithm: Algorithm, local: Local
) -> None:
    with pytest.raises(Misfit, match="partial_fit"):
        halves(algorithm=algorithm, local=local)


def test_the_model_is_the_coefficients_by_name() -> None:
    task = Halves()
    found = engine_of(task).initial(task, 3)
    shapes = {part.name: part.shape for part in found.layout}
    assert shapes == {"coef_": (1, 3), "intercept_": (1,)}
    assert not found.vector.any()
    network = Halves("network")
    layers = engine_of(network).initial(network, 3)
    assert {part.name: part.shape for part in layers.layout} == {
        "coefs_.0": (3, 5), "coefs_.1": (5, 1), "intercepts_.0": (5,), "intercepts_.1": (1,),
    }  # fmt: skip
    assert layers.vector.tobytes() == engine_of(network).initial(network, 3).vector.tobytes()
    assert layers.vector.tobytes() != engine_of(network).initial(network, 4).vector.tobytes()


def test_a_learning_rate_that_heeds_no_setting_is_refused() -> None:
    task = Halves("scheduled")
    with pytest.raises(ConfigError, match="give it learning_rate='constant'"):
        engine_of(task).initial(task, 0)


def test_data_that_are_no_two_arrays_are_refused() -> None:
    task = Halves()
    start = engine_of(task).initial(task, 0)
    wrong: list[Sequence[Any]] = [
        ([1.0, 2.0], [0, 1]), (np.zeros((4, 3)), np.zeros(3)), (np.zeros((4, 3)),),
    ]  # fmt: skip
    for data in wrong:
        with pytest.raises(ConfigError, match="the data of Halves are"):
            engine_of(task).fit(task, tuple(data), start.vector, {}, local=LOCAL, seed=0)


def test_without_scikit_learn_the_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> Any:
        return None if name == "sklearn" else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(MissingExtra, match=r"`scikit-learn`.*pip install 'actorfl\[torch\]'"):
        halves().start(out=tmp_path)


@pytest.mark.parametrize("how", ["linear", "network", "regressor"])
def test_the_learning_rate_of_the_run_is_that_of_the_estimator(how: str) -> None:
    task = Halves(how)
    engine = engine_of(task)
    start, data = engine.initial(task, 0), task.points(0, 8)
    moved = []
    for lr in (0.001, 0.002):
        local = SGD(lr=lr, epochs=1)
        after = engine.fit(task, data, start.vector, {}, local=local, seed=0)
        assert after.steps == 1
        moved.append(np.linalg.norm(after.vector - start.vector))
    assert moved[1] > 1.5 * moved[0] > 0


@dataclass(frozen=True)
class Wrong(Halves):
    """An estimator, features and classes that are given."""

    made: object = None
    wide: Any = 3
    which: Any = (0, 1)

    def estimator(self) -> Any:
        return self.made or super().estimator()

    def features(self) -> int:
        return self.wide  # type: ignore[no-any-return]  # what is tested

    def classes(self) -> tuple[int, ...]:
        return self.which  # type: ignore[no-any-return]  # what is tested


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (
            Wrong(made="forest"),
            r"^estimator\(\) of Wrong returned 'forest', .* no partial_fit; ret",
        ),
        (Wrong(wide="3"), r"^features\(\) of Wrong: expected a whole number, got str '3'$"),
        (Wrong(wide=0), r"^features\(\) of Wrong must be at least 1, got 0$"),
        (Wrong(which=(7,)), r"^classes\(\) of Wrong must be at least two, .*, got \[7\]$"),
        (
            Wrong(which=(1, 0)),
            r"^classes\(\) of Wrong must be .* in rising order, .* got \[1, 0\]$",
        ),
        (
            Wrong(which=2),
            r"^classes\(\) of Wrong: expected whole numbers, such as range\(10\), got",
        ),
        (Wrong(which=("a", "b")), r"^classes\(\) of Wrong: expected whole numbers"),
        (Wrong(which=((0, 1), (2,))), r"^classes\(\) of Wrong: expected whole numbers"),
    ],
    ids=str,
)
def test_what_an_estimator_cannot_be_made_of_is_refused_by_its_method(
    task: Wrong, sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        engine_of(task).shape(task)


def test_classes_may_be_a_range_and_numbers_those_of_numpy() -> None:
    task = Wrong(wide=np.int64(3), which=range(2))
    layout, _ = engine_of(task).shape(task)
    assert layout.names
