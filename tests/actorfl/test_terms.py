"""Terms on the wire, and merging them: refusals by name and reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl.grid import Grid
from actorfl.layout import Layout, Vector
from actorfl.mean import Mean
from actorfl.merging import Merger, Reason, Refused
from actorfl.terms import (
    MAX_COUNT,
    Array,
    Contribution,
    Packed,
    PartialSum,
    Sum,
    SumHeader,
    Terms,
    TermsError,
    TermsHeader,
)
from transports.weights import Weights

NET = Layout.of(
    {
        "w": np.zeros(3, dtype=np.float32),
        "b": np.zeros((), dtype=np.float32),
        "bn.num_batches_tracked": np.array(0),
    }
)
COUNTER = "bn.num_batches_tracked"
GRID = Grid.of(NET.zeros(), NET, 1000)


def update(
    worker: str = "w0",
    values: object = (1.0, 2.0, 3.0, 4.0),
    examples: int = 5,
    *,
    clock: int = 3,
    counter: Array | None = None,
    layout: Layout = NET,
    more: Mapping[str, Sum | int | Mean] | None = None,
) -> Terms:
    vector = np.asarray(values, dtype=np.float32)
    return Terms(model=Sum(vector, examples), **(more or {})).stated(
        worker=worker,
        clock=clock,
        examples=examples,
        layout=layout,
        means={"loss": Mean.of(0.5, examples)},
        integers={COUNTER: np.array(7) if counter is None else counter},
    )


def travelled(terms: Terms) -> Terms:
    """The same terms after a journey: header through MessagePack, arrays through Weights."""
    header, arrays = terms.to_wire()
    weights = Weights.of(arrays)
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(header), type=TermsHeader)
    return Terms.from_wire(decoded, {name: weights[name] for name in weights.names()})


def refused(merger: Merger, terms: Terms) -> Refused:
    before = (merger.contributions, merger.statistics()._replace(refused={}))
    bits = {name: s.mean().tobytes() for name, s in merger.merged().sums.items()}
    with pytest.raises(Refused) as caught:
        merger.fold(terms)
    assert (merger.contributions, merger.statistics()._replace(refused={})) == before
    assert {name: s.mean().tobytes() for name, s in merger.merged().sums.items()} == bits
    return caught.value


def test_an_update_travels_as_float32_and_folds_the_same() -> None:
    terms = update(more={"seen": 12})
    arrived = travelled(terms)
    assert arrived.contributions == {Contribution("w0", 3)}
    assert (arrived.examples, arrived.counts) == (5, {"seen": 12})
    assert arrived.means == {"loss": Mean.of(0.5, 5)}
    assert arrived.integers[COUNTER].dtype == np.int64
    assert arrived.integers[COUNTER].shape == ()
    assert repr(arrived) == "<Terms model, seen, loss of w0 examples=5>"
    sent = arrived.sums["model"]
    assert isinstance(sent, Sum)
    assert sent.array.tobytes() == np.array([1, 2, 3, 4], np.float32).tobytes()


def test_the_header_of_an_update_is_read_by_plain_messagepack() -> None:
    header, _ = update().to_wire()
    plain = msgspec.msgpack.decode(msgspec.msgpack.encode(header))
    assert plain[0] == [["w0", 3]]
    assert plain[2] == [["w", [3]], ["b", []]]


@given(
    st.lists(
        st.tuples(
            st.lists(st.floats(-8, 8, width=32), min_size=4, max_size=4), st.integers(1, 100)
        ),
        min_size=1,
        max_size=6,
    ),
    st.randoms(use_true_random=False),
    st.data(),
)
def test_a_tree_of_partial_sums_over_the_wire_gives_the_bits_of_the_star(
    models: list[tuple[list[float], int]], random: Random, data: st.DataObject
) -> None:
    updates = [
        update(f"w{i}", values, n, counter=np.array(i), more={"seen": i})
        for i, (values, n) in enumerate(models)
    ]
    star, root = Merger(NET, GRID, 3), Merger(NET, GRID, 3)
    for terms in updates:
        star.fold(terms)
    random.shuffle(updates)
    edges = [Merger(NET, GRID, 3) for _ in range(3)]
    for terms in updates:
        edges[data.draw(st.integers(0, 2))].fold(travelled(terms))
    for edge in edges:
        if edge.contributions:
            root.fold(travelled(edge.partial()))
    one, other = star.merged(), root.merged()
    assert other["model"].mean().tobytes() == one["model"].mean().tobytes()
    assert other["model"].rounded == one["model"].rounded
    assert other.contributions == one.contributions
    assert (other.counts, other.means, other.examples) == (one.counts, one.means, one.examples)
    assert other.integers[COUNTER].tolist() == len(models) - 1


def test_a_single_contribution_goes_up_a_level_untouched() -> None:
    vector = np.array([-0.0, 1e-38, 0.1, 3.0], np.float32)
    edge, root = Merger(NET, GRID, 3), Merger(NET, GRID, 3)
    edge.fold(update(values=vector))
    up = travelled(edge.partial())
    assert isinstance(up.sums["model"], Sum)
    root.fold(up)
    assert root.merged()["model"].mean().tobytes() == vector.tobytes()


def test_several_contributions_go_up_as_one_int64_sum() -> None:
    edge = Merger(NET, GRID, 3)
    edge.fold(update("w0"))
    edge.fold(update("w1"))
    up = travelled(edge.partial())
    sent = up.sums["model"]
    assert isinstance(sent, PartialSum)
    assert (sent.units.dtype, sent.weight, sent.count) == (np.dtype(np.int64), 10, 2)
    assert up.grid == GRID


def test_an_integer_counter_is_merged_by_maximum_and_keeps_its_dtype_and_shape() -> None:
    merger = Merger(NET, GRID, 3)
    merger.fold(update("w0", counter=np.array(4)))
    merger.fold(update("w1", counter=np.array(2**62 + 1)))
    merger.fold(update("w2", counter=np.array(9)))
    counter = merger.merged().integers[COUNTER]
    assert (counter.dtype, counter.shape) == (np.dtype(np.int64), ())
    assert int(counter) == 2**62 + 1  # not representable in float64


def nan() -> Terms:
    return update("w9", [1, math.nan, 3, 4])


def wrong_shape() -> Terms:
    other = Layout.of({"w": np.zeros(1, np.float32), "b": np.zeros((), np.float32)})
    return update("w9", [1, 2], layout=other)


def missing_key() -> Terms:
    return update("w9", [1, 2, 3], layout=Layout.of({"w": np.zeros(3, np.float32)}))


def extra_key() -> Terms:
    parts = {"w": np.zeros(3, np.float32), "b": np.zeros((), np.float32)}
    return update("w9", range(5), layout=Layout.of({**parts, "tail": np.zeros(1, np.float32)}))


def float64() -> Terms:
    terms = update("w9")
    terms.sums["model"] = Sum(np.zeros(4), 5)
    return terms


def short_vector() -> Terms:
    return update("w9", [1.0])


def anonymous() -> Terms:
    return Terms(model=Sum(np.zeros(4, np.float32), 5))


def fractional_weight() -> Terms:
    terms = update("w9")
    terms.sums["model"] = Sum(np.zeros(4, np.float32), 5)
    object.__setattr__(terms.sums["model"], "weight", 2.5)  # as no Sum is made
    return terms


def other_grid() -> Terms:
    edge = Merger(NET, Grid.of(NET.zeros(), NET, 7), 3)
    edge.fold(update("w8", examples=1))
    edge.fold(update("w9", examples=1))
    return edge.partial()


@pytest.mark.parametrize(
    ("make", "reason", "words"),
    [
        (nan, "non-finite", ["w9", "'model'", "'w'", "nan at element 1", "learning rate"]),
        (wrong_shape, "shape", ["w9", "'w'", "(1,)", "(3,)"]),
        (missing_key, "keys", ["w9", "'b' is missing"]),
        (extra_key, "keys", ["w9", "'tail' is not part of the model"]),
        (float64, "dtype", ["w9", "float64", "float32"]),
        (short_vector, "shape", ["w9", "'model'", "(1,)", "(4,)"]),
        (lambda: update("w9", examples=0), "no-examples", ["w9", "0 examples"]),
        (
            lambda: update("w9", [1, 2, 3, 1e20]),
            "overflow",
            ["w9", "'b'", "1e+20", "lower the learning rate"],
        ),
        (lambda: update("w9", examples=995), "weight", ["w9", "1000"]),
        (lambda: update("w9", clock=2), "clock", ["w9", "round 3", "this is 4"]),
        (lambda: update("w0"), "overlap", ["w0", "round 4"]),
        (lambda: update("w9", counter=np.array(7.0)), "dtype", [COUNTER, "float64", "int64"]),
        (lambda: update("w9", counter=np.array([7])), "shape", [COUNTER, "(1,)", "()"]),
        (lambda: update("w9", more={"c": Sum(NET.zeros())}), "keys", ["['c', 'model']"]),
        (anonymous, "keys", ["nobody", "whose"]),
        (fractional_weight, "weight", ["w9", "whole number"]),
        (other_grid, "grid", ["w8, w9", "another grid"]),
    ],
)
def test_bad_terms_are_refused_by_name_and_reason_and_the_round_goes_on(
    make: object, reason: Reason, words: list[str]
) -> None:
    assert callable(make)
    merger = Merger(NET, GRID, 3)
    merger.fold(update("w0"))
    merger.fold(update("w1"))
    refusal = refused(merger, make())
    assert refusal.reason == reason
    assert refusal.wants_wider_grid == (reason == "overflow")
    for word in words:
        assert word in str(refusal)
    assert merger.statistics().refused == {reason: 1}
    merger.fold(update("w2"))
    assert [c.worker for c in merger.merged().contributions] == ["w0", "w1", "w2"]


def test_a_missing_integer_buffer_is_named() -> None:
    terms = update("w9")
    terms.integers = {}
    assert f"{COUNTER!r} is missing" in str(refused(Merger(NET, GRID, 3), terms))


def test_overlapping_partial_sums_are_refused_and_name_the_double_worker() -> None:
    merger, edge = Merger(NET, GRID, 3), Merger(NET, GRID, 3)
    merger.fold(update("w1"))
    for worker in ("w0", "w1", "w2"):
        edge.fold(update(worker))
    refusal = refused(merger, edge.partial())
    assert refusal.reason == "overlap"
    assert refusal.what == "w1 is already in round 4"


def test_of_several_sums_none_is_added_when_one_is_bad() -> None:
    merger = Merger(NET, GRID, 3)
    ones, nans = np.ones(4, np.float32), np.full(4, np.nan, np.float32)
    merger.fold(update("w0", more={"control": Sum(ones)}))
    refused(merger, update("w1", [9, 9, 9, 9], more={"control": Sum(nans)}))
    merger.fold(update("w2", more={"control": Sum(ones)}))
    refused(merger, update("w1", [9, 9, 9, 9], more={"control": Sum(nans)}))
    merged = merger.merged()
    assert merged["model"].mean().tolist() == [1, 2, 3, 4]
    assert merged["control"].sum().tolist() == [2, 2, 2, 2]
    assert merged["control"].weight == 2


def test_a_refused_first_update_fixes_no_names() -> None:
    merger = Merger(NET, GRID, 3)
    bad = Terms(vote=Sum(np.full(4, np.nan, np.float32)))
    refused(
        merger,
        bad.stated(worker="w0", clock=3, examples=1, layout=NET, integers={COUNTER: np.array(1)}),
    )
    merger.fold(update("w1"))
    assert list(merger.merged()) == ["model"]


def test_a_merger_starts_the_next_clock_empty_in_the_same_memory() -> None:
    merger = Merger(NET, GRID, 3)
    merger.fold(update("w0"))
    merger.fold(update("w1"))
    memory = merger.merged()["model"]
    wider = GRID.wider()
    assert wider is not None
    merger.restart(wider, 4)
    assert not merger.merged()
    with pytest.raises(ValueError, match="nothing was merged"):
        merger.partial()
    merger.fold(update("w0", [5, 5, 5, 5], clock=4))
    assert merger.merged()["model"] is memory
    assert merger.merged()["model"].mean().tolist() == [5, 5, 5, 5]
    assert repr(merger) == "<Merger clock=4 contributions=1 examples=5 refused=0>"


def test_a_merged_array_may_be_released_by_its_owner() -> None:
    merger = Merger(NET, GRID, 3)
    counter, vector = np.array(7), np.ones(4, np.float32)
    merger.fold(update("w0", vector, counter=counter))
    counter[...] = 0
    vector[...] = 0
    assert int(merger.merged().integers[COUNTER]) == 7
    assert merger.merged()["model"].mean().tolist() == [1, 1, 1, 1]


def test_an_unknown_term_names_those_that_there_are() -> None:
    merger = Merger(NET, GRID, 3)
    merger.fold(update("w0"))
    with pytest.raises(KeyError, match=r"no term 'vote' went up; there are \['model'\]"):
        merger.merged()["vote"]


@pytest.mark.parametrize("term", [1.5, "x", np.zeros(3), None])
def test_a_term_is_a_sum_a_mean_or_a_whole_number(term: object) -> None:
    with pytest.raises(TermsError, match="whole number"):
        Terms(model=term)  # type: ignore[arg-type]  # the wrong type is the point


def test_a_count_out_of_range_is_refused() -> None:
    with pytest.raises(TermsError, match="beyond"):
        Terms(n=MAX_COUNT + 1)


def test_a_header_that_contradicts_its_arrays_is_refused() -> None:
    header, arrays = update().to_wire()
    with pytest.raises(TermsError, match="the header states"):
        Terms.from_wire(header, {})
    with pytest.raises(TermsError, match="the header states"):
        Terms.from_wire(header, {**arrays, "other": np.zeros(1)})
    twice = msgspec.structs.replace(header, contributions=header.contributions * 2)
    with pytest.raises(TermsError, match="twice"):
        Terms.from_wire(twice, arrays)
    double = msgspec.structs.replace(header, sums=header.sums * 2)
    with pytest.raises(TermsError, match="the header states"):
        Terms.from_wire(double, arrays)


@pytest.mark.parametrize(
    "forged",
    [
        [[], 1, [], []],  # nobody's
        [[["w0", 1]], -1, [], []],
        [[["w0", 1]], 1, [], [["model", -1]]],
        [[["w0", 1]], 1, [], [["x" * 300, 1]]],
        [[["w0", 1]], 1, [], [["model", 1]] * 300],
    ],
)
def test_a_forged_header_is_refused_while_decoding(forged: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(forged), type=TermsHeader)


def test_sums_are_exact_where_float32_would_forget() -> None:
    def filled(value: float) -> Vector:
        return np.full(4, value, np.float32)

    merger = Merger(NET, Grid.of(filled(2**20), NET, 3), 3)
    for worker, value in (("w0", 2.0**20), ("w1", 2.0**-8), ("w2", -(2.0**20))):
        merger.fold(update(worker, filled(value), 1))
    assert merger.merged()["model"].sum().tolist() == [2.0**-8] * 4


# -- compressed vectors ----------------------------------------------------------------------------


def compressed(**arrays: Array) -> Terms:
    """An update whose vector is compressed into these arrays."""
    terms = Terms(count=2)
    terms.packed["a/b"] = Packed(arrays, 5)
    return terms.stated(worker="w0", clock=3, examples=5, layout=NET, integers={})


def test_a_compressed_vector_travels_by_its_fields() -> None:
    sent = compressed(levels=np.ones(4, np.int8), scales=np.ones(1, np.float32))
    header, arrays = sent.to_wire()
    assert set(arrays) == {"packed/levels/a/b", "packed/scales/a/b"}
    found = Terms.from_wire(header, arrays)
    assert not found.sums
    assert found.packed == sent.packed
    assert list(found) == ["a/b", "count"]


def test_a_compressed_vector_is_not_merged_before_it_is_decoded() -> None:
    merger = Merger(NET, GRID, 3)
    with pytest.raises(Refused, match=r"its terms \['a/b'\] are compressed") as caught:
        merger.fold(compressed(levels=np.ones(4, np.int8)))
    assert caught.value.reason == "payload"


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        ([SumHeader("x", 1)], ["packed/f/y"]),
        ([SumHeader("x", 1)], ["packed/f/x", "sum/x"]),
        ([SumHeader("x", 1)], ["packed/f/x", "packed/f/y"]),
        ([SumHeader("x", 1, 2)], ["packed/f/x"]),
        ([SumHeader("x", 1), SumHeader("x", 1)], ["packed/f/x"]),
        ([SumHeader("x", 1)], ["packed/x"]),
        ([SumHeader("x", 1)], ["packed/"]),
        ([SumHeader("x", 1), SumHeader("y", 1)], ["packed/f/x"]),
    ],
)
def test_a_header_that_contradicts_its_compressed_arrays_is_refused(
    headers: list[SumHeader], names: list[str]
) -> None:
    header = TermsHeader((Contribution("w0", 3),), 5, NET.shapes, tuple(headers))
    with pytest.raises(TermsError, match="the header states"):
        Terms.from_wire(header, {name: np.ones(4, np.float32) for name in names})


@pytest.mark.parametrize("weight", [0.5, 2.0, True, "1", None, -1, MAX_COUNT + 1, np.float32(1)])
def test_a_sum_is_not_made_of_a_weight_that_does_not_travel(weight: Any) -> None:
    with pytest.raises(TermsError, match="the weight of a Sum is "):
        Sum(np.zeros(4, np.float32), weight)


def test_a_whole_number_of_numpy_is_a_weight() -> None:
    made = Sum(np.zeros(4, np.float32), np.int64(3))  # type: ignore[arg-type]  # it is none of Python
    assert type(made.weight) is int
    with pytest.raises(TermsError, match="a term's name has 1 to 255 bytes"):
        Terms(**{"": made})
