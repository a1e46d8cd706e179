"""The laws of local parts and personal models, one clock of a worker at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from actorfl import SGD, Ditto, FedAvg, FedAvgM, FedBN, FedProx, FedRep, Run, Scaffold, Who
from actorfl import model as models
from actorfl.algorithm import Algorithm, Mine
from actorfl.fit import fit
from actorfl.lane import in_place
from actorfl.layout import Vector
from actorfl.personal import own_tensors, split_for
from actorfl.protocol import pack
from actorfl.seeds import seed_for
from actorfl.step import Data, Given, Made, examples_of, load, step
from actorfl.task import Dataset
from tests.faults.runs import small
from tests.faults.tasks import Blobs, Counting

WHOLE = SGD(lr=0.1, epochs=2)


class Worker:
    """One worker of a run, a clock at a time."""

    def __init__(self, run: Run, name: str = "w0") -> None:
        self.run, self.name = run, name
        self.mine: Mine = {}
        self.clock = 0
        self.data: Data = load(run, run.task, Who(name, int(name[1:]), 4))

    def compute(self, vector: Vector, buffers: Any = None, **down: Vector) -> Made:
        given = Given(self.clock, True, True, pack(vector, buffers or {}, down), self.mine)
        inputs = (self.run, self.run.task, self.name, self.data, given)
        made, again = (in_place(step, *inputs, seed=seed) for seed in (1, 2))
        assert made.sha256() == again.sha256(), "a step is a pure function"
        self.mine = made.mine
        self.clock += 1
        return made


def begun(run: Run) -> tuple[Vector, dict[str, Any]]:
    """What of the initial model goes down."""
    split = split_for(run, run.task)
    initial = models.initial(run.task, run.seed)
    return split.shared_of(initial.vector), dict(split.shared_buffers(initial.buffers))


def sent(made: Made) -> dict[str, np.ndarray]:
    """The tensors that a worker sent, by name."""
    assert made.header is not None
    assert made.weights is not None
    vector, at, found = made.weights["sum/model"], 0, {}
    for name, shape in made.header.shapes:
        size = int(np.prod(shape, dtype=int))
        found[name] = vector[at : at + size].reshape(shape)
        at += size
    assert at == vector.size
    for name in made.weights.names():
        if name.startswith("integer/"):
            found[name.removeprefix("integer/")] = made.weights[name]
    return found


def two(data: Dataset | None) -> tuple[Tensor, Tensor]:
    """The columns of data that are points and labels."""
    points, labels = cast("tuple[Tensor, Tensor]", data)
    return points, labels


def backward(module: nn.Module, data: Dataset) -> None:
    Blobs().loss(module, two(data)).backward()  # type: ignore[no-untyped-call]  # torch's own


# -- FedBN and local parts -------------------------------------------------------------------------


def test_no_tensor_of_a_normalisation_layer_is_in_what_fedbn_sends() -> None:
    run = small(task=Counting(), algorithm=FedBN())
    north, south = Worker(run, "w0"), Worker(run, "w1")
    start, buffers = begun(run)
    of_north, of_south = north.compute(start, buffers), south.compute(start, buffers)
    assert set(sent(of_north)) == {"0.weight", "0.bias", "3.weight", "3.bias"}
    assert of_north.weights is not None
    assert of_north.weights.names() == ("sum/model",)
    kept = own_tensors(of_north.mine)
    assert set(kept) == {
        *("1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"),
    }
    for name, array in own_tensors(of_south.mine).items():
        assert not np.array_equal(kept[name], array), name


def test_the_same_parts_under_fedavg_are_fedbn_in_bits() -> None:
    named = small(task=Counting(), parts={"1.*": "local", "*": "shared"})
    found = small(task=Counting(), algorithm=FedBN())
    start, buffers = begun(named)
    one, other = Worker(named), Worker(found)
    for _ in range(2):
        assert one.compute(start, buffers).sha256() == other.compute(start, buffers).sha256()


def test_a_model_whose_parts_are_all_local_but_one_learns_as_alone() -> None:
    run = small(task=Counting(), parts={"0.bias": "shared", "*": "local"})
    worker = Worker(run)
    start, buffers = begun(run)
    initial = models.initial(run.task, run.seed)
    vector, integers = initial.vector, initial.buffers
    assert isinstance(run.local, SGD)
    for clock in range(3):
        made = worker.compute(start, buffers)
        seed = seed_for(run.seed, "w0", clock, "fit")
        alone = fit(run.task, worker.data.train, vector, integers, local=run.local, seed=seed)
        vector, integers, start = alone.vector, alone.buffers, sent(made)["0.bias"].copy()
        views = initial.layout.views(vector)
        assert {**own_tensors(made.mine), "0.bias": start}.keys() == {*views, *integers}
        for name, array in own_tensors(made.mine).items():
            assert array.tobytes() == {**views, **integers}[name].tobytes(), name


@pytest.mark.parametrize("algorithm", [FedProx(mu=0.5), Scaffold()])
def test_an_algorithm_corrects_the_gradients_of_what_is_shared_alone(algorithm: Algorithm) -> None:
    run = small(algorithm=algorithm, local=WHOLE, parts={"2.*": "local", "*": "shared"})
    start, _ = begun(run)
    down = {"control": np.full_like(start, 0.25)} if isinstance(algorithm, Scaffold) else {}
    made = Worker(run).compute(start, **down)
    found = {**sent(made), **own_tensors(made.mine)}
    module = Blobs().model()
    initial = models.initial(run.task, run.seed)
    models.load(module, initial.vector, {})
    first = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    data = Worker(run).data.train
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        backward(module, data)
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None
            if name.startswith("0."):
                pull = 0.5 * (parameter.detach() - first[name])
                parameter.grad += 0.25 if down else pull
        optimizer.step()
    for name, tensor in module.state_dict().items():
        assert np.allclose(found[name], tensor.numpy(), atol=1e-6), name


def test_what_is_not_finite_leaves_a_workers_own_as_it_was() -> None:
    run = small(task=Counting(), algorithm=FedBN())
    worker = Worker(run)
    start, buffers = begun(run)
    before = own_tensors(worker.compute(start, buffers).mine)
    after = own_tensors(worker.compute(start * np.float32(np.nan), buffers).mine)
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


# -- FedRep ----------------------------------------------------------------------------------------


def test_fedrep_trains_the_head_on_a_body_that_stands_still_then_the_body_under_that_head() -> None:
    run = small(algorithm=FedRep(head_epochs=3), local=SGD(lr=0.1, epochs=2, weight_decay=0.01))
    start, _ = begun(run)
    worker = Worker(run)
    made = worker.compute(start)
    found = {**sent(made), **own_tensors(made.mine)}
    module = Blobs().model()
    models.load(module, models.initial(run.task, run.seed).vector, {})
    for name, steps in (("2", 3), ("0", 2)):
        parameters = module.get_submodule(name).parameters()
        optimizer = torch.optim.SGD(parameters, lr=0.1, weight_decay=0.01)
        for _ in range(steps):
            optimizer.zero_grad()
            backward(module, worker.data.train)
            optimizer.step()
    for name, tensor in module.state_dict().items():
        assert np.allclose(found[name], tensor.numpy(), atol=1e-6), name
    assert set(sent(made)) == {"0.weight", "0.bias"}


def test_heads_differ_from_worker_to_worker_and_go_on_from_where_they_were() -> None:
    run = small(algorithm=FedRep(head_epochs=2))
    start, _ = begun(run)
    north, south = Worker(run, "w0"), Worker(run, "w1")
    heads = [own_tensors(w.compute(start).mine)["2.weight"] for w in (north, south, north)]
    assert len({head.tobytes() for head in heads}) == 3


# -- Ditto -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [Blobs(), Counting()])
def test_ditto_without_a_pull_is_learning_alone_in_bits_whatever_comes_down(task: Any) -> None:
    run = small(task=task, algorithm=Ditto(lam=0.0), local=SGD(lr=0.1, batch=8, momentum=0.5))
    worker = Worker(run)
    start, buffers = begun(run)
    vector, integers = start, buffers
    assert isinstance(run.local, SGD)
    for clock, scale in enumerate((1.0, 0.0, np.nan)):
        made = worker.compute(start * np.float32(scale), buffers)
        seed = seed_for(run.seed, "w0", clock, "fit")
        alone = fit(task, worker.data.train, vector, integers, local=run.local, seed=seed)
        vector, integers = alone.vector, dict(alone.buffers)
        views = models.layout_of(task.model()).views(vector)
        kept = own_tensors(made.mine)
        assert {n: a.tobytes() for n, a in kept.items()} == {
            name: array.tobytes() for name, array in {**views, **integers}.items()
        }


def test_ditto_sends_what_fedavg_sends() -> None:
    start, buffers = begun(small(task=Counting()))
    fedavg = Worker(small(task=Counting())).compute(start, buffers)
    ditto = Worker(small(task=Counting(), algorithm=Ditto(lam=1.0))).compute(start, buffers)
    assert (ditto.header, ditto.loss) == (fedavg.header, fedavg.loss)
    assert sent(ditto).keys() == sent(fedavg).keys()
    assert all(np.array_equal(sent(ditto)[n], sent(fedavg)[n]) for n in sent(ditto))


def test_the_personal_model_of_ditto_is_drawn_to_what_came_down() -> None:
    run = small(algorithm=Ditto(lam=2.0), local=WHOLE)
    start, _ = begun(run)
    down = start + np.float32(0.5)
    worker = Worker(run)
    found = own_tensors(worker.compute(down).mine)
    module, shared = Blobs().model(), Blobs().model()
    models.load(module, start, {})
    models.load(shared, down, {})
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        backward(module, worker.data.train)
        for own, theirs in zip(module.parameters(), shared.parameters(), strict=True):
            assert own.grad is not None
            own.grad += 2.0 * (own.detach() - theirs.detach())
        optimizer.step()
    for name, tensor in module.state_dict().items():
        assert np.allclose(found[name], tensor.numpy(), atol=1e-6), name


# -- measuring and cost ----------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [FedBN(), FedRep(head_epochs=1), Ditto()])
def test_a_worker_evaluates_the_model_that_is_its_own(algorithm: Algorithm) -> None:
    run = small(task=Counting(), algorithm=algorithm, validate=0.3)
    worker = Worker(run)
    start, buffers = begun(run)
    worker.compute(start, buffers)
    own = own_tensors(worker.mine)
    made = worker.compute(start, buffers)
    module = Counting().model()
    initial = models.initial(run.task, run.seed)
    views = {**initial.layout.views(initial.vector), **initial.buffers, **own}
    module.load_state_dict({name: torch.tensor(array) for name, array in views.items()})
    module.eval()
    points, labels = two(worker.data.validation)
    expected = (module(points).argmax(1) == labels).double().mean().item()
    assert made.metrics["accuracy"].value == pytest.approx(expected)
    loss = Counting().loss(module, (points, labels)).item()
    assert made.metrics["loss"].value == pytest.approx(loss, abs=1e-6)


def test_what_is_computed_in_a_clock_is_counted() -> None:
    local = SGD(lr=0.1, batch=8, epochs=2)
    counts = [
        examples_of(small(algorithm=algorithm, local=local), 30)
        for algorithm in (FedAvg(), FedAvgM(), Ditto(), FedRep(head_epochs=3))
    ]
    assert counts == [60, 60, 120, 150]


@dataclass(frozen=True)
class Alone(Blobs):
    """One example a worker."""

    def train(self, who: Who) -> Any:
        points, labels = two(super().train(who))
        return points[:1], labels[:1]


def test_the_split_of_a_worker_depends_on_seed_and_name_and_leaves_something_to_train_on() -> None:
    def held(seed: int, name: str, fraction: float = 0.2) -> bytes:
        found = Worker(small(seed=seed, validate=fraction, name="x"), name).data
        return bytes(np.asarray(two(found.validation)[0]).tobytes())

    assert held(1, "w0") == held(1, "w0")
    assert len({held(1, "w0"), held(2, "w0"), held(1, "w1")}) == 3
    most = Worker(small(validate=0.999)).data
    assert most.examples == 1
    one = Worker(small(task=Alone(), validate=0.9)).data
    assert one.examples == 1
    assert len(two(one.validation)[0]) == 0
