"""Echo-state networks as pure functions: reservoirs, series, moments, limbs, ADMM."""

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from actorfl import ReadoutADMM, ReadoutConsensus, Reservoir
from actorfl.algorithms import readoutadmm
from actorfl.errors import MissingFile, WrongValue
from actorfl.esn import admm, limbs
from actorfl.esn.factors import Factors
from actorfl.esn.form import Form
from actorfl.esn.moments import Moments, Singular, cholesky, nrmse
from actorfl.esn.recorded import ecg, japanese_vowels
from actorfl.esn.reservoir import Floats, segments, washed
from actorfl.esn.series import lorenz, mackey_glass, narma10
from actorfl.esn.task import joined, series
from actorfl.exact import ExactSum
from actorfl.grid import Grid
from actorfl.pairing import PairCtx, PairState

SMALL = Reservoir(units=12, layers=2, density=0.5, bias=0.1, seed=3)


# -- reservoirs ------------------------------------------------------------------------------------


def test_equal_reservoirs_are_the_same_network_in_another_process() -> None:
    program = (
        "import sys; from actorfl import Reservoir\n"
        "r = Reservoir(units=12, layers=2, density=0.5, bias=0.1, seed=3)\n"
        "sys.stdout.buffer.write(b''.join(a.tobytes() for l in r.weights for a in l))"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, timeout=50
    ).stdout
    assert elsewhere == b"".join(array.tobytes() for layer in SMALL.weights for array in layer)


def test_another_seed_draws_another_reservoir() -> None:
    other = Reservoir(units=12, layers=2, density=0.5, bias=0.1, seed=4)
    assert not np.array_equal(other.weights[0].recurrent, SMALL.weights[0].recurrent)


