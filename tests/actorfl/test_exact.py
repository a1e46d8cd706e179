"""The laws of exact merging, against fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from actorfl.exact import BLOCK, ExactSum, NonFinite, Overflow, Overweight
from actorfl.grid import MAX_TOTAL, MAX_WIDENINGS, MIN_EXPONENT, Grid
from actorfl.layout import Layout, LayoutError, Vector
from actorfl.quotient import Quotient

NET = Layout.of({"w": np.zeros((2, 3), dtype=np.float32), "b": np.zeros(2, dtype=np.float32)})

float32s = st.floats(width=32, allow_nan=False, allow_infinity=False)
weights = st.one_of(st.integers(1, 8), st.integers(1, 1 << 20), st.just((1 << 20) - 1))


@st.composite
def rounds(draw: st.DrawFn, min_size: int = 1) -> list[tuple[Vector, int]]:
    """Some weighted vectors of one magnitude, from subnormal to huge, with values far below it."""
    count = draw(st.integers(min_size, 6))
    top = draw(st.integers(-148, 118))
    values = st.one_of(
        st.builds(
            lambda m, e: math.ldexp(m, e),
            st.floats(-1, 1, width=32, allow_subnormal=False),
            st.integers(top - 40, top),
        ),
        st.sampled_from([0.0, -0.0, math.ldexp(1.0, top), -math.ldexp(3.0, top - 2)]),
    )
    result = []
    for _ in range(count):
        vector = np.array(draw(st.lists(values, min_size=NET.size, max_size=NET.size)))
        result.append((vector.astype(np.float32), draw(weights)))
    return result


def grid_for(contributions: list[tuple[Vector, int]], floor: float = 2.0**-149) -> Grid:
    model = np.max([np.abs(vector) for vector, _ in contributions], axis=0)
    return Grid.of(model, NET, sum(weight for _, weight in contributions), floor)


def summed(contributions: list[tuple[Vector, int]], grid: Grid) -> ExactSum:
    total = ExactSum(NET, grid)
    for vector, weight in contributions:
        total.add(vector, weight)
    return total


def nearest_float32(value: Fraction) -> float:
    """Half to even, written down from the definition of binary32."""
    if value == 0:
        return 0.0
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if Fraction(2) ** exponent > magnitude:
        exponent -= 1
    unit = Fraction(2) ** (max(exponent, -126) - 23)
    rounded = round(magnitude / unit) * unit
    result = math.inf if rounded >= Fraction(2) ** 128 else float(rounded)
    return math.copysign(result, value)


def units_of(contributions: list[tuple[Vector, int]], grid: Grid) -> list[int]:
    """The sums as whole numbers of units, value by value, from the definition."""
    result = []
    for index, part in enumerate(NET):
        unit = Fraction(2) ** grid.exponents[index]
        result += [
            sum(
                weight * round(Fraction(float(vector[i])) / unit)
                for vector, weight in contributions
            )
            for i in range(part.offset, part.stop)
        ]
    return result


def exponent_at(grid: Grid, i: int) -> int:
    return grid.exponents[0 if i < NET.part("w").stop else 1]


@given(rounds(min_size=2))
def test_the_mean_is_the_correctly_rounded_quotient_of_the_values_on_the_grid(
    contributions: list[tuple[Vector, int]],
) -> None:
    grid = grid_for(contributions)
    total = summed(contributions, grid)
    units = units_of(contributions, grid)
    assert total.units().tolist() == units
    expected = [
        nearest_float32(Fraction(q) * Fraction(2) ** exponent_at(grid, i) / total.weight)
        for i, q in enumerate(units)
    ]
    assert total.mean().tolist() == expected


@given(rounds(), st.integers(1, MAX_TOTAL))
def test_the_sum_and_the_mean_over_another_total_are_correctly_rounded_too(
    contributions: list[tuple[Vector, int]], divisor: int
) -> None:
    grid = grid_for(contributions)
    total = summed(contributions, grid)
    assume(divisor != total.weight or len(contributions) > 1)
    for result, by in ((total.mean(divisor), divisor), (total.sum(), 1)):
        if by == total.weight and len(contributions) == 1:
            continue  # a single contribution is not rounded to the grid at all
        expected = [
            nearest_float32(Fraction(q) * Fraction(2) ** exponent_at(grid, i) / by)
            for i, q in enumerate(units_of(contributions, grid))
        ]
        assert result.tolist() == expected


@given(rounds(min_size=2), st.randoms(use_true_random=False), st.data())
def test_neither_order_nor_grouping_changes_a_bit(
    contributions: list[tuple[Vector, int]], random: Random, data: st.DataObject
) -> None:
    grid = grid_for(contributions)
    flat = summed(contributions, grid)
    shuffled = list(contributions)
    random.shuffle(shuffled)
    groups = data.draw(
        st.lists(st.integers(0, 2), min_size=len(shuffled), max_size=len(shuffled)), "groups"
    )
    tree = ExactSum(NET, grid)
    for group in range(3):
        edge = summed([c for c, g in zip(shuffled, groups, strict=True) if g == group], grid)
        tree += edge
    assert tree.mean().tobytes() == flat.mean().tobytes()
    assert (tree.weight, tree.count, tree.rounded) == (flat.weight, flat.count, flat.rounded)
    assert np.array_equal(tree.units(), flat.units())


@given(rounds(), weights)
def test_a_single_contribution_comes_back_with_the_same_bits(
    contributions: list[tuple[Vector, int]], weight: int
) -> None:
    vector, _ = contributions[0]
    grid = Grid.of(vector, NET, weight)  # floor 1.0: small values are far below the grid
    total = ExactSum(NET, grid)
    total.add(vector, weight)
    assert total.mean().tobytes() == vector.tobytes()
    up = ExactSum(NET, grid)
    up += total
    assert up.mean().tobytes() == vector.tobytes()


@given(rounds(), st.integers(2, 5))
def test_a_duplicate_client_is_the_same_as_twice_its_examples(
    contributions: list[tuple[Vector, int]], times: int
) -> None:
    (vector, weight), *others = contributions
    model = np.max([np.abs(v) for v, _ in contributions], axis=0)
    grid = Grid.of(model, NET, sum(w for _, w in contributions) + weight * (times - 1) + 1)
    zero = (NET.zeros(), 1)  # more than one contribution on both sides
    often = summed([zero, *others, *[(vector, weight)] * times], grid)
    once = summed([zero, *others, (vector, weight * times)], grid)
    assert often.mean().tobytes() == once.mean().tobytes()


@given(
    st.integers(-(1 << 63) + 1, (1 << 63) - 1), st.integers(1, MAX_TOTAL), st.integers(-149, 104)
)
@example((1 << 63) - 1, 1, 0)
@example((1 << 24) + 1, 1, 0)  # halfway between two float32
@example((1 << 25) + 2, 2, 0)  # the same after a division
@example((1 << 25) + 3, 2, 0)  # just above halfway, only the remainder says so
@example(1, MAX_TOTAL, -149)
@example(3, 2, -149)  # halfway between two subnormals
@example(-1, 3, 0)
@example((1 << 62) + (1 << 38), 1, 60)
def test_every_quotient_is_correctly_rounded(total: int, divisor: int, exponent: int) -> None:
    out = np.empty(3, dtype=np.float32)
    with np.errstate(all="ignore"):
        Quotient(3).write(np.array([total, 0, -total]), divisor, exponent, out)
    expected = nearest_float32(Fraction(total) * Fraction(2) ** exponent / divisor)
    assert out.tolist() == [expected, 0.0, -expected]


@given(st.integers(1 << 23, (1 << 24) - 1), st.integers(1, MAX_TOTAL), st.integers(-149, 80))
def test_ties_between_two_floats_go_to_the_even_one(
    mantissa: int, divisor: int, exponent: int
) -> None:
    tie = (2 * mantissa + 1) * divisor  # exactly mantissa + 1/2 units of 2 after the division
    assume(tie + 1 < 1 << 63)
    out = np.empty(3, dtype=np.float32)
    with np.errstate(all="ignore"):
        Quotient(3).write(np.array([tie - 1, tie, tie + 1]), divisor, exponent, out)
    for value, result in zip((tie - 1, tie, tie + 1), out.tolist(), strict=True):
        assert result == nearest_float32(Fraction(value) * Fraction(2) ** exponent / divisor)


@given(
    st.lists(
        st.lists(
            st.builds(lambda m, e: m >> e, st.integers(-(1 << 62), 1 << 62), st.integers(0, 62)),
            min_size=5,
            max_size=5,
        ),
        min_size=2,
        max_size=4,
    ),
    st.integers(1, MAX_TOTAL),
    st.sampled_from([-149, -148, -140, -41, 0, 60]),
)
def test_blocks_of_any_magnitude_in_a_row_are_divided_alike(
    blocks: list[list[int]], divisor: int, exponent: int
) -> None:
    quotient = Quotient(5)  # it remembers whether the last block had to be shifted
    out = np.empty(5, dtype=np.float32)
    for block in blocks:
        with np.errstate(all="ignore"):
            quotient.write(np.array(block), divisor, exponent, out)
        assert out.tolist() == [
            nearest_float32(Fraction(value) * Fraction(2) ** exponent / divisor) for value in block
        ]


def test_a_block_of_zeros_and_tiny_sums_is_divided_alike() -> None:
    out = np.empty(1000, dtype=np.float32)
    sums = np.zeros(1000, dtype=np.int64)
    sums[::7] = np.arange(-70, 73)
    Quotient(1000).write(sums, 3, -20, out)
    assert out.tolist() == [nearest_float32(Fraction(int(s), 3 << 20)) for s in sums]


def test_many_blocks_and_parts_of_odd_sizes_are_folded_alike() -> None:
    sizes = {"a": 1, "b": BLOCK - 1, "c": 2 * BLOCK + 7, "d": 0, "e": BLOCK}
    layout = Layout.of({name: np.zeros(size, np.float32) for name, size in sizes.items()})
    rng = np.random.default_rng(0)
    vectors = [rng.standard_normal(layout.size, dtype=np.float32) for _ in range(4)]
    counts = [3, 1, 250, 17]
    grid = Grid.of(vectors[0], layout, 1 << 20)  # coarse enough to round some values of a block
    total = ExactSum(layout, grid)
    for vector, weight in zip(vectors, counts, strict=True):
        total.add(vector, weight)
    unit = 2.0 ** np.repeat(
        np.array(grid.exponents, dtype=np.float64), [part.size for part in layout]
    )
    units = sum(
        weight * np.rint(vector / unit).astype(np.int64)
        for vector, weight in zip(vectors, counts, strict=True)
    )
    assert np.array_equal(total.units(), units)
    close = np.average(vectors, axis=0, weights=counts)
    assert np.allclose(total.mean(), close, rtol=1e-6, atol=1e-9)
    off = [int(np.count_nonzero(np.rint(vector / unit) != vector / unit)) for vector in vectors]
    assert total.rounded == sum(off)
    assert min(off) > 0


def many_small_parts() -> tuple[Layout, Grid, list[Vector]]:
    """Eight thousand values in parts of up to a thousand, each of a magnitude of its own."""
    rng = np.random.default_rng(3)
    sizes = [int(size) for size in rng.integers(0, 1000, 16)]
    layout = Layout.of({f"p{k}": np.zeros(size, np.float32) for k, size in enumerate(sizes)})
    scales = np.repeat(2.0 ** rng.integers(-60, 60, len(sizes)), sizes)
    vectors = [(rng.standard_normal(layout.size) * scales).astype(np.float32) for _ in range(3)]
    for vector in vectors:
        vector[rng.integers(0, layout.size, 400)] *= np.float32(2.0**-44)
    grid = Grid.of(np.max(np.abs(vectors), axis=0), layout, 1 << 20, 2.0**-149)
    return layout, grid, vectors


def test_small_parts_that_are_worked_through_together_keep_grids_of_their_own() -> None:
    layout, grid, vectors = many_small_parts()
    assert layout.size > 4096
    total = ExactSum(layout, grid)
    for weight, vector in enumerate(vectors, 1):
        total.add(vector, weight)
    rounded = 0
    for index, part in enumerate(layout):
        alone = ExactSum(
            Layout.of({"alone": np.zeros(part.size, np.float32)}),
            Grid((grid.exponents[index],), grid.total),
        )
        for weight, vector in enumerate(vectors, 1):
            rounded += alone.add(vector[part.slice].copy(), weight)
        assert np.array_equal(total.units()[part.slice], alone.units())
        assert total.mean()[part.slice].tobytes() == alone.mean().tobytes()
    assert total.rounded == rounded > 0


def test_what_is_wrong_with_one_of_them_is_said_of_the_first_and_undone() -> None:
    layout, grid, vectors = many_small_parts()
    total = ExactSum(layout, grid)
    for vector in vectors:
        total.add(vector)
    before = total.units().tobytes(), total.rounded
    first, second = [part for part in layout if part.size > 10][4:6]
    wrong = vectors[0].copy()
    wrong[second.offset + 1] = math.nan
    with pytest.raises(NonFinite, match=f"part '{second.name}' holds nan at element 1"):
        total.add(wrong)
    limit = grid.limit(layout.parts.index(first))
    wrong[first.offset + 2] = np.nextafter(limit, np.float32(math.inf))
    with pytest.raises(Overflow, match=f"part '{first.name}' holds"):
        total.add(wrong)
    assert (total.units().tobytes(), total.rounded) == before
    wrong[first.offset + 2] = limit
    wrong[second.offset + 1] = 0.0
    total.add(wrong)


def test_a_signalling_nan_is_refused_as_any_other() -> None:
    # Of these the processor tells by a flag, of which numpy may make a warning.
    total = ExactSum(NET, Grid.of(NET.zeros(), NET, 10))
    vector = NET.zeros()
    vector.view(np.uint32)[3] = 0x7F800001
    for _ in range(2):
        with pytest.raises(NonFinite):
            total.add(vector)
        total.add(NET.zeros())


def test_a_grid_of_another_layout_is_refused_and_the_sum_stays() -> None:
    total = ExactSum(NET, Grid.of(NET.zeros(), NET, 10))
    total.add(NET.zeros())
    state = repr(total)
    with pytest.raises(LayoutError):
        total.restart(Grid((0,), 10))
    assert repr(total) == state
    total.add(NET.zeros())


@pytest.mark.parametrize("before", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (math.nan, NonFinite),
        (math.inf, NonFinite),
        (-math.inf, NonFinite),
        (1e30, Overflow),
        (-1e30, Overflow),
    ],
)
def test_a_refused_vector_leaves_the_sum_as_it_was(
    before: int, bad: float, error: type[Exception]
) -> None:
    layout = Layout.of({"a": np.zeros(BLOCK + 5, np.float32), "z": np.zeros(3, np.float32)})
    rng = np.random.default_rng(before)
    grid = Grid.of(layout.zeros(), layout, 100)
    total = ExactSum(layout, grid)
    for weight in range(1, before + 1):
        total.add(rng.standard_normal(layout.size, dtype=np.float32), weight)
    state = repr(total), total.mean().tobytes() if before else b""
    wrong = rng.standard_normal(layout.size, dtype=np.float32)
    wrong[-2] = bad  # in the last segment, after all others were folded
    with pytest.raises(error, match="part 'z'"):
        total.add(wrong, 7)
    assert (repr(total), total.mean().tobytes() if before else b"") == state
    good = rng.standard_normal(layout.size, dtype=np.float32)
    total.add(good, 7)
    if before == 0:
        assert total.mean().tobytes() == good.tobytes()


def test_a_non_finite_value_is_named_with_its_part_and_element() -> None:
    total = ExactSum(NET, Grid.of(NET.zeros(), NET, 10))
    vector = NET.zeros()
    vector[7] = math.nan
    with pytest.raises(NonFinite, match="part 'b' holds nan at element 1"):
        total.add(vector)


@given(st.integers(1, MAX_TOTAL), st.floats(2.0**-120, 2.0**100, width=32))
def test_the_largest_value_that_is_let_in_never_overflows_int64(total: int, top: float) -> None:
    layout = Layout.of({"x": np.zeros(1, np.float32)})
    grid = Grid.of(np.array([top], np.float32), layout, total)
    limit = grid.limit(0)
    assert float(limit) >= 8 * top  # the headroom, less one bit of rounding to a power of two
    units = round(Fraction(float(limit)) / Fraction(2) ** grid.exponents[0])
    assert units <= grid.units
    assert units * total < 1 << 63
    exact = ExactSum(layout, grid)
    exact.add(np.array([limit]), total)
    assert exact.units().tolist() == [units * total]
    above = np.nextafter(limit, np.float32(math.inf))
    if np.isfinite(above):
        with pytest.raises(Overflow):
            ExactSum(layout, grid).add(np.array([above]))


@given(st.floats(2.0**-149, 2.0**120, width=32), st.integers(1, 1 << 20))
def test_the_grid_is_finer_than_float32_for_values_of_the_model(top: float, total: int) -> None:
    layout = Layout.of({"x": np.zeros(1, np.float32)})
    grid = Grid.of(np.array([top], np.float32), layout, total, floor=2.0**-149)
    assert grid.exponents[0] == MIN_EXPONENT or 2.0 ** grid.exponents[0] <= top * 2.0**-37


def test_weights_beyond_the_roster_are_refused() -> None:
    total = ExactSum(NET, Grid.of(NET.zeros(), NET, 10))
    total.add(NET.zeros(), 8)
    with pytest.raises(Overweight, match=r"8 \+ 3 exceed the total of 10"):
        total.add(NET.zeros(), 3)
    total.add(NET.zeros(), 2)
    assert total.weight == 10


@pytest.mark.parametrize("weight", [0, -1, 1.0, True, "1"])
def test_a_weight_is_a_whole_number_above_zero(weight: object) -> None:
    total = ExactSum(NET, Grid.of(NET.zeros(), NET, 10))
    with pytest.raises(ValueError, match="whole number >= 1"):
        total.add(NET.zeros(), weight)  # type: ignore[arg-type]  # the wrong type is the point


def test_what_falls_below_the_grid_is_counted() -> None:
    grid = Grid.of(NET.zeros(), NET, 1 << 20)
    unit = 2.0 ** grid.exponents[0]
    vector = NET.zeros()
    vector[:5] = [unit, unit / 2, -unit / 4, 1.0, unit * 1.5]
    total = ExactSum(NET, grid)
    assert total.add(vector, 1) == 3
    assert total.add(NET.zeros(), 1) == 0
    assert total.rounded == 3
    assert total.units()[:5].tolist() == [1, 0, 0, round(1 / unit), 2]


@given(
    st.one_of(
        st.lists(st.integers(-(1 << 24), 1 << 24), min_size=8, max_size=8),
        st.lists(st.integers(1 << 23, 1 << 24), min_size=8, max_size=8),  # just off or just on
    ),
    st.integers(-3, 3),
)
def test_exactly_the_values_that_are_not_on_the_grid_are_counted(
    mantissas: list[int], offset: int
) -> None:
    grid = Grid.of(NET.zeros(), NET, 1 << 20)
    unit = Fraction(2) ** grid.exponents[0]
    vector = np.array(mantissas, np.float32) * np.float32(float(unit * Fraction(2) ** offset))
    off = sum((Fraction(float(value)) / unit).denominator != 1 for value in vector)
    total = ExactSum(NET, grid)
    assert [total.add(vector) for _ in range(3)] == [off] * 3


def test_a_forged_partial_sum_is_refused() -> None:
    total = ExactSum(NET, Grid.of(NET.zeros(), NET, 1 << 20))
    huge = np.full(NET.size, 1 << 62)
    with pytest.raises(Overweight, match="larger than"):
        total.add_units(huge, 3, 2)
    with pytest.raises(ValueError, match="no sum"):
        total.add_units(np.zeros(NET.size, np.int64), 3, 4)
    with pytest.raises(LayoutError):
        total.add_units(np.zeros(NET.size - 1, np.int64), 3, 2)
    assert total.count == 0


def test_sums_on_different_grids_are_not_merged() -> None:
    a = ExactSum(NET, Grid.of(NET.zeros(), NET, 10))
    with pytest.raises(ValueError, match="different grids"):
        a += ExactSum(NET, Grid.of(NET.zeros(), NET, 11))


def test_the_same_memory_serves_the_next_clock() -> None:
    one, two = np.full(NET.size, 0.1, np.float32), np.full(NET.size, 0.3, np.float32)
    total = ExactSum(NET, Grid.of(NET.zeros(), NET, 10))
    for vector in (one, two, one):
        total.add(vector)
    memory = total._units.ctypes.data
    grid = Grid.of(one, NET, 4)
    total.restart(grid)
    assert repr(total) == "<ExactSum size=8 count=0 weight=0/4 rounded=0>"
    with pytest.raises(ValueError, match="nothing was added"):
        total.mean()
    total.add_units(summed([(one, 1), (two, 1)], grid).units(), 2, 2)
    assert total._units.ctypes.data == memory
    assert total.mean().tobytes() == summed([(two, 1), (one, 1)], grid).mean().tobytes()


def test_an_exact_sum_reads_as_an_array_of_its_sum() -> None:
    total = summed([(np.full(NET.size, -2.0, np.float32), 3)], Grid.of(NET.zeros(), NET, 3))
    assert np.sign(total).tolist() == [-1.0] * NET.size
    assert np.asarray(total).dtype == np.float32
    assert np.asarray(total).tolist() == [-6.0] * NET.size


def test_a_vector_is_copied_when_it_is_added() -> None:
    vector = np.ones(NET.size, np.float32)
    total = ExactSum(NET, Grid.of(NET.zeros(), NET, 3))
    total.add(vector)
    vector[:] = 5
    assert total.mean().tolist() == [1.0] * NET.size


def test_a_wider_grid_takes_what_overflowed_until_a_worker_counts_as_diverged() -> None:
    grid: Grid | None = Grid.of(NET.zeros(), NET, 1000)
    vector = np.full(NET.size, 1e4, np.float32)
    assert grid is not None
    with pytest.raises(Overflow, match=r"holds 1e\+04, more than the .* that fit"):
        ExactSum(NET, grid).add(vector)
    wider = grid.wider()
    assert wider is not None
    ExactSum(NET, wider).add(vector)
    for _ in range(MAX_WIDENINGS):
        assert grid is not None
        grid = grid.wider()
    assert grid is not None
    assert grid.widened == MAX_WIDENINGS
    assert grid.wider() is None


@given(st.lists(float32s, min_size=NET.size, max_size=NET.size), st.integers(1, MAX_TOTAL))
def test_a_grid_is_a_pure_function_and_survives_messagepack(values: list[float], n: int) -> None:
    model = np.array(values, dtype=np.float32)
    grid = Grid.of(model, NET, n)
    assert grid == Grid.of(model.copy(), NET, n)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(grid), type=Grid) == grid


def test_a_grid_refuses_what_it_cannot_serve() -> None:
    with pytest.raises(ValueError, match="total weight"):
        Grid.of(NET.zeros(), NET, 0)
    with pytest.raises(ValueError, match="total weight"):
        Grid.of(NET.zeros(), NET, MAX_TOTAL + 1)
    with pytest.raises(ValueError, match="floor"):
        Grid.of(NET.zeros(), NET, 1, floor=0.0)
    with pytest.raises(ValueError, match="'b' of the model is not finite"):
        Grid.of(np.array([0, 0, 0, 0, 0, 0, 0, np.nan], np.float32), NET, 1)
    with pytest.raises(LayoutError):
        ExactSum(NET, Grid((0,), 1))
    for forged in ([[-150], 1, 0], [[0], 0, 0], [[0], 1, 9], [[105], 1, 0]):
        with pytest.raises(msgspec.ValidationError):
            msgspec.msgpack.decode(msgspec.msgpack.encode(forged), type=Grid)
