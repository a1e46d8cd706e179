from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl.layout import MAX_NAME, IntegerBuffer, Layout, LayoutError, Part

shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
layouts = st.lists(shapes, max_size=6).map(
    lambda list_of: Layout.build(
        (f"layer{i}.weight", shape, "float32", "parameter") for i, shape in enumerate(list_of)
    )
)

NET = Layout.of(
    {
        "body.weight": np.zeros((4, 3), dtype=np.float32),
        "body.bias": np.zeros(4, dtype=np.float32),
        "head.weight": np.zeros((2, 4), dtype=np.float16),
        "bn.num_batches_tracked": np.array(0),
    }
)


@given(layouts)
def test_parts_cover_the_vector_without_gap_and_survive_messagepack(layout: Layout) -> None:
    vector = np.arange(layout.size, dtype=np.float32)
    views = layout.views(vector)
    joined = [views[part.name].reshape(-1) for part in layout]
    assert np.array_equal(np.concatenate([*joined, np.zeros(0, np.float32)]), vector)
    assert [views[part.name].shape for part in layout] == [part.shape for part in layout]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(layout), type=Layout) == layout
    assert np.array_equal(layout.flatten(views), vector)


def test_a_view_writes_to_the_vector() -> None:
    vector = NET.zeros()
    NET.view(vector, "body.bias")[...] = 7
    assert vector.sum() == 28
    assert vector[12:16].tolist() == [7, 7, 7, 7]


def test_globs_choose_parts_by_name() -> None:
    assert [part.name for part in NET.match("body.*")] == ["body.weight", "body.bias"]
    assert [part.name for part in NET.match("*.weight")] == ["body.weight", "head.weight"]
    assert NET.match("BODY.*") == ()


def test_integer_buffers_are_kept_aside_with_their_dtype() -> None:
    assert NET.integers == (IntegerBuffer("bn.num_batches_tracked", (), "int64"),)
    assert NET.size == 24
    assert NET.part("head.weight").origin == "float16"
    assert repr(NET) == "<Layout parts=3 size=24 integers=1>"


def test_an_element_knows_its_part() -> None:
    assert NET.at(12).name == "body.bias"
    assert NET.at(23).name == "head.weight"
    with pytest.raises(IndexError):
        NET.at(24)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ([Part("a", (2,), 0), Part("b", (2,), 3)], "without gap"),
        ([Part("a", (2,), 0), Part("b", (2,), 1)], "without gap"),
        ([Part("a", (2,), 0), Part("a", (2,), 2)], "twice"),
        ([Part("", (2,), 0)], "bytes"),
        ([Part("x" * (MAX_NAME + 1), (2,), 0)], "bytes"),
        ([Part("a", (-2,), 0)], "no shape"),
        ([Part("a", (1 << 30, 1 << 30), 0)], "no shape"),
        ([Part("a", (1,) * 40, 0)], "no shape"),
    ],
)
def test_a_layout_that_contradicts_itself_is_refused_also_from_the_wire(
    parts: list[Part], sentence: str
) -> None:
    with pytest.raises(LayoutError, match=sentence):
        Layout(tuple(parts))
    with pytest.raises(msgspec.ValidationError, match=sentence):
        msgspec.msgpack.decode(msgspec.msgpack.encode([parts, []]), type=Layout)


def test_a_floating_dtype_that_cannot_travel_is_refused() -> None:
    with pytest.raises(LayoutError, match="float64"):
        Layout.of({"a": np.zeros(3)})


def test_a_difference_names_the_keys_and_both_shapes() -> None:
    same = dict(NET.shapes)
    assert NET.difference(same.items()) is None
    without = {name: shape for name, shape in same.items() if name != "body.bias"}
    assert NET.difference(without.items()) == ("keys", "'body.bias' is missing")
    assert NET.difference([*same.items(), ("tail", (1,))]) == (
        "keys",
        "'tail' is not part of the model",
    )
    assert NET.difference({**same, "body.bias": (1,)}.items()) == (
        "shape",
        "part 'body.bias' has shape (1,), expected (4,)",
    )
    difference = NET.difference(reversed(list(same.items())))
    assert difference is not None
    assert difference[0] == "keys"


def test_a_name_stated_twice_is_a_difference() -> None:
    assert NET.difference([*NET.shapes, NET.shapes[0]]) is not None


@pytest.mark.parametrize(
    "vector", [np.zeros(23, np.float32), np.zeros(24), np.zeros((24, 1), np.float32)]
)
def test_a_vector_of_another_size_dtype_or_rank_does_not_fit(vector: np.ndarray) -> None:
    with pytest.raises(LayoutError, match=r"float32 vector of shape \(24,\)"):
        NET.check(vector)
