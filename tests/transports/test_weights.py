from __future__ import annotations

import math
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.errors import LayoutError, WeightsReleased
from transports.weights import (
    ITEM_SIZES,
    TensorSpec,
    Weights,
    check_layout,
    dtype_of,
    layout_nbytes,
)

NUMPY_DTYPES = [name for name in ITEM_SIZES if name != "bfloat16"]

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
any_array = hnp.arrays(
    st.sampled_from(NUMPY_DTYPES).map(np.dtype),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)
models: st.SearchStrategy[dict[str, Any]] = st.dictionaries(names, any_array, max_size=6)


@given(models)
def test_what_goes_in_comes_out_bit_for_bit(model: dict[str, Any]) -> None:
    weights = Weights.of(model)
    assert weights.names() == tuple(model)
    for name, array in model.items():
        assert weights[name].dtype == array.dtype
        assert weights[name].shape == array.shape
        assert weights[name].tobytes() == array.tobytes()


@given(models)
def test_every_array_starts_on_a_64_byte_boundary_and_none_can_be_written(
    model: dict[str, Any],
) -> None:
    weights = Weights.of(model)
    assert weights.buffer.readonly
    assert np.frombuffer(weights.buffer, np.uint8).ctypes.data % 64 == 0 or not weights.nbytes
    for spec in weights.layout:
        assert spec.offset % 64 == 0
        array = weights[spec.name]
        assert array.ctypes.data % 64 == 0 or not array.size
        with pytest.raises(ValueError, match=r"read-only|WRITEABLE"):
            array.flags.writeable = True


@given(models)
def test_a_layout_made_here_passes_the_check_for_layouts_from_the_wire(
    model: dict[str, Any],
) -> None:
    weights = Weights.of(model)
    assert check_layout(weights.layout, weights.nbytes) == weights.nbytes
    assert layout_nbytes(weights.layout) == weights.nbytes


@given(models)
def test_equality_and_digest_are_by_content(model: dict[str, Any]) -> None:
    one = Weights.of(model)
    other = Weights.of({name: array.copy() for name, array in model.items()})
    assert one == other
    assert one.sha256() == other.sha256()
    for name, array in model.items():
        if array.size:
            changed = array.copy()
            flipped = changed.reshape(-1).view(np.uint8)
            flipped[0] ^= 1
            different = Weights.of({**model, name: changed})
            assert one != different
            assert one.sha256() != different.sha256()


def test_equality_is_of_bits_so_nan_equals_itself_and_minus_zero_is_another() -> None:
    nan = Weights.of({"x": np.array([np.nan])})
    assert nan == Weights.of({"x": np.array([np.nan])})
    assert Weights.of({"x": np.array([0.0])}) != Weights.of({"x": np.array([-0.0])})
    assert nan != "x"


def test_shape_dtype_name_and_order_matter() -> None:
    x = np.zeros(4, np.float32)
    base = Weights.of({"x": x})
    for other in (
        {"x": x.reshape(2, 2)},
        {"x": x.view(np.int32)},
        {"y": x},
        {"x": x, "y": x},
    ):
        assert base != Weights.of(other)
        assert base.sha256() != Weights.of(other).sha256()
    assert Weights.of({"x": x, "y": x}) != Weights.of({"y": x, "x": x})


def test_the_caller_may_go_on_writing_to_what_it_gave() -> None:
    array = np.zeros(10)
    weights = Weights.of({"x": array})
    array[:] = 1
    assert not weights["x"].any()


def test_strides_and_byte_order_are_normalised() -> None:
    array = np.arange(12, dtype=">i4").reshape(3, 4).T[::2]
    got = Weights.of({"x": array})["x"]
    assert got.dtype == np.dtype("<i4")
    assert (got == array).all()
    assert got.flags.c_contiguous


def test_bfloat16_travels_as_tagged_uint16() -> None:
    bits = np.arange(5, dtype=np.uint16)
    weights = Weights.of({"x": bits}, {"x": "bfloat16"})
    assert weights.layout[0].dtype == "bfloat16"
    assert (weights["x"] == bits).all()
    assert weights != Weights.of({"x": bits})


