"""What learning must equal, by real runs."""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from actorfl import SGD, FedAvg, Rounds, Run, Star
from actorfl import model as models
from actorfl.data.digits import Digits
from actorfl.seeds import seed_for
from tests.faults.runs import carry_out, small
from tests.faults.tasks import Blobs, blobs

pytestmark = pytest.mark.timeout(180)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("rounds", "accuracy"), [(20, 0.944), pytest.param(100, 0.958, marks=pytest.mark.slow)]
)
async def test_digits_over_ten_workers_reach_the_reference_accuracy(
    rounds: int, accuracy: float, tmp_path: Path
) -> None:
    """FedAvg, IID, E=5, B=10, lr 0.1: the mean of 5 seeds, as independent code reached it."""
    found = []
    for seed in range(5):
        run = Run(
            Digits(),
            Star(10),
            FedAvg(),
            local=SGD(lr=0.1, batch=10, epochs=5),
            until=Rounds(rounds),
            seed=seed,
        )
        result = await carry_out(run, tmp_path)
        assert result.accuracy is not None
        found.append(result.accuracy)
    assert statistics.mean(found) == pytest.approx(accuracy, abs=0.02)


def local_sgd(seed: int, clocks: int, data: tuple[torch.Tensor, ...], run: Run) -> nn.Module:
    """What a person would write, with the documented seeds."""
    assert isinstance(run.local, SGD)
    torch.manual_seed(seed_for(seed, "", 0, "init"))
    module = Blobs().model()
    examples = len(data[0])
    for clock in range(clocks):
        fit_seed = seed_for(seed, "w0", clock, "fit")
        torch.manual_seed(fit_seed)
        order = torch.Generator().manual_seed(seed_for(fit_seed, "", 0, "order"))
        optimizer = torch.optim.SGD(
            module.parameters(), lr=run.local.lr, momentum=run.local.momentum
        )
        for _ in range(int(run.local.epochs or 1)):
            shuffled = torch.randperm(examples, generator=order)
            for start in range(0, examples, 8):
                indices = shuffled[start : start + 8]
                optimizer.zero_grad()
                loss = Blobs().loss(module, tuple(column[indices] for column in data))
                loss.backward()  # type: ignore[no-untyped-call]  # torch's own
                optimizer.step()
    return module


@pytest.mark.parametrize("momentum", [0.0, 0.9])
async def test_one_worker_is_local_sgd_bit_for_bit(momentum: float, tmp_path: Path) -> None:
    local = SGD(lr=0.1, batch=8, epochs=2, momentum=momentum)
    run = small(topology=Star(1), until=Rounds(3), local=local)
    result = await carry_out(run, tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        expected = local_sgd(run.seed, 3, blobs(0, 30), run).state_dict()
    finally:
        torch.set_num_threads(threads)
    tensors = load_file(result.directory / "model.safetensors")
    assert tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert tensors[name].tobytes() == tensor.numpy().tobytes()


async def test_one_epoch_over_all_examples_is_gradient_descent_on_the_union(
    tmp_path: Path,
) -> None:
    rounds, lr = 5, 0.1
    run = small(local=SGD(lr=lr, batch="all", epochs=1), until=Rounds(rounds))
    result = await carry_out(run, tmp_path)
    module = Blobs().model()
    start = models.initial(Blobs(), run.seed)
    models.load(module, start.vector, start.buffers)
    shards = [blobs(index, 30 + 10 * index) for index in range(4)]
    union = tuple(torch.cat(column) for column in zip(*shards, strict=True))
    optimizer = torch.optim.SGD(module.parameters(), lr=lr)
    for _ in range(rounds):
        optimizer.zero_grad()
        Blobs().loss(module, union).backward()  # type: ignore[no-untyped-call]  # torch's own
        optimizer.step()
    tensors = load_file(result.directory / "model.safetensors")
    for name, tensor in module.state_dict().items():
        assert np.allclose(tensors[name], tensor.numpy(), atol=1e-6)


async def test_evaluation_at_the_workers_adds_up_exactly_and_covers_the_last_round(
    tmp_path: Path,
) -> None:
    from actorfl import Every
    from actors import Processes
    from tests.faults.runs import rows

    run = small(validate=0.2, evaluate=Every(1, at="workers"), until=Rounds(3))
    inline = await carry_out(run, tmp_path)
    spread = await carry_out(run, tmp_path, Processes(2))
    assert inline.sha256 == spread.sha256
    accuracies = [row["accuracy"] for row in rows(inline.directory)]
    assert accuracies == [row["accuracy"] for row in rows(spread.directory)]
    assert len(accuracies) == 3
    # Held back: round(0.2 n) of 30, 40, 50 and 60 examples.
    assert accuracies[-1] * 36 == pytest.approx(round(accuracies[-1] * 36))
    assert inline.accuracy == accuracies[-1]
