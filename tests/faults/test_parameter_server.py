"""A parameter server by real runs: full-batch descent, FedSGD, staleness 0, and faults."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

import actors
from actorfl import (
    ASP,
    BSP,
    SGD,
    SSP,
    Buffered,
    Clocks,
    FedSGD,
    Gradients,
    Mean,
    ParameterServer,
    Quorum,
    Rounds,
    Run,
    Star,
    Tree,
    Who,
)
from actorfl import model as models
from actorfl.chaos.scenario import scenario_of, shortened
from actorfl.chaos.settings import Chaos
from actorfl.task import Batch, Dataset
from actors import Inline, Simulated
from actors.testing.chaos import explore
from tests.faults.runs import carry_out, rows, small, thorough
from tests.faults.serving import MOMENTUM, keep_laws, served
from tests.faults.tasks import Blobs, Counting, blobs
from tests.faults.test_simulated import PATIENT, schedule, simulate

pytestmark = pytest.mark.timeout(300)

TREE = Tree(root=1, edge=2, worker=4)


def model_of(run: Run, out: Path) -> dict[str, np.ndarray]:
    result = actors.run(carry_out(run, out, Inline()))
    return load_file(result.directory / "model.safetensors")


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_all_examples_under_a_barrier_are_full_batch_descent_on_the_union(
    momentum: float, tmp_path: Path
) -> None:
    algorithm = ParameterServer(0.1, momentum=momentum, weight_decay=0.01)
    run = served(algorithm=algorithm, local=Gradients(), until=Rounds(6))
    found = model_of(run, tmp_path)
    module = Blobs().model()
    start = models.initial(Blobs(), run.seed)
    models.load(module, start.vector, start.buffers)
    shards = [blobs(index, 30 + 10 * index) for index in range(4)]
    union = tuple(torch.cat(column) for column in zip(*shards, strict=True))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=momentum, weight_decay=0.01)
    for _ in range(6):
        optimizer.zero_grad()
        Blobs().loss(module, union).backward()  # type: ignore[no-untyped-call]  # torch's own
        optimizer.step()
    for name, tensor in module.state_dict().items():
        np.testing.assert_allclose(found[name], tensor.numpy(), atol=1e-6)


def test_without_momentum_over_all_examples_it_is_fedsgd(tmp_path: Path) -> None:
    values: dict[str, Any] = {"task": Counting(), "until": Rounds(4)}
    server = served(algorithm=ParameterServer(0.1), local=Gradients(), **values)
    one = model_of(server, tmp_path / "one")
    other = model_of(small(algorithm=FedSGD(), local=SGD(lr=0.1), **values), tmp_path / "other")
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=1e-6)


def test_a_staleness_of_0_and_a_tree_have_the_bits_of_a_star_under_bsp(tmp_path: Path) -> None:
    runs = [
        served(sync=BSP()),
        served(sync=SSP(0)),
        served(topology=Tree(root=1, edge=2, worker=4)),
    ]
    found = {actors.run(carry_out(run, tmp_path, Inline())).sha256 for run in runs}
    assert len(found) == 1


@pytest.mark.parametrize("sync", [SSP(3), ASP(), Buffered(2), Quorum(0.6)], ids=repr)
def test_it_learns_under_every_policy(sync: Any, tmp_path: Path) -> None:
    # BatchNorm's statistics come along.
    values = {"task": Counting(), "sync": sync, "until": Rounds(15)}
    run = served(algorithm=ParameterServer(0.2, momentum=0.5), **values)
    result, _ = simulate(run, Simulated(2), tmp_path)
    assert result.accuracy is not None
    assert result.accuracy > 0.8
    assert np.isfinite(load_file(result.directory / "model.safetensors")["1.running_var"]).all()


def test_faults_change_no_bit_under_bsp_and_lose_no_gradient_under_ssp(tmp_path: Path) -> None:
    """Velocity and schedule go on where they were."""
    run = served(until=Clocks(6), **PATIENT)
    expected = actors.run(carry_out(run, tmp_path, Inline())).sha256
    killed = 0
    for seed in range(3):
        result, told = simulate(run, schedule(seed), tmp_path / f"bsp{seed}")
        assert result.sha256 == expected, f"seed {seed}"
        stale, also = simulate(replace(run, sync=SSP(3)), schedule(seed), tmp_path / f"ssp{seed}")
        assert sum(row["updates"] for row in rows(stale.directory)) == 24, f"seed {seed}"
        killed += told.killed * also.killed
    assert killed > 0


@dataclass(frozen=True)
class Powers(Blobs):
    """The gradient of an example is its value: 1, 2, 4 or 8."""

    def model(self) -> nn.Module:
        return nn.Linear(1, 1, bias=False)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        value: torch.Tensor = model(batch[0]).mean()
        return value

    def metrics(self, model: nn.Module, batch: Batch) -> dict[str, Mean]:
        return {}

    def train(self, who: Who) -> Dataset:
        return (torch.tensor([[1.0], [2.0], [4.0], [8.0]]),)

    def test(self) -> Dataset:
        return (torch.ones(1, 1),)


def test_a_worker_takes_each_example_once_in_an_epoch(tmp_path: Path) -> None:
    """Of four that it took only the sum of all is 15."""
    run = served(
        task=Powers(), topology=Star(1), algorithm=ParameterServer(1.0), local=Gradients(1)
    )
    for seed in range(3):
        of = replace(run, seed=seed, until=Rounds(4))
        start = models.initial(Powers(), seed).vector
        (after,) = model_of(of, tmp_path / str(seed)).values()
        assert after.item() - start.item() == pytest.approx(-15.0, abs=1e-4)


@pytest.mark.parametrize("sync", [SSP(1), ASP()], ids=repr)
def test_each_gradient_moves_the_model_by_the_share_of_its_worker(
    sync: Any, tmp_path: Path
) -> None:
    """An epoch of each of two workers: half of 15 twice, whoever comes first."""
    run = served(
        task=Powers(), topology=Star(2), algorithm=ParameterServer(1.0), local=Gradients(1),
        sync=sync, until=Clocks(4),
    )  # fmt: skip
    (after,) = model_of(run, tmp_path).values()
    start = models.initial(Powers(), run.seed).vector
    assert after.item() - start.item() == pytest.approx(-15.0, abs=1e-4)


@pytest.mark.parametrize("sync", [ASP(), SSP(2), Buffered(1)], ids=repr)
@pytest.mark.parametrize("between", [{"edge": 1}, {"fog": 1, "edge": 3}], ids=["one", "below one"])
def test_below_a_free_root_one_aggregator_has_the_bits_of_a_star_under_bsp(
    sync: Any, between: dict[str, int], tmp_path: Path
) -> None:
    """Its gradient is that of the union: the mean of what its workers have taken at one model."""
    algorithm = replace(MOMENTUM, weight_decay=0.01)
    run = served(task=Counting(), algorithm=algorithm, topology=Star(4), until=Rounds(3))
    star, _ = simulate(run, Simulated(2), tmp_path)
    levels = {"root": sync, **dict.fromkeys(between, BSP())}
    topology = Tree([("root", 1), *between.items(), ("worker", 4)])
    tree, _ = simulate(
        served(task=Counting(), algorithm=algorithm, topology=topology, sync=levels,
               until=Rounds(3)),
        Simulated(2), tmp_path,
    )  # fmt: skip
    assert (tree.sha256, tree.metrics) == (star.sha256, star.metrics)


@dataclass(frozen=True)
class Unequal(Powers):
    """Worker k has 4 (k + 1) examples, each of the gradient k + 1."""

    def train(self, who: Who) -> Dataset:
        return (torch.full((4 * (who.index + 1), 1), who.index + 1.0),)


@pytest.mark.parametrize("sync", [SSP(1), ASP()], ids=repr)
def test_each_aggregator_moves_the_model_by_the_share_of_its_workers(
    sync: Any, tmp_path: Path
) -> None:
    run = served(
        task=Unequal(), topology=Tree(root=1, edge=2, worker=3), algorithm=ParameterServer(1.0),
        local=Gradients(2), sync={"root": sync, "edge": BSP()}, until=Clocks(4),
    )  # fmt: skip
    result, _ = simulate(run, schedule(4), tmp_path)
    (after,) = load_file(result.directory / "model.safetensors").values()
    start = models.initial(Unequal(), run.seed).vector
    assert after.item() - start.item() == pytest.approx(-4 * (1 + 4 + 9) / 6, abs=1e-4)
    assert sum(row["updates"] for row in rows(result.directory)) == 8


@pytest.mark.parametrize("seeds", [3, thorough(200)])
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("sync", [ASP(), SSP(1), Buffered(2)], ids=repr)
def test_no_schedule_loses_a_gradient_of_an_aggregator(sync: Any, seeds: int) -> None:
    run, chaos = served(topology=TREE, sync={"root": sync, "edge": BSP()}), Chaos(rounds=2)
    report = explore(scenario_of(shortened(run, chaos), chaos), range(seeds))
    assert not report.failed, report.failed[0]
    assert report.seeds == seeds


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("sync", ['"bsp"', '{ kind = "ssp", staleness = 3 }'])
def test_no_schedule_of_faults_breaks_a_law(sync: str, tmp_path: Path) -> None:
    """Under BSP the bits are those of the undisturbed run, velocity and schedule included."""
    keep_laws(tmp_path, sync, task="Blobs", rounds=2, seeds=200)


def test_the_bits_of_another_batch_are_others(tmp_path: Path) -> None:
    runs = [served(topology=Star(2), local=Gradients(each)) for each in (8, 9)]
    assert len({actors.run(carry_out(run, tmp_path, Inline())).sha256 for run in runs}) == 2
