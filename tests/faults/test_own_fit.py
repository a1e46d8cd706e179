"""A task's own fit: what the local loop does by itself, the optimizer does for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

import actors
from actorfl import (
    SGD,
    Algorithm,
    Ditto,
    FedAvg,
    FedBN,
    FedNova,
    FedProx,
    FedRep,
    FitCtx,
    Gradients,
    Inline,
    ParameterServer,
    Scaffold,
)
from actorfl.errors import ConfigError, Misfit
from actors import Deployment, Processes, Simulated
from tests.faults.runs import carry_out, rows, small
from tests.faults.tasks import Blobs, Counting, Fitting


@dataclass(frozen=True)
class FittingCounting(Fitting, Counting):
    """With batch normalisation."""


@pytest.mark.parametrize(
    "algorithm",
    [FedAvg(), FedProx(0.1), FedNova(), Scaffold(), Ditto(), FedRep(head="2.*"), FedBN()],
    ids=lambda one: type(one).__name__,
)
def test_a_fit_that_does_what_the_local_loop_does_has_its_bits(
    algorithm: Algorithm, tmp_path: Path
) -> None:
    plain, own = (Counting(), FittingCounting()) if algorithm == FedBN() else (Blobs(), Fitting())
    local = SGD(lr=0.1, batch=8, epochs=2)
    if algorithm != Scaffold():
        local = replace(local, momentum=0.5, clip=1.0)
    found = []
    for task in (plain, own):
        changed = {"task": task, "algorithm": algorithm, "local": local, "validate": 0.2}
        result = actors.run(carry_out(small(**changed), tmp_path, Inline()))
        losses = [row["train_loss"] for row in rows(result.directory)]
        found.append((result.sha256, result.metrics, losses))
    assert found[0] == found[1]


@pytest.mark.parametrize("on", [Simulated(2), Processes(2)], ids=["simulated", "processes"])
def test_a_fit_of_its_own_gives_the_same_bits_wherever_it_runs(
    on: Deployment, tmp_path: Path
) -> None:
    run = small(task=Fitting(), algorithm=Scaffold())
    inline = run.start(on=Inline(), out=tmp_path)
    assert run.start(on=on, out=tmp_path).sha256 == inline.sha256


def test_an_algorithm_that_needs_no_hook_takes_any_fit(tmp_path: Path) -> None:
    for how in ("torch", "and more"):
        result = actors.run(carry_out(small(task=Fitting(how=how)), tmp_path))
        assert result.rounds == 5


@pytest.mark.parametrize("how", ["torch", "and more"])
@pytest.mark.parametrize(
    "algorithm", [FedProx(0.1), FedNova(), Scaffold(), Ditto()], ids=lambda one: type(one).__name__
)
def test_an_algorithm_that_corrects_or_counts_steps_refuses_a_fit_that_steps_otherwise(
    algorithm: Algorithm, how: str, tmp_path: Path
) -> None:
    sentence = f"{type(algorithm).__name__} corrects or counts each step, and fit of Fitting"
    with pytest.raises(Misfit, match=sentence):
        actors.run(carry_out(small(task=Fitting(how=how), algorithm=algorithm), tmp_path))


def test_a_fit_of_its_own_does_not_go_with_gradients() -> None:
    with pytest.raises(Misfit, match="fit of Fitting takes steps of its own"):
        small(task=Fitting(), algorithm=ParameterServer(lr=0.1), local=Gradients())


def a_context() -> FitCtx:
    model = torch.nn.Linear(2, 1)
    data = (torch.arange(10.0).view(5, 2), torch.zeros(5))
    return FitCtx(model, data, SGD(lr=0.1, batch=2, epochs=2), seed=1)


def test_batches_are_those_of_the_local_loop() -> None:
    ctx = a_context()
    sizes = [len(batch[0]) for batch in ctx.batches()]
    assert sizes == [2, 2, 1] * 2
    assert (ctx.examples, ctx.steps) == (5, 0)
    first = torch.cat([batch[0] for batch in ctx.batches()][:3])
    assert sorted(first[:, 0].tolist()) == [0, 2, 4, 6, 8]


def test_one_optimizer_steps_the_parameters_that_it_was_given() -> None:
    ctx = a_context()
    with pytest.raises(ConfigError, match="parameters of another model"):
        ctx.optimizer(torch.nn.Linear(2, 1).parameters())
    assert isinstance(ctx.model, torch.nn.Linear)
    optimizer = ctx.optimizer([ctx.model.bias])
    before = ctx.model.weight.detach().clone()
    ctx.model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert torch.equal(before, ctx.model.weight)
    assert ctx.steps == 1
    with pytest.raises(ConfigError, match="a second optimizer"):
        ctx.optimizer(ctx.model.parameters())


def test_losses_that_are_reported_count_once_per_example() -> None:
    ctx = a_context()
    ctx.report(torch.tensor(1.0), 3)
    ctx.report(5.0, 1)
    assert (ctx.loss.value, ctx.loss.count) == (2.0, 4)
