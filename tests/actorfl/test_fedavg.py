"""Algorithms as pure functions: FedAvg, and a rule that a user writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl.algorithm import (
    Advance,
    Algorithm,
    Closed,
    Ctx,
    Mine,
    Reduce,
    ServerState,
    StateError,
    StateHeader,
    advance,
)
from actorfl.algorithms.fedavg import FedAvg
from actorfl.grid import Grid
from actorfl.layout import Layout, Vector
from actorfl.merging import Merged, Merger, Refused
from actorfl.terms import Sum, Terms

NET = Layout.of({"w": np.zeros((2, 2), np.float32), "b": np.zeros(2, np.float32)})
COUNTED = Layout.of({"w": np.zeros(2, np.float32), "n": np.array(0)})

vectors = st.lists(st.floats(-4, 4, width=32), min_size=6, max_size=6).map(
    lambda values: np.array(values, np.float32)
)


@dataclass(frozen=True)
class SignVote(Algorithm):
    """Program (d): the server moves along the majority's sign."""

    reduce: ClassVar[Reduce] = "sum"
    lr: float = 0.01

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        return Terms(vote=Sum(np.sign(ctx.delta))), mine

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        return state.moved(self.lr * np.sign(terms["vote"]))


def one_round(
    algorithm: Algorithm,
    state: ServerState,
    results: list[tuple[str, Vector, int]],
    layout: Layout = NET,
    integers: list[np.ndarray] | None = None,
) -> tuple[Advance, list[Refused]]:
    """What a worker and an aggregator do in one clock, without any actors."""
    start = algorithm.down(state)["model"]
    roster = tuple(name for name, _, _ in results)
    merger = Merger(
        layout,
        Grid.of(state.weights, layout, max(1, sum(n for *_, n in results)), algorithm.floor),
        0,
    )
    refusals = []
    for i, (name, vector, examples) in enumerate(results):
        ctx = Ctx(layout, name, 0, start, vector, examples=examples)
        terms, _ = algorithm.up(ctx, {})
        buffers = {"n": integers[i]} if integers else {}
        try:
            merger.fold(
                terms.stated(
                    worker=name, clock=0, examples=examples, layout=layout, integers=buffers
                )
            )
        except Refused as refusal:
            refusals.append(refusal)
    merged = merger.merged()
    arrived = tuple(c.worker for c in merged.contributions)
    closed = Closed(0, 0, roster, arrived, sum(n for *_, n in results), len(roster))
    return advance(algorithm, state, merged, closed), refusals


def named(models: list[tuple[Vector, int]]) -> list[tuple[str, Vector, int]]:
    return [(f"w{i}", vector, n) for i, (vector, n) in enumerate(models)]


@given(st.lists(st.tuples(vectors, st.integers(1, 500)), min_size=2, max_size=6))
def test_fedavg_weighs_each_model_by_its_share_of_the_examples(
    models: list[tuple[Vector, int]],
) -> None:
    state = FedAvg().begin(NET.zeros())
    step, _ = one_round(FedAvg(), state, named(models))
    n = sum(weight for _, weight in models)
    for i, value in enumerate(step.state.weights):
        exact = sum((w * Fraction(float(v[i])) for v, w in models), Fraction(0)) / n
        assert (
            abs(Fraction(float(value)) - exact)
            <= abs(exact) * Fraction(2) ** -24 + Fraction(2) ** -40
        )


@given(st.permutations(range(5)), st.lists(vectors, min_size=5, max_size=5))
def test_the_order_of_clients_changes_no_bit(order: list[int], models: list[Vector]) -> None:
    results = named([(vector, 3 * i + 1) for i, vector in enumerate(models)])
    state = ServerState(NET.zeros())
    one, _ = one_round(FedAvg(), state, results)
    other, _ = one_round(FedAvg(), state, [results[i] for i in order])
    assert other.state.weights.tobytes() == one.state.weights.tobytes()


@given(vectors, st.integers(1, 10**6))
def test_one_client_gives_its_own_model_bit_for_bit(vector: Vector, examples: int) -> None:
    step, _ = one_round(FedAvg(), ServerState(NET.zeros()), [("w0", vector, examples)])
    assert step.state.weights.tobytes() == vector.tobytes()


def test_it_divides_by_the_examples_of_those_that_took_part() -> None:
    two, bad = np.full(6, 2, np.float32), np.full(6, np.nan, np.float32)
    step, refusals = one_round(
        FedAvg(), ServerState(NET.zeros()), [("w0", two, 3), ("w1", two, 1), ("w2", bad, 100)]
    )
    assert step.state.weights.tolist() == [2.0] * 6
    assert [refusal.reason for refusal in refusals] == ["non-finite"]


