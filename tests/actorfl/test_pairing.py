from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from actorfl.errors import BeyondHelp
from actorfl.layout import Layout
from actorfl.pairing import (
    Content,
    Order,
    PairAlgorithm,
    PairCtx,
    PairState,
    expect,
    learned,
    merged,
    sent,
)


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


@dataclass(frozen=True)
class Saying(Halves):
    """Sends, keeps or returns what a test gives it."""

    content: Any = field(default_factory=lambda: {"model": np.zeros(2, np.float32)})
    changed: Mapping[str, Any] = field(default_factory=dict)

    def outgoing(self, ctx: PairCtx, state: PairState) -> tuple[Mapping[str, Content], PairState]:
        return {"b": self.content}, replace(state, **self.changed)

    def incoming(
        self, ctx: PairCtx, state: PairState, received: Mapping[str, Content]
    ) -> PairState:
        return replace(state, **self.changed)


NO_VALUE: tuple[Any, ...] = (
    [1, 2], None, (1,), {"a": 1}, b"x", object(), 1j, 2**64, -(2**63) - 1, np.array([object()]),
    np.ones(2, np.complex64), np.array(["a"]), np.ones(2, np.longdouble),
)  # fmt: skip


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        *(({"model": value}, r"Saying\.outgoing sends b .* as 'model'; r") for value in NO_VALUE),
        *(
            (content, r"Saying\.outgoing sends b .*; return arrays")
            for content in (None, [1], "ab")
        ),
        (np.ones(2), r"Saying\.outgoing sends b array\(.*; return arrays of numbers, numbers"),
        ({5: 1}, "sends b something named 5; a name is a string"),
        ({"a" * 401: 1}, "sends b something named 'aaa.*; a name has 400 bytes at most"),
        ({"buffer/x": 1}, "named 'buffer/x'; take a name that does not begin with buffer/"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_the_method_that_returned_it(
    content: Any, sentence: str
) -> None:
    with pytest.raises(BeyondHelp, match=sentence):
        sent(Saying(content=content), _ctx("b"), _state(1, 3))


def test_arrays_numbers_words_and_what_numpy_counts_with_can_be_sent() -> None:
    content = {
        "a": np.ones((2, 2), ">f4"), "b": np.float32(1), "c": 2**64 - 1, "d": "x", "e": True,
        "f": np.zeros(0, np.uint8), "g": 0.5, "h": np.array(True),
    }  # fmt: skip
    letters, _ = sent(Saying(content=content), _ctx("b"), _state(1, 3))
    assert set(letters["b"]) == {*content, "buffer/seen"}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"weights": None}, r"a state whose weights are None; return float32 of shape \(2,\)"),
        ({"weights": [1.0, 2.0]}, r"a state whose weights are \[1\.0, 2\.0\]; return float32"),
        ({"mine": None}, "a state that keeps None; keep arrays of numbers"),
        *(({"mine": {"x": value}}, "keeps .* as 'x'; keep arrays") for value in NO_VALUE),
        ({"mine": {"x": np.int64(1)}}, r"as 'x'; keep .* what item\(\) returns"),
        ({"mine": {5: 1}}, "keeps something named 5; a name is a string"),
        ({"buffers": None}, "other integer buffers than the model has; leave its `buffers`"),
        ({"buffers": {"seen": np.ones(2, np.int64)}}, "other integer buffers than the model has"),
        (
            {"weights": np.full(2, np.nan, np.float32)},
            "not finite in round 0: lower the learning rate of `local`, if it trains, or see what ",
        ),
    ],
)
def test_a_state_that_no_node_can_go_on_from_is_refused_by_the_method_that_returned_it(
    changed: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BeyondHelp, match=rf"Saying\.outgoing .*{sentence}"):
        sent(Saying(changed=changed), _ctx("b"), _state(1, 3))
    with pytest.raises(BeyondHelp, match=rf"Saying\.incoming .*{sentence}"):
        merged(Saying(changed=changed), _ctx("b"), _state(1, 3), {})


def test_where_nothing_is_expected_the_sentence_says_so() -> None:
    with pytest.raises(ValueError, match=r"it holds 'x', expected nothing$"):
        expect({"x": 1}, {})
    with pytest.raises(ValueError, match=r"it holds nothing, expected 'x'$"):
        expect({}, {}, ("x",))


def test_training_beside_merging_moves_the_merged_model() -> None:
    before, after = np.zeros(2, np.float32), np.array([1, -1], np.float32)
    beside = learned(Halves("beside"), _ctx("b"), _state(5, 5), before, after)
    assert beside.weights.tolist() == [6, 4]
    assert learned(Halves(), _ctx("b"), _state(5, 5), before, after).weights is after


def test_numbers_strings_and_arrays_are_kept() -> None:
    mine: Any = {"a": 2**64 - 1, "b": -(2**63), "c": 0.5, "d": "d", "e": True, "f": np.float64(1)}
    assert sent(Halves(), _ctx("b"), _state(1, 3).keeping(mine))[1].mine == mine
