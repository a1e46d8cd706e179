from __future__ import annotations

import math
from fractions import Fraction
from random import Random

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actorfl.mean import GRID_BITS, MAX_VALUE, Mean

finite = st.floats(-MAX_VALUE, MAX_VALUE, allow_nan=False)


def on_grid(value: float) -> Fraction:
    return Fraction(round(Fraction(value) * 2**GRID_BITS), 2**GRID_BITS)


@given(st.lists(finite, min_size=1, max_size=40))
def test_the_value_is_the_correctly_rounded_mean_of_the_values_on_the_grid(
    values: list[float],
) -> None:
    exact = sum(map(on_grid, values), Fraction(0)) / len(values)
    assert Mean.of(values).value == float(exact)
    assert Mean.of(np.array(values)) == Mean.of(values)


@given(
    st.lists(finite, min_size=1, max_size=20),
    st.randoms(use_true_random=False),
    st.integers(0, 20),
)
def test_totals_depend_neither_on_order_nor_on_grouping(
    values: list[float], random: Random, cut: int
) -> None:
    whole = Mean.of(values)
    shuffled = list(values)
    random.shuffle(shuffled)
    one_by_one = sum((Mean.of(value) for value in shuffled), Mean())
    assert one_by_one == whole
    assert Mean.of(shuffled[:cut]) + Mean.of(shuffled[cut:]) == whole


@given(finite, st.integers(0, 10**6))
def test_a_weight_counts_a_value_that_often(value: float, weight: int) -> None:
    mean = Mean.of(value, weight)
    assert mean.count == weight
    assert mean.total == on_grid(value) * 2**GRID_BITS * weight


@given(st.integers(-(2**120), 2**120), st.integers(0, 2**60))
def test_it_survives_messagepack_as_plain_integers(total: int, count: int) -> None:
    mean = Mean.exact(total, count)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(mean), type=Mean) == mean
    assert all(type(n) is int for n in msgspec.msgpack.decode(msgspec.msgpack.encode(mean)))
    assert mean.total == total


def test_many_large_values_do_not_overflow() -> None:
    mean = Mean.of(np.full(5000, MAX_VALUE))
    assert mean.value == MAX_VALUE
    assert mean.total == 5000 << (40 + GRID_BITS)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32, torch.bfloat16])
def test_torch_tensors_of_any_dtype_count_like_numbers(dtype: torch.dtype) -> None:
    tensor = torch.tensor([[1, 0], [1, 1]], dtype=dtype)
    assert Mean.of(tensor) == Mean.of([1.0, 0.0, 1.0, 1.0])
    assert Mean.of(tensor).value == 0.75


def test_a_tensor_that_needs_its_gradient_is_accepted() -> None:
    assert Mean.of(torch.ones(3, requires_grad=True)).value == 1.0


def test_integers_and_bools_are_exact() -> None:
    assert Mean.of([2**40, -(2**40), 7]).total == 7 << GRID_BITS
    assert Mean.of(True) + Mean.of(False) == Mean.of(np.array([True, False]))
    assert Mean.of(np.array([3, 250], dtype=np.uint8)).value == 126.5


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
def test_a_value_that_cannot_be_added_is_counted_and_makes_the_value_nan(bad: float) -> None:
    mean = Mean.of([1.0, bad, 3.0])
    assert (mean.count, mean.invalid) == (2, 1)
    assert math.isnan(mean.value)
    assert math.isnan((Mean.of(1.0) + mean).value)
    assert "invalid=1" in repr(mean)


def test_the_mean_of_nothing_is_nan_and_neutral() -> None:
    assert math.isnan(Mean().value)
    assert Mean.of([]) == Mean()
    assert Mean.of(2.5) + Mean() == Mean.of(2.5)
    assert math.isnan(Mean.of(3.0, 0).value)


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(TypeError, match="real numbers"):
        Mean.of(["a"])
    with pytest.raises(ValueError, match=">= 0"):
        Mean.of(1.0, -1)
    with pytest.raises(TypeError, match=r"a weight is a whole number, not 0\.5"):
        Mean.of(1.0, 0.5)  # type: ignore[arg-type]  # the point
    with pytest.raises(TypeError, match=r"made of whole numbers, not of 0\.5; use Mean\.of"):
        Mean(0, 0.5, 1)  # type: ignore[arg-type]  # the point
    assert Mean.of(1.0, np.int64(2)) == Mean.of(1.0, 2)  # type: ignore[arg-type]  # none of Python


def test_a_forged_mean_is_refused_while_decoding() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode([0, -1, 1, 0]), type=Mean)
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode([0, 0, -1, 0]), type=Mean)
