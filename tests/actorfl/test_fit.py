"""The local loop against plain torch, and what its bits may and may not depend on."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from actorfl import model
from actorfl.algorithm import Algorithm, Ctx
from actorfl.algorithms.fedavg import FedAvg
from actorfl.data.digits import Digits
from actorfl.errors import ConfigError
from actorfl.fit import evaluate, fit
from actorfl.fitresult import gradient_hook
from actorfl.lane import TrainingLane
from actorfl.layout import LayoutError, Vector
from actorfl.local import SGD
from actorfl.mean import Mean
from actorfl.seeds import seed_everything, seed_for
from actorfl.task import Batch, Dataset, Task


@dataclass(frozen=True)
class Noisy(Task):
    """Dropout and batch normalisation: every draw and every buffer counts."""

    examples: int = 53

    def model(self) -> nn.Module:
        return nn.Sequential(
            nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3)
        )

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return functional.cross_entropy(model(batch[0]), batch[1])

    def metrics(self, model: nn.Module, batch: Batch) -> dict[str, Mean]:
        return {"accuracy": Mean.of(model(batch[0]).argmax(1) == batch[1])}

    def pool(self) -> Dataset:
        generator = torch.Generator().manual_seed(9)
        xs = torch.randn(self.examples, 4, generator=generator)
        return xs, (xs[:, 0] > 0).long() + (xs[:, 1] > 0).long()


@dataclass(frozen=True)
class Returning(Noisy):
    """Gives back whatever the test wants as loss or metric."""

    value: Any = None
    measured: dict[str, Any] = field(default_factory=dict)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        if self.value is None:
            return super().loss(model, batch)
        return self.value  # type: ignore[no-any-return]  # wrong on purpose

    def metrics(self, model: nn.Module, batch: Batch) -> dict[str, Mean]:
        return self.measured


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the lane; two threads already give other bits for a model of this size (measured)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


TASK = Noisy()
START = model.initial(TASK, 0)


def plain_torch(task: Task, data: tuple[Tensor, ...], local: SGD, seed: int) -> nn.Module:
    """The same training as somebody would write it without us."""
    seed_everything(seed)
    module = task.model()
    model.load(module, START.vector, START.buffers)
    optimizer = torch.optim.SGD(
        module.parameters(), local.lr, local.momentum, weight_decay=local.weight_decay
    )
    order = torch.Generator().manual_seed(seed_for(seed, "", 0, "order"))
    size = local.batch if isinstance(local.batch, int) else len(data[0])
    steps = 0
    while True:
        shuffled = torch.randperm(len(data[0]), generator=order)
        for start in range(0, len(shuffled), size):
            batch = tuple(column[shuffled[start : start + size]] for column in data)
            optimizer.zero_grad()
            task.loss(module, batch).backward()  # type: ignore[no-untyped-call]  # torch's gap
            if local.clip is not None:
                nn.utils.clip_grad_norm_(module.parameters(), local.clip)
            optimizer.step()
            steps += 1
            if steps == local.steps_of(len(data[0])):
                return module


def trained(local: SGD, seed: int = 5, start: Vector = START.vector, **options: Any) -> Vector:
    return fit(TASK, TASK.pool(), start, START.buffers, local=local, seed=seed, **options).vector


@pytest.mark.parametrize(
    "local",
    [
        SGD(0.1, batch=10, epochs=3),
        SGD(0.1, batch=10, steps=8),
        SGD(0.1),
        SGD(0.05, batch=7, epochs=2, momentum=0.9, weight_decay=1e-3),
        SGD(0.5, batch=53, epochs=2, clip=0.1),
        SGD(0.1, batch=1000, epochs=2),
    ],
    ids=repr,
)
def test_a_fit_equals_plain_torch_bit_for_bit(local: SGD) -> None:
    data = TASK.pool()
    assert isinstance(data, tuple)
    result = fit(TASK, data, START.vector, START.buffers, local=local, seed=5)
    by_hand = model.extract(plain_torch(TASK, data, local, 5))
    assert result.vector.tobytes() == by_hand.vector.tobytes()
    counters = "1.num_batches_tracked"
    assert result.buffers[counters] == by_hand.buffers[counters] == result.steps
    assert result.buffers[counters].dtype == np.int64


def test_a_fit_counts_examples_steps_and_the_last_partial_batch() -> None:
    result = fit(
        TASK, TASK.pool(), START.vector, START.buffers, local=SGD(0.1, batch=10, epochs=3), seed=0
    )
    assert (result.examples, result.steps) == (53, 18)
    assert result.loss.count == 3 * 53


def test_the_loss_of_one_full_step_is_that_of_the_model_before_it() -> None:
    task = Digits()
    start = model.initial(task, 0)
    result = fit(task, task.pool(), start.vector, {}, local=SGD(0.1), seed=0)
    module = task.model()
    model.load(module, start.vector, {})
    before = evaluate(task, module, task.pool(), batch=1437)["loss"]
    assert result.loss.value == pytest.approx(before.value, rel=1e-6)


def test_full_batches_over_shards_equal_gradient_descent_on_the_union() -> None:
    task = Digits()
    pool = task.pool()
    assert isinstance(pool, tuple)
    start = model.initial(task, 1)
    cuts = [0, 10, 250, 251, 800, 1437]
    shards = [tuple(column[a:b] for column in pool) for a, b in pairwise(cuts)]
    local = SGD(0.5, batch="all", epochs=1)
    federated = whole = start.vector
    for clock in range(10):
        results = [fit(task, shard, federated, {}, local=local, seed=clock) for shard in shards]
        summed = sum(r.vector.astype(np.float64) * r.examples for r in results)
        federated = np.asarray(summed / 1437, np.float32)
        whole = fit(task, pool, whole, {}, local=local, seed=clock).vector
    assert np.abs(whole - start.vector).max() > 0.05
    np.testing.assert_allclose(federated, whole, rtol=0, atol=1e-6)


def test_another_seed_trains_otherwise() -> None:
    local = SGD(0.1, batch=10)
    assert trained(local, seed=5).tobytes() != trained(local, seed=6).tobytes()


def test_what_was_drawn_before_does_not_matter() -> None:
    local = SGD(0.1, batch=10)
    first = trained(local)
    torch.rand(7)
    np.random.rand(3)  # noqa: NPY002  (the global generator is meant)
    assert trained(local).tobytes() == first.tobytes()


@settings(max_examples=12)
@given(st.integers(0, 15), st.booleans())
def test_the_address_of_the_start_vector_does_not_matter(words: int, frozen: bool) -> None:
    raw = np.zeros(len(START.vector) + 16, np.float32)
    elsewhere = raw[words : words + len(START.vector)]
    elsewhere[:] = START.vector
    elsewhere.flags.writeable = not frozen
    local = SGD(0.1, batch=10)
    assert trained(local, start=elsewhere).tobytes() == trained(local).tobytes()
    assert elsewhere.tobytes() == START.vector.tobytes()


def test_the_address_of_the_data_does_not_matter() -> None:
    data = TASK.pool()
    assert isinstance(data, tuple)
    padded = torch.cat([torch.zeros(1), torch.as_tensor(data[0]).reshape(-1)])[1:].reshape(53, 4)
    assert padded.data_ptr() % 64 != 0
    local = SGD(0.1)
    moved = fit(TASK, (padded, data[1]), START.vector, START.buffers, local=local, seed=5)
    assert moved.vector.tobytes() == trained(local).tobytes()


def test_a_fit_keeps_nothing_of_the_start_and_gives_memory_of_its_own() -> None:
    start = START.vector.copy()
    result = fit(TASK, TASK.pool(), start, START.buffers, local=SGD(0.1, batch=10), seed=5)
    kept = result.vector.copy()
    start[:] = 0
    assert np.array_equal(result.vector, kept)
    assert not np.shares_memory(result.vector, start)


def test_without_examples_the_model_stays_and_the_update_says_so() -> None:
    empty = (torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    result = fit(TASK, empty, START.vector, START.buffers, local=SGD(0.1, batch=10), seed=0)
    assert (result.examples, result.steps, result.loss) == (0, 0, Mean())
    assert result.vector.tobytes() == START.vector.tobytes()


def test_a_diverged_model_is_not_hidden() -> None:
    task = Digits()
    start = model.initial(task, 0)
    data = (torch.full((20, 64), torch.inf), torch.zeros(20, dtype=torch.int64))
    result = fit(task, data, start.vector, {}, local=SGD(0.1), seed=0)
    assert np.isnan(result.vector).any()
    assert np.isnan(result.loss.value)


def test_a_start_of_another_size_is_refused() -> None:
    with pytest.raises(LayoutError, match="expected a float32 vector"):
        trained(SGD(0.1), start=np.zeros(3, np.float32))


@pytest.mark.parametrize("value", [torch.zeros(3, requires_grad=True), 0.5])
def test_a_loss_that_is_not_one_element_is_refused(value: object) -> None:
    task = Returning(value=value)
    with pytest.raises(ConfigError, match=r"loss of Returning returned .*; return a tensor with"):
        fit(task, task.pool(), START.vector, START.buffers, local=SGD(0.1), seed=0)


def test_a_hook_that_changes_nothing_gives_the_same_bits() -> None:
    local = SGD(0.1, batch=10, momentum=0.5)
    with_hook = trained(local, hook=lambda gradient, weights, steps: gradient)
    assert with_hook.tobytes() == trained(local).tobytes()


def test_a_hook_sees_the_gradient_the_model_now_and_the_steps() -> None:
    seen: list[tuple[Vector, Vector, int]] = []

    def hook(gradient: Vector, weights: Vector, steps: int) -> Vector:
        seen.append((gradient.copy(), weights.copy(), steps))
        return gradient

    end = trained(SGD(0.1, batch=10, steps=3), hook=hook)
    assert [steps for _, _, steps in seen] == [0, 1, 2]
    parameters = np.concatenate(
        [np.full(part.size, part.kind == "parameter") for part in START.layout]
    )
    assert np.array_equal(seen[0][1][parameters], START.vector[parameters])
    for (gradient, before, _), after in zip(seen, [seen[1][1], seen[2][1], end], strict=True):
        moved = before - np.float32(0.1) * gradient
        np.testing.assert_allclose(after[parameters], moved[parameters], atol=1e-7)
        assert not gradient[~parameters].any()


def test_a_hook_corrects_before_the_gradient_is_clipped() -> None:
    local = SGD(1.0, steps=1, clip=0.01)
    end = trained(local, hook=lambda gradient, weights, steps: gradient * 100)
    parameters = np.concatenate(
        [np.full(part.size, part.kind == "parameter") for part in START.layout]
    )
    moved = np.linalg.norm((end - START.vector)[parameters].astype(np.float64))
    assert moved == pytest.approx(0.01, rel=1e-3)


def test_a_hook_that_returns_another_shape_is_refused() -> None:
    with pytest.raises(LayoutError, match="expected a float32 vector"):
        trained(SGD(0.1), hook=lambda gradient, weights, steps: gradient[:3])


@dataclass(frozen=True)
class Proximal(Algorithm):
    mu: float = 0.0

    def grad(self, ctx: Ctx, g: Vector) -> Vector:
        return g + np.float32(self.mu) * (ctx.weights - ctx.start)


def test_an_algorithm_without_correction_needs_no_hook() -> None:
    ctx = Ctx(START.layout, "w0", 0, START.vector, START.vector)
    assert gradient_hook(FedAvg(), ctx) is None


def test_a_proximal_term_of_weight_zero_gives_the_same_bits_and_a_large_one_holds_back() -> None:
    local = SGD(0.1, batch=10, epochs=3)
    ctx = Ctx(START.layout, "w0", 0, START.vector, START.vector)
    free = trained(local)
    assert trained(local, hook=gradient_hook(Proximal(0.0), ctx)).tobytes() == free.tobytes()
    held = trained(local, hook=gradient_hook(Proximal(5.0), ctx))
    parameters = np.concatenate(
        [np.full(part.size, part.kind == "parameter") for part in START.layout]
    )

    def away(vector: Vector) -> float:
        return float(np.linalg.norm((vector - START.vector)[parameters]))

    assert away(held) < 0.7 * away(free)


def test_an_evaluation_measures_in_evaluation_mode_and_gives_the_mode_back() -> None:
    module = TASK.model()
    before = model.extract(module)
    first = evaluate(TASK, module, TASK.pool())
    second = evaluate(TASK, module, TASK.pool())
    assert module.training
    assert first == second  # dropout is off
    after = model.extract(module)
    assert after.vector.tobytes() == before.vector.tobytes()
    assert after.buffers == before.buffers
    assert set(first) == {"loss", "accuracy"}
    assert first["loss"].count == first["accuracy"].count == 53


def test_the_batches_of_an_evaluation_do_not_change_counts() -> None:
    module = TASK.model()
    whole, cut = (evaluate(TASK, module, TASK.pool(), batch=size) for size in (53, 10))
    assert whole["accuracy"] == cut["accuracy"]
    assert whole["loss"].value == pytest.approx(cut["loss"].value, rel=1e-5)
    assert cut["loss"].count == 53


def test_an_evaluation_without_examples_is_empty() -> None:
    empty = (torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    assert evaluate(TASK, TASK.model(), empty) == {"loss": Mean()}


@pytest.mark.parametrize(
    ("measured", "sentence"),
    [
        ({"loss": Mean.of(1.0)}, "'loss', which is always measured"),
        ({"accuracy": 0.5}, "metric 'accuracy' of Returning is a float; return Mean.of"),
    ],
)
def test_a_metric_that_does_not_add_up_is_refused(measured: Any, sentence: str) -> None:
    task = Returning(measured=measured)
    with pytest.raises(ConfigError, match=sentence):
        evaluate(task, task.model(), task.pool())


DIGEST = """
import asyncio, torch
from actorfl.lane import TrainingLane
from tests.actorfl.test_fit import digest

torch.set_num_threads(2)  # the lane's count holds, not this one
print(asyncio.run(TrainingLane().run(digest)))
"""


def digest() -> str:
    return hashlib.sha256(trained(SGD(0.1, batch=10)).tobytes()).hexdigest()


async def test_the_lanes_of_two_processes_compute_the_same_bits() -> None:
    other = subprocess.run(  # noqa: ASYNC221  (this loop has nothing else to do)
        [sys.executable, "-c", DIGEST],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    lane = TrainingLane()
    torch.set_num_threads(2)
    here = await lane.run(digest)
    assert lane.close(timeout=20)
    assert other.stdout.strip() == here