@pytest.mark.parametrize("leak", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("radius", [0.3, 0.9, 0.999])
def test_each_layer_has_the_radius_and_forgets(radius: float, leak: float) -> None:
    made = Reservoir(units=30, radius=radius, leak=leak, density=0.2)
    for layer in made.weights:
        found = np.abs(np.linalg.eigvals(layer.recurrent)).max()
        assert found == pytest.approx(radius, rel=1e-6)
    assert made.leaky_radius < 1


def test_states_follow_the_equation_step_by_step() -> None:
    drive = np.sin(np.arange(5.0))[:, None]
    first, second = np.zeros(12), np.zeros(12)
    a, (one, two) = SMALL.leak, SMALL.weights
    for row, state in zip(drive, SMALL.states(drive), strict=True):
        first = (1 - a) * first + a * np.tanh(one.inputs @ row + one.bias + one.recurrent @ first)
        second = (1 - a) * second + a * np.tanh(
            two.inputs @ first + two.bias + two.recurrent @ second
        )
        np.testing.assert_allclose(state, [*first, *second, 1.0], atol=1e-14)


def test_a_reservoir_forgets_where_it_began() -> None:
    drive = mackey_glass(400)[:, None]
    whole, late = SMALL.states(drive)[200:], SMALL.states(drive[100:])[100:]
    np.testing.assert_allclose(whole, late, atol=1e-6)
    assert np.abs(whole).max() <= 1


def test_so_sparse_a_layer_that_it_has_no_cycle_is_refused() -> None:
    with pytest.raises(WrongValue, match="layer 1 of 3 units has a cycle"):
        _ = Reservoir(units=3, density=1e-9).weights


@pytest.mark.parametrize(
    ("field", "value"),
    [("radius", 1.0), ("leak", 0.0), ("density", 1.5), ("scale", 0.0), ("bias", -1), ("units", 0)],
)
def test_a_reservoir_out_of_range_is_refused(field: str, value: float) -> None:
    with pytest.raises(WrongValue, match=f"`{field}` of Reservoir"):
        Reservoir(**{field: value})  # type: ignore[arg-type]


def test_segments_are_stretches_of_consecutive_steps() -> None:
    steps = np.array([4, 5, 6, 9, 10, 3])
    assert segments(steps) == [slice(0, 3), slice(3, 5), slice(5, 6)]


def test_the_washout_is_of_each_segment_and_each_begins_from_rest() -> None:
    u = np.sin(np.arange(30.0))
    both = joined(series(u[:12], u[:12]), series(u[12:16], u[12:16]), series(u[16:], u[16:]))
    states, rows = washed(SMALL, both[0], both[2], 5)
    assert rows.tolist() == [*range(5, 12), *range(21, 30)]  # the second is no longer than it
    np.testing.assert_array_equal(states[:7], SMALL.states(u[:12, None])[5:])
    np.testing.assert_array_equal(states[7:], SMALL.states(u[16:, None])[5:])


@pytest.mark.parametrize(
    ("inputs", "targets", "sentence"),
    [
        ([], [], r"the inputs of a series are empty, an array of shape \(0,\); give at least one"),
        (np.zeros((0, 3)), np.zeros((0, 1)), r"the inputs of a series are empty.* \(0, 3\)"),
        (np.zeros((4, 0)), np.zeros(4), r"the inputs of a series are empty.* \(4, 0\)"),
        ([1.0], [], "the targets of a series are empty"),
        ([1.0, 2.0], [1.0], r"the targets of a series must be as many as there are inputs \(2\)"),
    ],
)
def test_what_is_no_series_is_refused_by_a_sentence(
    inputs: Any, targets: Any, sentence: str
) -> None:
    with pytest.raises(WrongValue, match=sentence):
        series(np.asarray(inputs), np.asarray(targets))


def test_no_series_at_all_cannot_be_joined() -> None:
    with pytest.raises(WrongValue, match="no series was given to joined; give at least one"):
        joined()


def test_nothing_is_left_of_steps_that_do_not_follow_each_other() -> None:
    states, rows = washed(SMALL, np.zeros((4, 1)), np.array([0, 2, 4, 6]), 1)
    assert (states.shape, rows.size) == ((0, 25), 0)


# -- series ----------------------------------------------------------------------------------------


def test_mackey_glass_stays_at_its_fixed_point() -> None:
    assert np.abs(mackey_glass(50, start=1.0, discard=0) - 1).max() < 1e-14


def test_mackey_glass_obeys_its_equation() -> None:
    x = mackey_glass(3000)
    assert 0.2 < x.min() < 0.5 < 1.2 < x.max() < 1.5
    past, now = x[2:-19], x[19:-2]
    slope = 0.2 * past / (1 + past**10) - 0.1 * now
    # Differences over two steps to each side are good to the fifth derivative's size.
    found = (8 * (x[20:-1] - x[18:-3]) - (x[21:] - x[17:-4])) / 12
    np.testing.assert_allclose(found, slope, atol=2e-3)


def test_narma_obeys_its_equation_and_repeats_with_its_seed() -> None:
    u, y = narma10(300, seed=5)
    for t in range(9, 299):
        wanted = 0.3 * y[t] + 0.05 * y[t] * y[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
        assert y[t + 1] == pytest.approx(wanted, abs=1e-14)
    assert np.array_equal(narma10(300, seed=5)[1], y)
    assert not np.array_equal(narma10(300, seed=6)[1], y)


def test_lorenz_obeys_its_equation() -> None:
    x, y, z = lorenz(500, step=0.002).T
    middle = slice(1, -1)
    for values, slope in ((x, 10 * (y - x)), (y, x * (28 - z) - y), (z, x * y - 8 / 3 * z)):
        found = (values[2:] - values[:-2]) / 0.004
        np.testing.assert_allclose(found, slope[middle], atol=0.05)


@pytest.mark.parametrize("make", [mackey_glass, narma10, lorenz])
def test_a_series_of_no_steps_is_refused(make: object) -> None:
    with pytest.raises(WrongValue, match="at least 1"):
        make(0)  # type: ignore[operator]


def test_where_a_recording_is_missing_the_sentence_says_what_to_get(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ECG", raising=False)
    with pytest.raises(MissingFile, match=r"set `path`, or \$ECG, to the wheel of scipy 1.9.3"):
        ecg()
    wrong = tmp_path / "ecg.dat"
    wrong.write_bytes(b"no such thing")
    with pytest.raises(MissingFile, match=r"has f20ad3365fb9\.\.\.; it should be"):
        ecg(str(wrong))
    with pytest.raises(MissingFile, match="there is no such file; it should be the wheel of aeon"):
        japanese_vowels("TRAIN", str(tmp_path / "aeon.whl"))


# -- moments and limbs -----------------------------------------------------------------------------

VALUES = st.floats(-(2.0**34), 2.0**34, allow_nan=False, allow_subnormal=False)


@settings(max_examples=50)
@given(arrays(np.float64, st.integers(0, 9), elements=VALUES))
def test_a_float64_comes_back_from_its_limbs(values: Floats) -> None:
    written = limbs.to_limbs(values)
    assert np.abs(written).max(initial=0) <= 1
    found = limbs.from_limbs(written)
    np.testing.assert_allclose(found, values, rtol=2.0**-50, atol=2.0**-61)


def test_what_limbs_cannot_hold_is_refused() -> None:
    for value in (2.0**35, -(2.0**35), np.inf, np.nan):
        with pytest.raises(limbs.BeyondLimbs):
            limbs.to_limbs(np.array([1.0, value]))


def matrices(seed: int, nodes: int = 4, rows: int = 30, d: int = 5) -> list[Moments]:
    draw = np.random.default_rng(seed)
    return [
        Moments.of(draw.standard_normal((rows, d)), draw.standard_normal((rows, 2)))
        for _ in range(nodes)
    ]


def exact_sum(form: Form, each: list[Moments], total: int) -> ExactSum:
    grid = Grid.of(np.zeros(form.layout.size, np.float32), form.layout, total)
    found = ExactSum(form.layout, grid)
    for one in each:
        found.add(form.of_moments(one))
    return found


@settings(max_examples=30)
@given(st.permutations(range(4)), st.sampled_from([4, 4000, 2**32]), st.integers(0, 3))
def test_summed_moments_are_those_of_all_data_in_any_order_and_grouping(
    order: list[int], total: int, cut: int
) -> None:
    each, form = matrices(1), Form(5, 2)
    plain = exact_sum(form, each, total)
    assert plain.rounded == 0
    grouped = exact_sum(form, [each[place] for place in order[:cut]], total)
    grouped += exact_sum(form, [each[place] for place in order[cut:]], total)
    found, wanted = form.summed(grouped), Moments.total(each)
    np.testing.assert_array_equal(found.vector(), form.summed(plain).vector())
    np.testing.assert_allclose(found.gram, wanted.gram, rtol=1e-15, atol=1e-14)
    np.testing.assert_allclose(found.cross, wanted.cross, rtol=1e-15, atol=1e-14)


def test_a_single_contribution_is_read_like_a_sum() -> None:
    form, (one, *_) = Form(5, 2), matrices(2)
    found = form.summed(exact_sum(form, [one], 10))
    np.testing.assert_array_equal(found.vector(), form.moments(form.of_moments(one)).vector())


def test_float32_grams_would_spoil_what_float64_ones_keep() -> None:
    """The reason for all of it: states depend on each other, and the penalty is small."""
    u = mackey_glass(700)
    states = Reservoir(units=30, density=0.3).states(u[:600, None])[100:]
    targets = u[110:610, None]
    moments = Moments.of(states, targets)
    form = Form(91, 1)
    kept = form.summed(exact_sum(form, [moments], 1)).solved(1e-6)
    right = nrmse(targets, states @ moments.solved(1e-6))
    assert nrmse(targets, states @ kept) == pytest.approx(right, rel=1e-4)
    narrow = Moments(moments.gram.astype(np.float32), moments.cross.astype(np.float32))
    with pytest.raises((Singular, AssertionError)):
        assert nrmse(targets, states @ narrow.solved(1e-6)) < 10 * right


def test_a_readout_survives_the_model_that_carries_it() -> None:
    form, draw = Form(5, 2), np.random.default_rng(0)
    readout = 1e4 * draw.standard_normal((5, 2))
    np.testing.assert_allclose(form.readout(form.of_readout(readout)), readout, rtol=2.0**-47)


def test_the_readout_of_summed_moments_is_that_of_the_union() -> None:
    draw = np.random.default_rng(7)
    x, y = draw.standard_normal((90, 6)), draw.standard_normal((90, 1))
    each = [Moments.of(x[part], y[part]) for part in (slice(0, 20), slice(20, 80), slice(80, 90))]
    direct = np.linalg.solve(x.T @ x + 0.1 * np.eye(6), x.T @ y)
    np.testing.assert_allclose(Moments.total(each).solved(0.1), direct, rtol=1e-12)


def test_too_small_a_penalty_is_refused_with_advice() -> None:
    states = np.ones((10, 3))
    with pytest.raises(Singular, match="take a greater penalty, fewer units"):
        Moments.of(states, np.ones((10, 1))).solved(1e-30)


# -- consensus and ADMM ----------------------------------------------------------------------------


def ring(nodes: int) -> Floats:
    """Metropolis-Hastings weights of a ring: a third for each neighbour and for oneself."""
    unit = np.eye(nodes)
    return (unit + np.roll(unit, 1, axis=0) + np.roll(unit, -1, axis=0)) / 3


def problem() -> tuple[list[Moments], Floats]:
    """Eight nodes with 40 rows of 20 values each, and the readout of all with penalty 1."""
    draw = np.random.default_rng(0)
    x, w = draw.standard_normal((8, 40, 20)), draw.standard_normal(20)
    y = x @ w + 0.1 * draw.standard_normal((8, 40))
    each = [Moments.of(states, targets[:, None]) for states, targets in zip(x, y, strict=True)]
    return each, Moments.total(each).solved(1.0)


@pytest.mark.parametrize(("rho", "iterations"), [(1, 1535), (10, 166), (40, 55), (100, 91)])
def test_admm_takes_as_many_iterations_as_its_rho_says(rho: float, iterations: int) -> None:
    each, wanted = problem()
    solvers = [admm.Solver(one, rho) for one in each]
    state, taken, error = admm.State.begin(solvers), 0, 1.0
    while error >= 1e-10:
        state, taken = admm.iterate(solvers, state, 1.0, admm.exact_mean), taken + 1
        error = float(np.linalg.norm(state.agreed[0] - wanted) / np.linalg.norm(wanted))
    assert taken == iterations


@pytest.mark.parametrize(
    ("rounds", "floor"), [(5, 2.7e-3), (20, 1.0e-4), (40, 1.4e-6), (80, 2.3e-10)]
)
def test_inner_rounds_of_averaging_leave_a_floor(rounds: int, floor: float) -> None:
    each, wanted = problem()
    solvers = [admm.Solver(one, 40.0) for one in each]
    mean, state = admm.consensus_mean(ring(8), rounds), admm.State.begin(solvers)
    errors = []
    for _ in range(400):
        state = admm.iterate(solvers, state, 1.0, mean)
        worst = np.linalg.norm(state.agreed - wanted, axis=(1, 2)).max()
        errors.append(float(worst / np.linalg.norm(wanted)))
    assert errors[-1] == pytest.approx(floor, rel=0.05)  # it is known to two digits
    assert errors[-1] == pytest.approx(errors[-100], rel=0.2)  # a floor: it stays there


def test_a_rho_of_nothing_is_refused() -> None:
    with pytest.raises(WrongValue, match="`rho` of ADMM"):
        admm.Solver(problem()[0][0], 0.0)


def context(
    name: str,
    around: tuple[str, ...],
    mixing: dict[str, float],
    form: Form = Form(5, 2),  # noqa: B008  (frozen)
    **changed: int,
) -> PairCtx:
    def draw(purpose: str) -> np.random.Generator:
        raise AssertionError(f"nothing is drawn, and {purpose!r} was")

    of = {"round": 0, "count": 3, **changed}
    return PairCtx(form.layout, name, targets=around, sources=around, mixing=mixing, examples=10,
                   lr=0.1, draw=draw, **of)  # fmt: skip


@pytest.mark.parametrize("share", ["moments", "readout"])
def test_a_round_of_consensus_is_that_of_the_weights(share: Literal["moments", "readout"]) -> None:
    """A path of three: its ends have one neighbour, its middle two."""
    algorithm, form = ReadoutConsensus(penalty=0.3, share=share), Form(5, 2)
    weights = np.array([[2, 1, 0], [1, 1, 1], [0, 1, 2]]) / 3
    names, around = ("a", "b", "c"), (("b",), ("a", "c"), ("b",))
    each = matrices(3, nodes=3)
    ctxs = [
        context(name, others, {o: float(weights[i, names.index(o)]) for o in others})
        for i, (name, others) in enumerate(zip(names, around, strict=True))
    ]
    zeros = np.zeros(form.layout.size, np.float32)
    states = [
        algorithm.trained(ctx, PairState(zeros), zeros, form.of_moments(one))
        for ctx, one in zip(ctxs, each, strict=True)
    ]
    sent = [algorithm.outgoing(ctx, one)[0] for ctx, one in zip(ctxs, states, strict=True)]
    after = [
        algorithm.incoming(
            ctx, state, {other: sent[names.index(other)][ctx.name] for other in ctx.sources}
        )
        for ctx, state in zip(ctxs, states, strict=True)
    ]
    assert [algorithm.trains(number) for number in (0, 1, 2)] == [True, False, False]
    if share == "readout":
        wanted = np.einsum("ij,j...->i...", weights, [one.solved(0.3) for one in each])
    else:
        wanted = np.stack([
            np.linalg.solve(
                sum(w * one.gram for w, one in zip(row, each, strict=True)) + 0.1 * np.eye(5),
                sum(w * one.cross for w, one in zip(row, each, strict=True)),
            )
            for row in weights
        ])  # fmt: skip
    np.testing.assert_allclose(
        [form.readout(one.weights) for one in after], wanted, rtol=1e-11, atol=1e-12
    )
    before = np.mean([state.array("values") for state in states], axis=0)
    np.testing.assert_allclose(
        np.mean([state.array("values") for state in after], axis=0), before, rtol=1e-14, atol=1e-14
    )


def test_the_rounds_of_admm_between_neighbours_are_its_iterations() -> None:
    each, _ = problem()
    form, zeros = Form(20, 1), np.zeros(Form(20, 1).layout.size, np.float32)
    algorithm = ReadoutADMM(penalty=1.0, rho=40.0, inner=5)
    names = [f"w{index}" for index in range(8)]
    around = {name: (names[index - 1], names[(index + 1) % 8]) for index, name in enumerate(names)}

    def of(name: str, number: int) -> PairCtx:
        mixing = dict.fromkeys(around[name], 1 / 3)
        return context(name, around[name], mixing, form, round=number, count=8)

    states = {
        name: algorithm.trained(of(name, 0), PairState(zeros), zeros, form.of_moments(one))
        for name, one in zip(names, each, strict=True)
    }
    # Moments travel to 2^-60 within a model: what is compared begins with the same.
    solvers = [admm.Solver(form.moments(form.of_moments(one)), 40.0) for one in each]
    wanted, mean = admm.State.begin(solvers), admm.consensus_mean(ring(8), 5)
    for iteration in range(4):
        wanted = admm.iterate(solvers, wanted, 1.0, mean)
        before = [states[name].weights.tobytes() for name in names]
        for number in range(5 * iteration, 5 * iteration + 5):
            assert [states[name].weights.tobytes() for name in names] == before
            sent = {}
            for name in names:
                sent[name], states[name] = algorithm.outgoing(of(name, number), states[name])
            for name in names:
                received = {other: sent[other][name] for other in around[name]}
                for content in received.values():
                    algorithm.check_letter(of(name, number), content)
                states[name] = algorithm.incoming(of(name, number), states[name], received)
        for index, name in enumerate(names):
            found = form.readout(states[name].weights)
            np.testing.assert_allclose(found, wanted.agreed[index], rtol=1e-10, atol=1e-12)


def iterated(form: Form, states: list[PairState], iterations: int) -> list[PairState]:
    """The states of nodes in pairs, each with the mean of both."""
    algorithm = ReadoutADMM(penalty=1.0, rho=40.0, inner=1)
    for number in range(iterations):
        ctxs = [
            context(f"w{index}", (f"w{index ^ 1}",), {f"w{index ^ 1}": 0.5}, form, round=number)
            for index in range(len(states))
        ]
        both = [algorithm.outgoing(ctx, one) for ctx, one in zip(ctxs, states, strict=True)]
        states = [
            algorithm.incoming(ctx, both[index][1], {ctx.sources[0]: both[index ^ 1][0][ctx.name]})
            for index, ctx in enumerate(ctxs)
        ]
    return states


def begun(form: Form, each: list[Moments]) -> list[PairState]:
    zeros, algorithm = np.zeros(form.layout.size, np.float32), ReadoutADMM()
    ctx = context("w0", ("w1",), {"w1": 0.5}, form)
    return [algorithm.trained(ctx, PairState(zeros), zeros, form.of_moments(one)) for one in each]


def test_a_node_of_admm_factors_once_and_no_bit_depends_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    factored: list[float] = []

    def counted(gram: Floats, penalty: float) -> Floats:
        factored.append(penalty)
        return cholesky(gram, penalty)

    monkeypatch.setattr(admm, "cholesky", counted)
    form, each = Form(20, 1), problem()[0]
    found = iterated(form, begun(form, each), 5)
    assert factored == [40.0] * len(each)
    monkeypatch.setattr(readoutadmm, "_FACTORS", Factors(0))
    again = iterated(form, begun(form, each), 5)
    assert len(factored) == len(each) + 5 * len(each)
    for one, other in zip(found, again, strict=True):
        assert one.weights.tobytes() == other.weights.tobytes()
        for name, value in one.mine.items():
            assert np.asarray(value).tobytes() == other.array(name).tobytes()


def test_what_is_kept_of_nodes_is_bounded_and_goes_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = Factors(3 * 8 * (20 * 20 + 20))
    monkeypatch.setattr(readoutadmm, "_FACTORS", kept)
    form = Form(20, 1)
    states = iterated(form, begun(form, problem()[0]), 3)
    assert kept.nbytes == 3 * 8 * (20 * 20 + 20)
    del states[:2]
    gc.collect()
    assert kept.nbytes == 8 * (20 * 20 + 20)
    del states[:]
    gc.collect()
    assert kept.nbytes == 0


def test_another_weight_of_agreement_is_factored_by_itself() -> None:
    kept, data, one = Factors(2**20), np.zeros(3), problem()[0][0]
    made = [kept.of(data, rho, lambda rho=rho: admm.Solver(one, rho).factored) for rho in (1, 2)]  # type: ignore[misc]
    assert [factored.rho for factored in made] == [1, 2]
    assert kept.of(data, 1, lambda: made[1]) is made[0]
    assert kept.of(data.copy(), 1, lambda: made[1]) is made[1]


@pytest.mark.parametrize("changed", [{"penalty": 0.0}, {"rho": 0.0}, {"inner": 0}])
def test_what_admm_between_neighbours_cannot_use_is_refused(changed: dict[str, Any]) -> None:
    (name,) = changed
    with pytest.raises(WrongValue, match=f"`{name}` of ReadoutADMM"):
        ReadoutADMM(**changed)