def test_a_client_without_examples_is_refused_by_name_and_the_round_goes_on() -> None:
    two, nine = np.full(6, 2, np.float32), np.full(6, 9, np.float32)
    step, refusals = one_round(
        FedAvg(), ServerState(NET.zeros()), [("w0", two, 3), ("empty", nine, 0)]
    )
    assert step.moved
    assert step.state.weights.tolist() == [2.0] * 6
    assert "empty" in str(refusals[0])
    assert refusals[0].reason == "no-examples"


def test_when_nobody_has_examples_the_old_model_stays_and_the_caller_is_told() -> None:
    state = ServerState(np.full(6, 5, np.float32), {"n": np.array(1)})
    nine = np.full(6, 9, np.float32)
    step, refusals = one_round(FedAvg(), state, [("w0", nine, 0), ("w1", nine, 0)])
    assert step.state is state
    assert not step.moved
    assert "without any update (2 workers were asked): the old model stays" in step.warning
    assert len(refusals) == 2


def test_an_int64_counter_stays_int64() -> None:
    vector = np.ones(2, np.float32)
    state = ServerState(vector, {"n": np.array(3)})
    results = named([(vector, 1), (vector, 2)])
    step, _ = one_round(FedAvg(), state, results, COUNTED, [np.array(8), np.array(5)])
    counter = step.state.buffers["n"]
    assert (counter.dtype, counter.shape, int(counter)) == (np.dtype(np.int64), (), 8)


def test_a_rule_that_a_user_writes_sees_the_sum_of_the_votes() -> None:
    votes = [[1, 1, -1, 0, 2, -3], [1, -1, -1, 0, 2, 3], [5, 1, -1, 0, -2, -3]]
    results = named([(np.array(v, np.float32), 10) for v in votes])
    step, _ = one_round(SignVote(lr=0.5), ServerState(NET.zeros()), results)
    assert step.state.weights.tolist() == [0.5, 0.5, -0.5, 0.0, 0.5, -0.5]
    assert step.state.weights.dtype == np.float32


def test_only_an_algorithm_that_overrides_grad_corrects_gradients() -> None:
    @dataclass(frozen=True)
    class Prox(FedAvg):
        mu: float = 0.1

        def grad(self, ctx: Ctx, g: Vector) -> Vector:
            return g + np.float32(self.mu) * ctx.delta

    assert Prox().corrects_gradients
    assert not FedAvg().corrects_gradients
    g = np.ones(6, np.float32)
    ctx = Ctx(NET, "w0", 0, NET.zeros(), np.full(6, 2, np.float32))
    assert FedAvg().grad(ctx, g) is g
    assert Prox(mu=0.5).grad(ctx, g).tolist() == [2.0] * 6


def test_the_delta_is_result_minus_start() -> None:
    ctx = Ctx(NET, "w0", 0, np.full(6, 1, np.float32), np.full(6, 3, np.float32))
    assert ctx.delta.tolist() == [2.0] * 6
    assert ctx.delta.dtype == np.float32
    assert ctx.result is ctx.weights


def test_a_state_survives_a_snapshot() -> None:
    state = ServerState(
        np.arange(6, dtype=np.float32),
        {"n": np.array(3)},
        {"momentum": np.ones(6, np.float32)},
        {"age": 7, "eta": 0.1, "name": "x"},
    )
    header, arrays = state.to_wire()
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(header), type=StateHeader)
    again = ServerState.from_wire(decoded, arrays)
    assert again.weights.tobytes() == state.weights.tobytes()
    assert again.buffers["n"].dtype == np.int64
    assert again.vectors.keys() == {"momentum"}
    assert again.scalars == state.scalars
    with pytest.raises(StateError, match="vector/momentum"):
        ServerState.from_wire(decoded, {k: v for k, v in arrays.items() if k[:6] != "vector"})
    with pytest.raises(StateError, match="float64"):
        ServerState.from_wire(decoded, {**arrays, "weights": np.zeros(6)})


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (np.full(6, np.inf, np.float32), "not finite"),
        (np.zeros(5, np.float32), r"\(5,\)"),
        (np.zeros(6), "float64"),
    ],
)
def test_an_algorithm_that_returns_no_model_is_named(weights: np.ndarray, sentence: str) -> None:
    @dataclass(frozen=True)
    class Broken(FedAvg):
        returned: np.ndarray = field(default_factory=lambda: weights)

        def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
            return state.replaced(self.returned)

    with pytest.raises(StateError, match=f"Broken.close returned weights.*{sentence}"):
        one_round(Broken(), ServerState(NET.zeros()), [("w0", np.ones(6, np.float32), 1)])


def test_the_base_says_what_an_algorithm_must_define() -> None:
    ctx = Ctx(NET, "w0", 0, NET.zeros(), NET.zeros())
    with pytest.raises(NotImplementedError, match="does not define up"):
        Algorithm().up(ctx, {})
