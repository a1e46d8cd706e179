"""Gradients that a server steps by: its equations, its schedules, which batch is whose."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actorfl import (
    ASP,
    BSP,
    FedAvg,
    FedSGD,
    Gradients,
    Layout,
    ParameterServer,
    ServerState,
    Sum,
    Terms,
    Tree,
)
from actorfl import model as models
from actorfl.algorithm import Closed, Ctx
from actorfl.errors import Misfit, WrongType, WrongValue
from actorfl.fit import gradient
from actorfl.grid import Grid
from actorfl.layout import Vector
from actorfl.merging import Merged, Merger
from actorfl.relative import relative
from actorfl.seeds import seed_for
from tests.actorfl.clocks import Client, begun, clock, merged, quadratic
from tests.actorfl.configs import run_of
from tests.faults.tasks import Blobs, Counting, blobs

NORMED = Layout.build(
    [("w", (2,), "float32", "parameter"), ("running_var", (1,), "float32", "buffer")]
)
PAIR = Layout.of({"w": np.zeros(2, np.float32), "b": np.zeros(1, np.float32)})


def vector(*values: float) -> Vector:
    return np.array(values, np.float32)


# -- the server ------------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_server_takes_the_steps_of_torch(momentum: float) -> None:
    schedule: dict[str, Any] = {"schedule": "step", "every": 2, "decay": 0.5}
    algorithm = ParameterServer(0.1, momentum=momentum, **schedule)
    client = quadratic(2.0, 1.0)
    state = begun(algorithm, 0.0)
    x = torch.zeros(1)
    x.grad = torch.zeros(1)
    optimizer = torch.optim.SGD([x], lr=0.1, momentum=momentum)
    for version in range(6):
        ctx = Ctx(
            Layout.of({"x": np.zeros(1, np.float32)}), "w0", version, state.weights,
            state.weights, examples=1, gradient=client.gradient(state.weights),
        )  # fmt: skip
        terms, _ = algorithm.up(ctx, {})
        state = algorithm.close(state, held(terms, state, ctx.layout), closed(version))
        x.grad.copy_(torch.from_numpy(client.gradient(x.numpy())))
        optimizer.param_groups[0]["lr"] = 0.1 * 0.5 ** (version // 2)
        optimizer.step()
    assert state.weights[0] == pytest.approx(x.item(), abs=1e-6)
    assert ("velocity" in state.vectors) == (momentum > 0)


def held(terms: Terms, state: ServerState, layout: Layout, total: int = 1) -> Merged:
    """The terms of one worker, merged."""
    merger = Merger(layout, Grid.of(state.weights, layout, total, 1.0), 0)
    merger.fold(terms.stated(worker="w0", clock=0, examples=1, layout=layout))
    return merger.merged()


def closed(version: int) -> Closed:
    return Closed(version, version, ("w0",), ("w0",), 1, 1)


def test_without_momentum_it_is_fedsgd() -> None:
    draw = np.random.default_rng(1)
    optima = draw.normal(0, 2, (4, 3)).astype(np.float32)

    def of(optimum: Vector) -> Callable[[Vector], Vector]:
        return lambda x: x - optimum

    clients = [Client(of(each), examples=7 * i + 3, steps=1) for i, each in enumerate(optima)]
    server, averaged = ParameterServer(0.1), FedSGD()
    one, other = begun(server, 0.3, -0.2, 1.7), begun(averaged, 0.3, -0.2, 1.7)
    for _ in range(5):
        one = clock(server, one, clients, layout=PAIR)
        other = clock(averaged, other, clients, layout=PAIR)
    np.testing.assert_allclose(one.weights, other.weights, atol=1e-6)


@given(st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=3))
@settings(max_examples=20)
def test_gradients_of_zero_leave_the_model_as_it_is(values: list[float]) -> None:
    algorithm = ParameterServer(0.1, momentum=0.9)
    state = algorithm.begin(vector(*values))
    for _ in range(2):
        state = clock(algorithm, state, [Client(np.zeros_like)] * 3, layout=PAIR)
    assert state.weights.tolist() == vector(*values).tolist()


def test_running_statistics_take_the_mean_and_gather_no_speed() -> None:
    algorithm = ParameterServer(0.5, momentum=0.9)
    state = algorithm.begin(vector(0, 0, 1))
    for statistic in (0.25, 0.5):
        results = [vector(-0.1, 0, statistic + by) for by in (-0.0625, 0.0625)]
        state = merged(algorithm, state, results, layout=NORMED)
        assert state.weights[2] == statistic
        assert state.vectors["velocity"][2] == 0


# -- without a barrier -----------------------------------------------------------------------------


def test_a_gradient_counts_by_the_share_of_its_worker_where_there_is_no_barrier() -> None:
    algorithm = ParameterServer(0.5)
    state = algorithm.begin(vector(1, -1, 0.5))
    terms = Terms(gradient=Sum(vector(2, -4, 0.25), 3))
    total = held(terms, state, NORMED, 12)
    view = relative(total, state, algorithm.models, 12, algorithm.gradients)
    after = algorithm.close(state, view, closed(0)).weights
    # 3 of 12 examples; a running statistic goes a quarter of the way.
    assert after.tolist() == [1 - 0.5 * 0.5, -1 + 0.5 * 1.0, 0.75 * 0.5 + 0.25 * 0.25]


def test_what_is_buffered_counts_by_its_share_of_the_buffer() -> None:
    algorithm = ParameterServer(0.5)
    state = algorithm.begin(vector(1, -1, 0.5))
    total = held(Terms(gradient=Sum(vector(2, -4, 0.25), 3)), state, NORMED, 12)
    view = relative(total, state, algorithm.models, None, algorithm.gradients)
    assert algorithm.close(state, view, closed(0)).weights.tolist() == [0, 1, 0.25]


# -- schedules -------------------------------------------------------------------------------------


def test_the_rate_is_a_function_of_the_version() -> None:
    assert ParameterServer(0.5).lr_at(10**9) == 0.5
    step = ParameterServer(1, schedule="step", every=3)
    assert [step.lr_at(t) for t in range(7)] == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01])
    cosine = ParameterServer(2, schedule="cosine", every=4)
    expected = [2, 1 + math.sqrt(0.5), 1, 1 - math.sqrt(0.5), 0, 0]
    assert [cosine.lr_at(t) for t in range(6)] == pytest.approx(expected)
    root = ParameterServer(3, schedule="sqrt", every=1)
    assert [root.lr_at(t) for t in (0, 3, 8)] == [3, 1.5, 1]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"lr": 0}, "`lr` of ParameterServer must be finite and above 0, got 0"),
        ({"momentum": 1}, "`momentum` of ParameterServer must be at least 0 and below 1"),
        ({"weight_decay": -1}, "`weight_decay` of ParameterServer must be finite and at least 0"),
        ({"schedule": "steps", "every": 1}, '"step", "cosine" or "sqrt", got .steps'),
        ({"schedule": "cosine"}, '`every` .* a number of versions, since `schedule` is "cosine"'),
        ({"schedule": "sqrt", "every": 0}, "`every` of ParameterServer must be from 1 to"),
        ({"every": 3}, "`every` .* left out, since there is no `schedule`"),
        ({"schedule": "sqrt", "every": 1, "decay": 0.5}, '`decay` .* it is for `schedule` "step"'),
        ({"schedule": "step", "every": 1, "decay": 2.0}, "`decay` .* above 0 and at most 1"),
    ],
)
def test_what_is_out_of_range_or_does_not_go_together_is_refused(
    values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(WrongValue, match=sentence):
        ParameterServer(**{"lr": 0.1, **values})


def test_the_decay_of_steps_has_one_spelling() -> None:
    of: dict[str, Any] = {"schedule": "step", "every": 9}
    assert ParameterServer(1, **of) == ParameterServer(1.0, **of, decay=0.1)


# -- whose batch -----------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 3))
@settings(max_examples=40)
def test_an_epoch_visits_each_example_once(examples: int, batch: int, epoch: int) -> None:
    local = Gradients(batch)
    clocks = math.ceil(examples / local.batch_of(examples))
    seen: list[int] = []
    for index in range(clocks):
        found, place = local.place_of(epoch * clocks + index, examples)
        assert found == epoch
        seen += range(examples)[place]
    assert seen == list(range(examples))


def test_all_and_no_batch_are_the_same_settings() -> None:
    assert Gradients("all") == Gradients()
    assert Gradients().place_of(7, 30) == (7, slice(0, 30))
    assert (Gradients(64).examples_of(30), Gradients(8).examples_of(30)) == (30, 8)
    assert Gradients(8).examples_of(0) == 0
    with pytest.raises(WrongValue, match="`batch` of Gradients must be at least 1, got 0"):
        Gradients(0)
    with pytest.raises(WrongType, match="`batch` of Gradients"):
        Gradients(2.5)  # type: ignore[arg-type]


def taken(
    data: tuple[torch.Tensor, ...], at: int = 0, clock: int = 0, batch: int | None = None
) -> tuple[Vector, float]:
    """A gradient at the model of a seed, and the loss."""
    start = models.initial(Blobs(), at)
    found = gradient(
        Blobs(), data, start.vector, start.buffers, local=Gradients(batch), clock=clock, seed=1,
        order_seed=lambda epoch: seed_for(5, "w0", epoch, "order"),
    )  # fmt: skip
    assert found.gradient is not None
    assert found.vector.tobytes() == start.vector.tobytes()
    return found.gradient, found.loss.value


def test_gradients_by_their_shares_are_the_gradient_of_all_examples() -> None:
    """Data parallelism: sum of n_k / n g_k."""
    shards = [blobs(index, 30 + 10 * index) for index in range(4)]
    union = tuple(torch.cat(column) for column in zip(*shards, strict=True))
    n = len(union[0])
    mean = sum(len(shard[0]) / n * taken(shard)[0].astype(float) for shard in shards)
    np.testing.assert_allclose(np.asarray(mean), taken(union)[0], atol=1e-6)


def test_the_batches_of_an_epoch_make_up_the_gradient_of_all_examples() -> None:
    data = blobs(0, 40)
    apart = [taken(data, clock=clock, batch=10) for clock in range(4, 8)]
    whole, loss = taken(data)
    np.testing.assert_allclose(np.mean([each for each, _ in apart], axis=0), whole, atol=1e-6)
    assert np.mean([each for _, each in apart]) == pytest.approx(loss, abs=1e-6)
    again, _ = taken(data, clock=8, batch=10)  # the next epoch has another order
    assert not np.allclose(again, apart[0][0])


def test_a_batch_moves_running_statistics_and_counters_alone() -> None:
    start = models.initial(Counting(), 0)
    found = gradient(
        Counting(), blobs(0, 20), start.vector, start.buffers, local=Gradients(8), clock=0, seed=1,
        order_seed=lambda epoch: epoch,
    )  # fmt: skip
    assert found.gradient is not None
    for part in start.layout:
        moved = not np.array_equal(found.vector[part.slice], start.vector[part.slice])
        assert moved == (part.kind == "buffer")
        if part.kind == "buffer":
            assert not found.gradient[part.slice].any()
    assert [int(each) for each in found.buffers.values()] == [1]


def test_without_examples_there_is_no_gradient() -> None:
    found, _ = taken(blobs(0, 0))
    assert not found.any()


# -- what does not go together ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"parts": {"*.bias": "local", "*": "shared"}}, "whatever is not moved by the server"),
        ({"parts": {"*.bias": "mean", "*": "shared"}}, "whatever is not moved by the server"),
        (
            {
                "topology": Tree(root=1, edge=2, worker=4),
                "sync": {"root": ASP(), "edge": BSP(rounds=2)},
            },
            "ParameterServer takes gradients, and the level `edge` sends models",
        ),
        (
            {
                "topology": Tree(root=1, edge=2, worker=4),
                "algorithm": {"root": ParameterServer(0.1), "edge": ParameterServer(0.2)},
            },
            "or the same one at all levels, with rounds=1",
        ),
    ],
)
def test_what_no_gradient_could_train_is_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Misfit, match=sentence):
        run_of(**{"algorithm": ParameterServer(0.1), "local": Gradients(), **values})


def test_an_aggregator_may_be_a_parameter_server_for_its_own_workers() -> None:
    run = run_of(
        topology=Tree(root=1, edge=2, worker=4),
        algorithm={"root": FedAvg(), "edge": ParameterServer(0.1)},
        sync={"root": BSP(), "edge": BSP(rounds=3)},
        local=Gradients(8),
    )
    assert run.local == Gradients(8)
