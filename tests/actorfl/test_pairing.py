from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from actorfl.errors import BeyondHelp
from actorfl.layout import Layout
from actorfl.pairing import Content, Order, PairAlgorithm, PairCtx, PairState, learned, merged, sent


@dataclass(frozen=True)
class Halves(PairAlgorithm):
    order: Order = "before"
    to: str = "b"

    def outgoing(self, ctx: PairCtx, state: PairState) -> tuple[Mapping[str, Content], PairState]:
        return {self.to: {"model": state.weights}}, state

    def incoming(
        self, ctx: PairCtx, state: PairState, received: Mapping[str, Content]
    ) -> PairState:
        (theirs,) = (content["model"] for content in received.values())
        assert isinstance(theirs, np.ndarray)
        return state.replaced((state.weights + theirs) / 2)


def _ctx(*targets: str) -> PairCtx:
    layout = Layout.of({"w": np.zeros(2, np.float32)})
    return PairCtx(
        layout, "a", 0, targets, targets, {}, 1, 0.1, lambda purpose: np.random.default_rng(0)
    )


def _state(*values: float) -> PairState:
    return PairState(np.asarray(values, np.float32), {"seen": np.int64(3) * np.ones(1, np.int64)})


def test_integer_buffers_travel_along_and_are_merged_by_maximum() -> None:
    letters, state = sent(Halves(), _ctx("b", "c"), _state(1, 3))
    assert set(letters) == {"b", "c"}
    assert set(letters["c"]) == {"buffer/seen"}
    theirs = {**letters["b"], "buffer/seen": np.full(1, 7)}
    after = merged(Halves(), _ctx("b"), state.replaced(np.zeros(2)), {"b": theirs})
    assert after.weights.tolist() == [0.5, 1.5]
    assert after.buffers["seen"].tolist() == [7]


def test_what_is_sent_to_no_target_is_refused_with_a_sentence() -> None:
    with pytest.raises(BeyondHelp, match=r"the targets of a are c; send to ctx\.targets"):
        sent(Halves(), _ctx("c"), _state(1, 3))


def test_weights_of_another_kind_are_refused_with_a_sentence() -> None:
    @dataclass(frozen=True)
    class Wide(Halves):
        def incoming(
            self, ctx: PairCtx, state: PairState, received: Mapping[str, Content]
        ) -> PairState:
            return PairState(np.zeros(2))  # type: ignore[arg-type]

    with pytest.raises(BeyondHelp, match=r"weights of float64 .* return float32"):
        merged(Wide(), _ctx("b"), _state(1, 3), {})


def test_training_beside_merging_moves_the_merged_model() -> None:
    before, after = np.zeros(2, np.float32), np.array([1, -1], np.float32)
    beside = learned(Halves("beside"), _ctx("b"), _state(5, 5), before, after)
    assert beside.weights.tolist() == [6, 4]
    assert learned(Halves(), _ctx("b"), _state(5, 5), before, after).weights is after


@pytest.mark.parametrize(
    "value",
    [[1], None, b"x", {"a": 1}, (1,), 1j, 2**64, -(2**63) - 1, np.int64(3), object()],
    ids=str,
)
def test_what_cannot_be_read_from_a_save_is_refused_before_it_is_saved(value: object) -> None:
    @dataclass(frozen=True)
    class Keeping(Halves):
        def outgoing(
            self, ctx: PairCtx, state: PairState
        ) -> tuple[Mapping[str, Content], PairState]:
            kept: Any = {"x": value}
            return super().outgoing(ctx, state)[0], state.keeping(kept)

    with pytest.raises(BeyondHelp, match=r"^Keeping\.outgoing keeps what does not travel: 'x' is "):
        sent(Keeping(), _ctx("b"), _state(1, 3))


def test_numbers_strings_and_arrays_are_kept() -> None:
    mine: Any = {"a": 2**64 - 1, "b": -(2**63), "c": 0.5, "d": "d", "e": True, "f": np.zeros(2)}
    assert sent(Halves(), _ctx("b"), _state(1, 3).keeping(mine))[1].mine == mine
