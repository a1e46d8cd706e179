"""Compressors: what they promise of one vector, and what they refuse from the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl import (
    ASP,
    BSP,
    Compression,
    EightBit,
    FedAsync,
    FedAvg,
    FedBuff,
    FedNova,
    OneBit,
    ParameterServer,
    Quorum,
    RandomK,
    Run,
    Scaffold,
    Star,
    TopK,
    Tree,
)
from actorfl.algorithm import Mine
from actorfl.compression import Payload, PayloadError
from actorfl.errors import Misfit, WrongType, WrongValue
from actorfl.layout import Layout, Vector
from actorfl.packing import names_in, packed, taken_apart, unpacked
from actorfl.registry import SLOTS
from actorfl.terms import Packed, Sum, Terms
from tests.actorfl.configs import made_in, run_of

ALL = (TopK(0.1), TopK(1.0), RandomK(0.1), RandomK(1.0), EightBit(), OneBit())
vectors = st.integers(1, 700).flatmap(
    lambda size: st.integers(0, 2**32).map(
        lambda seed: drawn(seed, size, zeros=seed % 3 == 0, ties=seed % 5 == 0)
    )
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def drawn(seed: int, size: int, *, zeros: bool = False, ties: bool = False) -> Vector:
    """A vector whose blocks have different magnitudes."""
    draw = rng(seed)
    vector = draw.standard_normal(size) * 10.0 ** draw.integers(-4, 4)
    if ties:
        vector = np.round(vector)
    if zeros:
        vector[draw.random(size) < 0.5] = 0.0
    return vector.astype(np.float32)


def there_and_back(
    compression: Compression, vector: Vector, state: Mine | None = None, seed: int = 0
) -> tuple[Vector, Mine]:
    payload, after = compression.encode(vector, state or {}, rng(seed))
    return compression.decode(payload, vector.size), after


def squares(vector: Vector) -> float:
    return float(np.sum(vector.astype(np.float64) ** 2))


# -- all -------------------------------------------------------------------------------------------


def test_these_are_all_kinds_there_are() -> None:
    assert [type(each).__name__ for each in (TopK(0.1), RandomK(0.1), EightBit(), OneBit())] == [
        home.rpartition(":")[2] for home in SLOTS["compress"].kinds.values()
    ]


@given(vectors, st.sampled_from(ALL))
def test_encoding_writes_to_nothing_and_is_drawn_from_its_generator_alone(
    vector: Vector, compression: Compression
) -> None:
    _, state = compression.encode(vector[::-1].copy(), {}, rng(1))
    before = {name: np.array(value) for name, value in state.items()}
    copy = vector.copy()
    vector.flags.writeable = False
    first = compression.encode(vector, state, rng(2))
    again = compression.encode(vector, state, rng(2))
    assert vector.tobytes() == copy.tobytes()
    assert {n: np.asarray(v).tobytes() for n, v in state.items()} == {
        n: v.tobytes() for n, v in before.items()
    }
    for one, other in zip(first, again, strict=True):
        assert one.keys() == other.keys()
        assert all(np.asarray(one[n]).tobytes() == np.asarray(other[n]).tobytes() for n in one)


@given(vectors, st.sampled_from(ALL))
def test_a_vector_of_zeros_stays_one(vector: Vector, compression: Compression) -> None:
    found, _ = there_and_back(compression, np.zeros_like(vector))
    assert not found.any()


@pytest.mark.parametrize("compression", [TopK(0.05), OneBit()], ids=repr)
def test_what_was_sent_and_what_is_kept_add_up_to_all_updates_at_all_times(
    compression: Compression,
) -> None:
    # Whole numbers of few bits: float32 adds them exactly. The scales of signs are no such ones.
    tolerance = 0.0 if isinstance(compression, TopK) else 1e-4
    state: Mine = {}
    sent, updates = np.zeros(300), np.zeros(300)
    for clock in range(50):
        update = rng(clock).integers(-50, 50, 300).astype(np.float32)
        found, state = there_and_back(compression, update, state)
        sent += found
        updates += update
        assert np.abs(sent + np.asarray(state["residual"]) - updates).max() <= tolerance


@pytest.mark.parametrize("compression", [RandomK(0.1), EightBit()], ids=repr)
def test_an_unbiased_compressor_keeps_nothing_and_its_mean_is_the_vector(
    compression: Compression,
) -> None:
    vector = drawn(5, 300)
    found = np.stack([there_and_back(compression, vector, seed=seed)[0] for seed in range(1000)])
    off = np.abs(found.mean(axis=0, dtype=np.float64) - vector)
    most = np.abs(vector) * np.sqrt(9.0)  # sqrt(d/k - 1)
    if isinstance(compression, EightBit):
        payload, _ = compression.encode(vector, {}, rng())
        most = payload["scales"].repeat(256)[: vector.size] / 2  # of two values, at one half each
    assert (off <= 5 * most / np.sqrt(1000) + 1e-6 * np.abs(vector)).all()
    assert not compression.stateful
    assert there_and_back(compression, vector)[1] == {}


# -- each ------------------------------------------------------------------------------------------


@given(vectors, st.floats(0.001, 1.0))
def test_top_k_sends_the_largest_as_they_are_and_contracts(vector: Vector, fraction: float) -> None:
    found, state = there_and_back(TopK(fraction), vector)
    size, sent = vector.size, np.flatnonzero(found)
    count = int(np.ceil(round(fraction * size, 6)))
    assert found[sent].tobytes() == vector[sent].tobytes()
    assert len(sent) <= max(1, count)
    left = np.asarray(state["residual"])
    assert left.tobytes() == (vector - found).tobytes()
    if len(sent):
        assert np.abs(left).max() <= np.abs(vector[sent]).min()
    assert squares(left) <= (1 - max(1, count) / size) * squares(vector) * (1 + 1e-12)


def test_top_k_of_everything_loses_nothing() -> None:
    vector = drawn(1, 500)
    found, state = there_and_back(TopK(1.0), vector)
    assert found.tobytes() == vector.tobytes()
    assert not np.asarray(state["residual"]).any()


def test_of_equal_magnitudes_top_k_sends_those_that_come_first() -> None:
    payload, _ = TopK(0.5).encode(np.array([1, 3, -2, 2, 2, -2], np.float32), {}, rng())
    assert payload["indices"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(("fraction", "size", "count"), [
    (0.01, 100, 1), (0.07, 100, 7), (0.001, 10, 1), (0.011, 100, 2), (1.0, 7, 7), (0.29, 100, 29),
])  # fmt: skip
def test_a_fraction_is_rounded_up_to_whole_elements(fraction: float, size: int, count: int) -> None:
    for compression in (TopK(fraction), RandomK(fraction)):
        payload, _ = compression.encode(drawn(0, size), {}, rng())
        assert payload["values"].size == count


def test_random_k_has_the_variance_that_its_fraction_gives() -> None:
    # Of elements of one magnitude the error does not depend on which are drawn: (d/k - 1) |u|^2.
    vector = np.where(drawn(3, 400) > 0, 1.0, -1.0).astype(np.float32)
    for fraction in (0.25, 0.5, 1.0):
        found, _ = there_and_back(RandomK(fraction), vector)
        assert squares(found - vector) == (1 / fraction - 1) * squares(vector)


@given(vectors, st.integers(0, 99))
def test_8_bits_are_off_by_less_than_a_step(vector: Vector, seed: int) -> None:
    payload, _ = EightBit().encode(vector, {}, rng(seed))
    found = EightBit().decode(payload, vector.size)
    for block, scale in enumerate(payload["scales"]):
        part = slice(256 * block, 256 * (block + 1))
        largest = float(np.abs(vector[part]).max())  # in float64: a scale is never too small
        assert largest <= 127 * float(scale) <= largest * (1 + 2e-7)
        assert (np.abs(found[part] - vector[part]) <= scale * (1 + 1e-4)).all()


@pytest.mark.parametrize("value", [1e-45, 1e-38, 1.0, 3.0e38])
def test_8_bits_hold_the_smallest_and_the_largest_numbers(value: float) -> None:
    vector = np.array([value, -value, 0.0], np.float32)
    found, _ = there_and_back(EightBit(), vector)
    assert np.isfinite(found).all()
    assert np.abs(found - vector).max() <= max(value / 127, 1e-45) * 1.01


@given(vectors)
def test_1_bit_sends_signs_and_the_mean_magnitude_of_each_block(vector: Vector) -> None:
    found, state = there_and_back(OneBit(), vector)
    left = np.asarray(state["residual"])
    for begin in range(0, vector.size, 256):
        block = vector[begin : begin + 256].astype(np.float64)
        mean = np.abs(block).mean()
        expected = np.where(block >= 0, mean, -mean)
        assert found[begin : begin + 256] == pytest.approx(expected, rel=1e-6, abs=1e-30)
        lost = float((block**2).sum()) - np.abs(block).sum() ** 2 / block.size
        assert squares(left[begin : begin + 256]) == pytest.approx(
            lost, rel=1e-3, abs=1e-5 * float((block**2).sum()) + 1e-30
        )


@pytest.mark.parametrize(
    ("compression", "share"),
    [(TopK(0.01), 0.02), (RandomK(0.1), 0.2), (EightBit(), 0.254), (OneBit(), 0.0352)],
    ids=repr,
)
def test_a_payload_has_the_size_that_its_page_tells(compression: Compression, share: float) -> None:
    payload, _ = compression.encode(drawn(2, 100_000), {}, rng())
    size = sum(np.asarray(array).nbytes for array in payload.values())
    assert size / 400_000 == pytest.approx(share, rel=0.01)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1, float("nan")])
@pytest.mark.parametrize("cls", [TopK, RandomK])
def test_a_fraction_out_of_range_is_refused(cls: type[TopK | RandomK], fraction: float) -> None:
    with pytest.raises(WrongValue, match=rf"`fraction` of {cls.__name__} must be above 0"):
        cls(fraction)


# -- from the network ------------------------------------------------------------------------------

EIGHT = {"levels": np.zeros(300, np.int8), "scales": np.ones(2, np.float32)}
ONE = {"signs": np.zeros(38, np.uint8), "scales": np.ones(2, np.float32)}
SPARSE = {"indices": np.array([0, 7, 299], np.uint32), "values": np.ones(3, np.float32)}


@pytest.mark.parametrize(
    ("compression", "good", "bad"),
    [
        *((each, SPARSE, bad) for each in (TopK(0.01), RandomK(0.01)) for bad in (
            {"indices": np.array([0, 7, 300], np.uint32)},
            {"indices": np.array([7, 0, 299], np.uint32)},
            {"indices": np.array([0, 7, 7], np.uint32)},
            {"indices": np.array([0, 7, 2**32 - 1], np.uint32)},
            {"indices": np.array([-1, 7, 9], np.int64)},
            {"indices": np.array([0, 7], np.uint32)},
            {"indices": np.array([0, 7], np.uint32), "values": np.ones(2, np.float32)},
            {"indices": np.array([], np.uint32), "values": np.array([], np.float32)},
            {"values": np.array([1, np.nan, 1], np.float32)},
            {"values": np.array([1, np.inf, 1], np.float32)},
            {"values": np.ones(3)},
            {"values": np.ones((3, 1), np.float32)},
            {"values": None},
            {"more": np.ones(1, np.float32)},
        )),
        *((EightBit(), EIGHT, bad) for bad in (
            {"levels": np.full(300, -128, np.int8)},
            {"levels": np.zeros(299, np.int8)},
            {"levels": np.zeros(300, np.uint8)},
            {"scales": np.array([1, np.nan], np.float32)},
            {"scales": np.array([1, -1], np.float32)},
            {"scales": np.ones(3, np.float32)},
            {"scales": None},
            {"more": np.ones(1, np.float32)},
        )),
        *((OneBit(), ONE, bad) for bad in (
            {"signs": np.full(38, 255, np.uint8)},
            {"signs": np.zeros(37, np.uint8)},
            {"signs": np.zeros(38, np.int8)},
            {"scales": np.array([np.inf, 1], np.float32)},
            {"signs": None},
            {"more": np.ones(1, np.float32)},
        )),
    ],
)  # fmt: skip
def test_a_payload_that_no_encoder_makes_is_refused(
    compression: Compression, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    assert compression.decode(good, 300).shape == (300,)
    with pytest.raises(PayloadError):
        compression.decode({n: a for n, a in {**good, **bad}.items() if a is not None}, 300)


# -- terms -----------------------------------------------------------------------------------------

NET = Layout.build([
    ("w", (4,), "float32", "parameter"),
    ("mean", (2,), "float32", "buffer"),
    ("v", (2,), "float32", "parameter"),
])  # fmt: skip
START = np.arange(8, dtype=np.float32)


def pack(terms: Terms, kept: Mine, compression: Compression) -> tuple[Terms, Mine]:
    return packed(
        compression, FedAvg(), terms, kept, start=START, layout=NET, additive=False,
        seed_of=lambda name: 7,
    )  # fmt: skip


def test_a_model_goes_up_as_its_difference_and_running_statistics_as_they_are() -> None:
    moved = np.array([0, 1, 9, 3, 40, 50, 6, 7.5], np.float32)
    terms, kept = pack(Terms(model=Sum(moved, 3)), {}, TopK(0.2))
    assert not terms.sums
    assert terms.packed["model"].arrays["indices"].tolist() == [2, 5]  # of those that are trained
    assert set(kept) == {"compress/model/residual"}
    assert taken_apart({**kept, "own": 1}) == (kept, {"own": 1})
    found = unpacked(TopK(0.2), FedAvg(), terms, start=START, layout=NET)
    term = found.sums["model"]
    assert isinstance(term, Sum)
    assert term.weight == 3
    assert term.array.tolist() == moved.tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_what_is_not_finite_goes_as_it_is_and_leaves_what_was_kept(bad: float) -> None:
    vector = START.copy()
    vector[0] = bad
    kept = {"compress/model/residual": np.full(6, 3e38, np.float32)}
    for compression in (TopK(0.5), OneBit(), *((EightBit(),) if bad != 3e38 else ())):
        terms, left = pack(Terms(model=Sum(vector)), kept, compression)
        assert not terms.packed
        assert terms.sums["model"] == Sum(vector)
        assert left == kept


def test_terms_that_do_not_say_that_they_may_be_compressed_are_not() -> None:
    terms, _ = pack(Terms(model=Sum(START), vote=Sum(START)), {}, EightBit())
    assert (set(terms.sums), set(terms.packed)) == ({"vote"}, {"model"})
    with pytest.raises(Misfit, match=r"sends vote, and does not say .* its `deltas`"):
        pack(Terms(vote=Sum(START)), {}, EightBit())


def test_what_may_be_compressed_is_said_by_the_algorithm() -> None:
    assert names_in(Scaffold()) == {"model"}  # c stays the mean of what the workers keep
    assert names_in(FedNova()) >= {"direction"}
    assert names_in(FedBuff()) == {"delta"}
    assert names_in(ParameterServer(lr=0.1)) == {"gradient"}
    assert names_in(FedAsync()) == set()


@pytest.mark.parametrize(
    ("name", "arrays"),
    [
        ("other", EIGHT),
        ("model", {**EIGHT, "statistics": np.zeros(3, np.float32)}),
        ("model", {**EIGHT, "statistics": np.zeros(2)}),
        ("model", EIGHT),
    ],
)
def test_terms_that_no_step_makes_are_refused(name: str, arrays: Payload) -> None:
    terms = Terms()
    terms.packed[name] = Packed(arrays)
    with pytest.raises(PayloadError, match=f"term '{name}'"):
        unpacked(EightBit(), FedAvg(), terms, start=START, layout=NET)


# -- runs ------------------------------------------------------------------------------------------


def test_a_compression_is_written_and_read_and_counts_in_the_hash(tmp_path: Path) -> None:
    folder = made_in(tmp_path)
    plain = Run.from_toml(folder / "run.toml")
    assert "compress" not in plain.table()
    settings = [
        "compress={kind='top-k', fraction=0.01}", "compress={kind='top-k', fraction=0.02}",
        "compress={kind='random-k', fraction=0.01}", "compress=8-bit", "compress=1-bit",
    ]  # fmt: skip
    found = [Run.from_toml(folder / "run.toml", [setting]) for setting in settings]
    assert [run.compress for run in found] == [
        TopK(0.01), TopK(0.02), RandomK(0.01), EightBit(), OneBit(),
    ]  # fmt: skip
    assert len({plain.hash, *(run.hash for run in found)}) == 6
    for run in found:
        (folder / "again.toml").write_text(run.to_toml())
        assert Run.from_toml(folder / "again.toml") == run


TREE = Tree(root=1, edge=2, worker=4)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"algorithm": FedAsync(), "sync": ASP()}, "FedAsync sends nothing that is 0 where"),
        (
            {"topology": TREE, "sync": {"root": BSP(), "edge": BSP(rounds=2)}},
            "OneBit keeps at the workers .* begins its 2 rounds again .* or EightBit",
        ),
    ],
)
def test_a_run_that_does_not_go_with_its_compression_is_refused(
    values: dict[str, Any], what: str
) -> None:
    with pytest.raises(Misfit, match=what):
        run_of(**{"topology": Star(4), "compress": OneBit(), **values})


def test_what_a_compressor_keeps_goes_with_a_quorum_in_a_tree() -> None:
    run_of(topology=TREE, sync={"root": BSP(), "edge": Quorum(0.5)}, compress=TopK(0.1))


def test_a_compressor_that_keeps_nothing_goes_with_what_keeps_nothing() -> None:
    run_of(topology=TREE, sync={"root": BSP(), "edge": BSP(rounds=2)}, compress=EightBit())
    run_of(topology=TREE, sync={"root": BSP(), "edge": Quorum(0.5)}, compress=RandomK(0.1))


def test_something_else_is_no_compression() -> None:
    with pytest.raises(WrongType, match="`compress` of Run: expected an instance of"):
        run_of(compress=0.1)