@pytest.mark.parametrize(
    "array",
    [np.zeros(2, complex), np.array(["text"]), np.zeros(2, "M8[s]"), np.array([object()])],
    ids=["complex", "text", "time", "object"],
)
def test_other_dtypes_are_refused_with_the_known_ones(array: Any) -> None:
    with pytest.raises(LayoutError, match="float32"):
        Weights.of({"x": array})


def test_a_wrong_tag_is_refused() -> None:
    with pytest.raises(LayoutError, match="bfloat16"):
        Weights.of({"x": np.zeros(2, np.float32)}, {"x": "bfloat16"})


def test_after_release_every_access_raises() -> None:
    weights = Weights.of({"x": np.zeros(2)})
    shared = weights.share()
    weights.release()
    weights.release()
    for access in (lambda: weights["x"], lambda: weights.buffer, lambda: weights.nbytes):
        with pytest.raises(WeightsReleased, match="copy what you need"):
            access()
    assert repr(weights) == "<Weights released arrays=1>"
    assert shared["x"].size == 2


def test_representation_and_mapping_manners() -> None:
    weights = Weights.of({"x": np.zeros(2), "y": np.zeros(0)})
    assert repr(weights) == "<Weights arrays=2 bytes=64>"
    assert list(weights) == ["x", "y"]
    assert len(weights) == 2
    assert "x" in weights
    assert "z" not in weights
    with pytest.raises(KeyError):
        weights["z"]
    with pytest.raises(TypeError, match="unhashable"):
        hash(weights)


BAD_LAYOUTS = {
    "overlap": [TensorSpec("a", "int8", (65,), 0), TensorSpec("b", "int8", (1,), 64)],
    "unaligned": [TensorSpec("a", "int8", (1,), 8)],
    "negative offset": [TensorSpec("a", "int8", (1,), -64)],
    "out of bounds": [TensorSpec("a", "int8", (129,), 0)],
    "offset out of bounds": [TensorSpec("a", "int8", (0,), 192)],
    "huge": [TensorSpec("a", "float64", (2**40, 2**40), 0)],
    "zero times huge": [TensorSpec("a", "float64", (0, 2**62, 2**62), 0)],
    "negative": [TensorSpec("a", "int8", (-1, -1), 0)],
    "unknown dtype": [TensorSpec("a", "object", (1,), 0)],
    "no name": [TensorSpec("", "int8", (1,), 0)],
    "long name": [TensorSpec("n" * 513, "int8", (1,), 0)],
    "twice": [TensorSpec("a", "int8", (1,), 0), TensorSpec("a", "int8", (1,), 64)],
    "dimensions": [TensorSpec("a", "int8", (1,) * 33, 0)],
}


@pytest.mark.parametrize("layout", BAD_LAYOUTS.values(), ids=BAD_LAYOUTS.keys())
def test_a_layout_from_the_wire_that_does_not_fit_is_refused(layout: list[TensorSpec]) -> None:
    with pytest.raises(LayoutError):
        check_layout(layout, 128)


def test_too_many_arrays_are_refused() -> None:
    layout = [TensorSpec(str(n), "int8", (0,), 0) for n in range(5)]
    check_layout(layout, 0, max_arrays=5)
    with pytest.raises(LayoutError, match="bound of 4"):
        check_layout(layout, 0, max_arrays=4)


@given(
    st.lists(
        st.builds(
            TensorSpec,
            st.sampled_from(["a", "b", "c", "d"]),
            st.sampled_from(list(ITEM_SIZES)),
            st.lists(st.integers(-2, 2**70), max_size=4).map(tuple),
            st.integers(-64, 2**70) | st.sampled_from([0, 64, 128]),
        ),
        max_size=4,
    ),
    st.integers(0, 1024),
)
def test_whatever_passes_the_check_can_be_read_within_the_buffer(
    layout: list[TensorSpec], nbytes: int
) -> None:
    try:
        taken = check_layout(layout, nbytes)
    except LayoutError:
        return
    assert taken <= nbytes
    weights = Weights(tuple(layout), memoryview(bytes(taken)))
    for spec in layout:
        assert weights[spec.name].nbytes == math.prod(spec.shape) * dtype_of(spec.dtype).itemsize
