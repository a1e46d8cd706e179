"""The laws of the algorithms: what each is at its degenerate values, where each converges to."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import MISSING, fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorfl import (
    ASP,
    BSP,
    SGD,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedNova,
    FedProx,
    FedSGD,
    FedYogi,
    Gradients,
    Krum,
    Median,
    MultiKrum,
    NormClipping,
    Scaffold,
    ServerState,
    Star,
    Sum,
    Terms,
    Tree,
    TrimmedMean,
)
from actorfl.algorithm import Algorithm, Ctx
from actorfl.algorithms.fedopt import FedOpt
from actorfl.errors import Misfit, WrongType, WrongValue
from actorfl.grid import Grid
from actorfl.holding import Holder, check_held
from actorfl.layout import Layout, Vector
from actorfl.merging import Refused
from actorfl.registry import SLOTS, resolve
from tests.actorfl.clocks import (
    KINDS,
    NORMED,
    ONE,
    PAIR,
    SOLVING,
    TOGETHER,
    Client,
    after,
    begun,
    clock,
    merged,
    played,
    quadratic,
    spread,
)
from tests.actorfl.configs import run_of


def drifting(*, steps: tuple[int, int] = (10, 10)) -> list[Client]:
    """Two workers of equal weight that pull in different directions; the optimum is .8."""
    return [quadratic(1, 0, steps=steps[0]), quadratic(4, 1, steps=steps[1])]


def bits(algorithm: Algorithm) -> bytes:
    return played(algorithm, spread()).weights.tobytes()


# -- all -------------------------------------------------------------------------------------------


def test_these_are_all_kinds_that_have_an_aggregator() -> None:
    slot = SLOTS["algorithm"]
    reduces = {kind: resolve(slot, kind, "a test", Path()).reduce for kind in slot.kinds}
    central = {kind for kind, reduce in reduces.items() if reduce != "pair"}
    solving = {kind for kind, one in SOLVING.items() if one.reduce != "pair"}
    assert KINDS.keys() | solving == central


def test_the_page_tells_of_each_kind_with_its_fields_and_defaults() -> None:
    page = (Path(__file__).parents[2] / "docs/algorithms.md").read_text()
    known = {**KINDS, **SOLVING}
    neighbours = {
        kind: resolve(SLOTS["algorithm"], kind, "a test", Path())()
        for kind in SLOTS["algorithm"].kinds.keys() - known.keys()
    }
    for kind, algorithm in {**known, **neighbours}.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{kind}` |")]
        needed = ", ".join(f.name for f in fields(algorithm) if f.default is MISSING)
        assert f"`{type(algorithm).__name__}({needed})`" in row
        if kind != "fedyogi":
            defaults = {
                f.name: _told(f.default) for f in fields(algorithm) if f.default is not MISSING
            }
            told = [f"`{needed}`"] if needed else []
            told += [f"`{name}` ({default})" for name, default in defaults.items()]
            assert row.split("|")[3].strip() == ", ".join(told)


def _told(default: object) -> str:
    """A default as the page has it: a part of an algorithm by its kind."""
    if default is None:
        return "none"
    if isinstance(default, int | float):
        return f"{default:g}"
    if isinstance(default, str):
        return default
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(default).__name__).lower()


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_arrival_changes_no_bit_of_the_state(kind: str) -> None:
    algorithm = KINDS[kind]
    seen = set()
    for order in itertools.permutations(range(4)):
        clients = spread()
        state = played(algorithm, clients, 1)
        state = clock(algorithm, state, clients, layout=PAIR, order=order)
        kept = [np.asarray(c.mine[n]).tobytes() for c in clients for n in sorted(c.mine)]
        vectors = [state.vectors[name].tobytes() for name in sorted(state.vectors)]
        seen.add((state.weights.tobytes(), *vectors, *kept))
    assert len(seen) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_no_function_of_an_algorithm_writes_to_what_it_is_given(kind: str) -> None:
    algorithm = KINDS[kind]
    clients = spread()
    state = begun(algorithm, 0.3, -0.2, 1.7)
    for _ in range(3):
        for array in (state.weights, *state.vectors.values()):
            array.flags.writeable = False
        for client in clients:
            for value in client.mine.values():
                np.asarray(value).flags.writeable = False
        state = clock(algorithm, state, clients, layout=PAIR)


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"fedasync"}))
def test_running_statistics_take_the_mean_whatever_moves_the_weights(kind: str) -> None:
    algorithm = KINDS[kind]
    state = algorithm.begin(np.array([0.0, 1.0], np.float32))
    for statistic in (0.25, 0.5, 0.125):
        results = [np.array([-0.1, statistic + by], np.float32) for by in (-0.0625, 0.0625)]
        state = merged(algorithm, state, results, layout=NORMED)
        assert state.weights[1] == statistic


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_can_be_written_in_a_file(kind: str, tmp_path: Path) -> None:
    slot = SLOTS["algorithm"]
    assert resolve(slot, kind, "here", Path()) is type(KINDS[kind])
    sync = BSP() if kind in TOGETHER else ASP()
    two = KINDS[kind].edge_rounds is not None
    of = Tree(root=1, edge=2, worker=8) if two else Star(8)
    local = Gradients(batch=8) if KINDS[kind].gradients else SGD(lr=0.1)
    run = run_of(algorithm=KINDS[kind], sync=sync, local=local, topology=of)
    assert f'kind = "{kind}"' in run.to_toml()
    file = tmp_path / "run.toml"
    file.write_text(run.to_toml())
    assert type(run).from_toml(file).hash == run.hash


# -- degenerate values -----------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [FedProx(mu=0), FedAvgM(beta=0, lr=1), FedSGD()], ids=repr)
def test_what_adds_nothing_is_fedavg_bit_for_bit(algorithm: Algorithm) -> None:
    assert bits(algorithm) == bits(FedAvg())


@pytest.mark.parametrize("algorithm", [FedProx(mu=0.5), FedAvgM(beta=0.5), FedAvgM(0, 0.5)])
def test_what_adds_something_is_not(algorithm: Algorithm) -> None:
    assert bits(algorithm) != bits(FedAvg())


def test_fednova_with_the_same_steps_everywhere_is_fedavg() -> None:
    nova = played(FedNova(), spread()).weights
    np.testing.assert_allclose(nova, played(FedAvg(), spread()).weights, rtol=1e-6, atol=1e-7)


def test_fednova_with_the_same_steps_is_fedavg_under_momentum_too() -> None:
    clients = drifting()
    nova = after(3, FedNova(), clients, momentum=0.9, lr=0.01)
    assert nova == pytest.approx(after(3, FedAvg(), clients, momentum=0.9, lr=0.01), rel=1e-5)


def test_fednova_counts_how_often_momentum_lets_a_gradient_in() -> None:
    def factors(steps: int) -> float:
        velocity = total = 0.0
        for _ in range(steps):
            velocity = 0.5 * velocity + 1.0
            total += velocity
        return total

    clients = [Client(np.ones_like, steps=2), Client(np.zeros_like, steps=10)]
    expected = -0.1 * (factors(2) + factors(10)) / 2 * 0.5  # the mean way, in the mean direction
    assert after(1, FedNova(), clients, momentum=0.5) == pytest.approx(expected, rel=1e-6)


def test_one_gradient_per_example_is_centralised_descent() -> None:
    clients = spread(steps=1)
    start = np.array([0.3, -0.2, 1.7], np.float32)
    state = clock(FedSGD(), ServerState(start), clients, layout=PAIR)
    n = sum(client.examples for client in clients)
    whole = sum(client.examples * client.gradient(start).astype(float) for client in clients) / n
    np.testing.assert_allclose(state.weights, start - 0.1 * whole, rtol=1e-6)


def test_a_huge_tau_makes_the_adaptive_ones_fedavg() -> None:
    """Nothing is adapted then; lr = tau takes the step at full size."""
    for kind in (FedAdagrad, FedAdam, FedYogi):
        algorithm = kind(lr=1e6, beta1=0, tau=1e6)
        np.testing.assert_allclose(
            played(algorithm, spread()).weights, played(FedAvg(), spread()).weights, rtol=2e-6
        )


def test_the_first_clock_of_scaffold_is_fedavg_of_equal_weights() -> None:
    def equal() -> list[Client]:
        return [replace(client, examples=5) for client in spread()]

    state = played(Scaffold(), equal(), 1)
    assert np.array_equal(state.weights, played(FedAvg(), equal(), 1).weights)
    uneven = played(Scaffold(), spread(), 1)
    assert np.array_equal(uneven.weights, state.weights)


# -- equations -------------------------------------------------------------------------------------


def test_fedavgm_gathers_speed() -> None:
    still = [Client(lambda x: np.full_like(x, -1.0), steps=1)]
    state, moves = begun(FedAvgM(beta=0.5, lr=2), 0.0), []
    for _ in range(3):
        new = clock(FedAvgM(beta=0.5, lr=2), state, still)
        moves.append(float(new.weights[0] - state.weights[0]))
        state = new
    assert moves == pytest.approx([0.2, 0.3, 0.35])


@pytest.mark.parametrize(
    ("algorithm", "second"),
    [
        (FedAdagrad(lr=0.5, beta1=0.8, tau=0.01), lambda v, d: v + d * d),
        (FedAdam(lr=0.5, beta1=0.8, tau=0.01, beta2=0.9), lambda v, d: 0.9 * v + 0.1 * d * d),
        (
            FedYogi(lr=0.5, beta1=0.8, tau=0.01, beta2=0.9),
            lambda v, d: v - 0.1 * d * d * math.copysign(1, v - d * d),
        ),
    ],
    ids=["adagrad", "adam", "yogi"],
)
def test_the_adaptive_ones_follow_their_equations(algorithm: FedOpt, second) -> None:  # type: ignore[no-untyped-def]
    state, x, m, v = begun(algorithm, 0.0), 0.0, 0.0, 0.0
    for d in (0.3, 0.2, -0.01, 0.4):
        toward = [Client(lambda x, d=d: np.full_like(x, -d / 0.1), steps=1)]  # type: ignore[misc]
        state = clock(algorithm, state, toward)
        m = 0.8 * m + 0.2 * d
        v = second(v, d)
        x += 0.5 * m / (math.sqrt(v) + 0.01)
        assert state.weights[0] == pytest.approx(x, rel=1e-4)
    assert math.copysign(1, state.weights[0]) == 1.0


@settings(max_examples=30)
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=8))
def test_the_second_moment_of_yogi_is_never_negative(deltas: list[float]) -> None:
    moment = np.zeros(1, np.float32)
    for delta in deltas:
        moment = FedYogi(beta2=0.0).second(moment, np.square(np.array([delta], np.float32)))
        assert moment >= 0


def test_a_larger_mu_keeps_a_worker_nearer() -> None:
    def gone(mu: float) -> float:
        return abs(after(1, FedProx(mu=mu), [quadratic(4, 1)]))

    ways = [gone(mu) for mu in (0, 0.001, 0.01, 0.1, 1, 5)]  # lr * (curvature + mu) <= 1
    assert ways == sorted(ways, reverse=True)
    assert ways[-1] < 0.5 * ways[0]


# -- drift: where each converges to when workers pull in different directions ----------------------


@pytest.mark.parametrize(
    ("algorithm", "fixed"),
    [
        (FedAvg(), 0.604126),
        (FedProx(mu=0), 0.604126),
        (FedProx(mu=0.1), 0.608067),
        (FedProx(mu=1), 0.641669),
        (FedProx(mu=10), 0.758601),
        (Scaffold(), 0.8),
    ],
    ids=repr,
)
def test_where_they_converge_to(algorithm: Algorithm, fixed: float) -> None:
    assert after(100, algorithm, drifting()) == pytest.approx(fixed, abs=1e-6)


def test_scaffold_takes_out_the_drift_round_by_round() -> None:
    clients = drifting()
    assert 0.8 - after(5, Scaffold(), clients) == pytest.approx(6.2e-3, abs=5e-5)
    clients = drifting()
    assert abs(0.8 - after(10, Scaffold(), clients)) == pytest.approx(4.9e-5, abs=1e-6)
    clients = drifting()
    assert after(30, Scaffold(), clients) == pytest.approx(0.8, abs=2e-7)
    # At the optimum each control variate is the gradient of its worker's objective.
    controls = [float(np.asarray(client.mine["control"])[0]) for client in clients]
    assert controls == pytest.approx([0.8, -0.8], abs=1e-5)


@pytest.mark.parametrize(
    ("algorithm", "lr", "fixed"),
    [
        (FedAvg(), 0.1, 0.839521),
        (FedNova(), 0.1, 0.511305),
        (FedAvg(), 0.001, 0.951582),
        (FedNova(), 0.001, 0.797190),
    ],
    ids=repr,
)
def test_unequal_steps_bias_fedavg_and_fednova_takes_that_out_as_lr_goes_to_0(
    algorithm: Algorithm, lr: float, fixed: float
) -> None:
    # Started next to it: with a small lr thousands of rounds would be needed from 0.
    state = begun(algorithm, fixed)
    for _ in range(50):
        state = clock(algorithm, state, drifting(steps=(2, 10)), lr=lr)
    assert float(state.weights[0]) == pytest.approx(fixed, abs=2e-6)
    further = clock(algorithm, begun(algorithm, fixed + 0.01), drifting(steps=(2, 10)), lr=lr)
    assert float(further.weights[0]) < fixed + 0.01


# -- SCAFFOLD's control variates -------------------------------------------------------------------


def test_c_stays_the_mean_of_all_c_i() -> None:
    clients = spread()
    state = begun(Scaffold(), 0.3, -0.2, 1.7)
    for _ in range(30):
        state = clock(Scaffold(), state, clients, layout=PAIR)
        kept = np.mean([np.asarray(client.mine["control"]) for client in clients], axis=0)
        np.testing.assert_allclose(state.vectors["control"], kept, rtol=0, atol=1e-11)
    assert np.abs(kept).max() < 1e-2 < max(np.abs(c.mine["control"]).max() for c in clients)


def test_c_moves_by_the_share_of_those_that_came() -> None:
    state = Scaffold().begin(np.zeros(1, np.float32))
    gone = np.full(1, -1, np.float32)
    closed = merged(Scaffold(), state, [gone], asked=4, steps=2, lr=0.5)
    assert closed.vectors["control"].tolist() == [0.25]
    assert closed.weights.tolist() == [-1.0]
    # Of all workers, also those who were not asked in this clock.
    of_eight = merged(Scaffold(), state, [gone], asked=4, workers=8, steps=2, lr=0.5)
    assert of_eight.vectors["control"].tolist() == [0.125]
    assert of_eight.weights.tolist() == [-1.0]


@pytest.mark.parametrize(("result", "steps"), [(np.nan, 3), (np.inf, 3), (0.0, 0)])
def test_what_cannot_be_sent_leaves_c_i_as_it_was(result: float, steps: int) -> None:
    algorithm = Scaffold()
    state = algorithm.begin(np.zeros(1, np.float32))
    mine = {"control": np.array([0.5])}
    trained = np.array([result], np.float32)
    ctx = Ctx(ONE, "w0", 0, state.weights, trained, algorithm.down(state), mine, 1, steps, 0.1)
    _, left = algorithm.up(ctx, mine)
    assert left is mine


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: FedAvgM(beta=1), "`beta` of FedAvgM must be at least 0 and below 1, got 1"),
        (lambda: FedAvgM(lr=0), "`lr` of FedAvgM must be finite and above 0, got 0"),
        (lambda: FedProx(mu=-1), "`mu` of FedProx must be finite and at least 0, got -1"),
        (lambda: FedProx(mu=math.inf), "`mu` of FedProx must be finite and at least 0, got inf"),
        (lambda: FedAdam(beta2=1.5), "`beta2` of FedAdam must be at least 0 and below 1, got 1.5"),
        (lambda: FedAdam(beta1=-0.1), "`beta1` of FedAdam must be at least 0 and below 1"),
        (lambda: FedYogi(tau=0), "`tau` of FedYogi must be finite and above 0, got 0"),
        (lambda: FedYogi(beta2=1), "`beta2` of FedYogi must be at least 0 and below 1, got 1"),
        (lambda: FedAdagrad(lr=math.nan), "`lr` of FedAdagrad must be finite and above 0, got nan"),
        (lambda: TrimmedMean(-1), "`trim` of TrimmedMean must be at least 0, got -1"),
        (lambda: NormClipping(0), "`norm` of NormClipping must be finite and above 0, got 0"),
        (lambda: Krum(-1), "`f` of Krum must be at least 0, got -1"),
        (lambda: MultiKrum(m=0), "`m` of MultiKrum must be at least 1, got 0"),
        (lambda: Scaffold(lr=-1), "`lr` of Scaffold must be finite and above 0, got -1"),
    ],
)
def test_a_number_out_of_range_is_refused(make, sentence: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(WrongValue) as refused:
        make()
    assert sentence in str(refused.value)


def test_what_is_no_number_is_refused_and_what_is_equal_hashes_equal() -> None:
    with pytest.raises(WrongType, match="`mu` of FedProx: expected a number, finite and at least"):
        FedProx(mu="1")  # type: ignore[arg-type]
    with pytest.raises(WrongType, match="`lr` of Scaffold"):
        Scaffold(lr=True)
    one, other = run_of(algorithm=Scaffold(lr=1)), run_of(algorithm=Scaffold(lr=1.0))
    assert one.hash == other.hash


@pytest.mark.parametrize(
    ("algorithm", "local", "sentence"),
    [
        (FedSGD(), SGD(lr=0.1, batch=10), "takes batches of 10 examples and epochs=1; leave out"),
        (FedSGD(), SGD(lr=0.1, epochs=2), "takes batches of all examples and epochs=2; leave out"),
        (FedSGD(), SGD(lr=0.1, steps=3), "takes batches of all examples and steps=3; leave out"),
        (FedSGD(), SGD(lr=0.1, momentum=0.9), r"momentum of `local` \(0.9\) does nothing"),
        (FedProx(mu=21), SGD(lr=0.1), "mu=21.0 diverges under lr=0.1.* a mu of at most 20"),
        (Scaffold(), SGD(lr=0.1, momentum=0.9), "`local` has momentum=0.9; remove `momentum`"),
        (Scaffold(), SGD(lr=0.1, clip=1.0), "`local` has clip=1.0; remove `clip`"),
        (FedAvg(), Gradients(), r"FedAvg takes what .* Gradients takes no step; use local=SGD"),
        (FedSGD(), Gradients(), r"FedSGD takes what .* or ParameterServer, which moves the model"),
        (KINDS["parameter-server"], SGD(lr=0.1), r"takes gradients, .* \(SGD\); use local=Grad"),
    ],
)
def test_a_local_loop_that_its_equations_do_not_hold_for_is_refused(
    algorithm: Algorithm, local: SGD | Gradients, sentence: str
) -> None:
    with pytest.raises(Misfit, match=sentence):
        run_of(algorithm=algorithm, local=local)


def test_trimming_everybody_is_refused() -> None:
    assert run_of(algorithm=TrimmedMean(3), topology=Star(7)).algorithm == TrimmedMean(3)
    with pytest.raises(Misfit, match="needs at least 7 workers, and there are 6; lower `trim`"):
        run_of(algorithm=TrimmedMean(3), topology=Star(6))
    with pytest.raises(WrongType, match="`trim` of TrimmedMean: expected an int, at least 0"):
        TrimmedMean(0.5)  # type: ignore[arg-type]


def test_one_step_over_all_examples_is_taken_however_it_is_written() -> None:
    for local in (SGD(lr=0.1), SGD(lr=0.1, batch="all", epochs=1), SGD(lr=0.1, steps=1)):
        assert run_of(algorithm=FedSGD(), local=local).local == local
    assert run_of(algorithm=FedProx(mu=20), local=SGD(lr=0.1)).algorithm == FedProx(mu=20)


# -- rules that look at all models -----------------------------------------------------------------

models = st.lists(
    st.lists(st.floats(-4, 4, width=32), min_size=2, max_size=2), min_size=3, max_size=7
).map(lambda rows: [np.array(row, np.float32) for row in rows])
TWO = Layout.of({"x": np.zeros(2, np.float32)})


def robust(algorithm: Algorithm, results: list[Vector]) -> Vector:
    state = algorithm.begin(np.zeros(2, np.float32))
    return merged(algorithm, state, results, layout=TWO).weights


@settings(max_examples=30)
@given(models)
def test_the_median_is_that_of_each_coordinate(results: list[Vector]) -> None:
    expected = np.median(np.stack(results).astype(float), axis=0).astype(np.float32)
    assert np.array_equal(robust(Median(), results), expected)
    most = (len(results) - 1) // 2
    assert robust(TrimmedMean(most), results).tobytes() == robust(Median(), results).tobytes()


@settings(max_examples=30)
@given(models)
def test_without_trimming_or_clipping_it_is_the_mean(results: list[Vector]) -> None:
    mean = np.mean(np.stack(results).astype(float), axis=0)
    for algorithm in (TrimmedMean(0), NormClipping(100)):
        np.testing.assert_allclose(robust(algorithm, results), mean, rtol=1e-6, atol=1e-7)


@settings(max_examples=30)
@given(models, st.sampled_from([-2.0, 0.5, 8.0]))
def test_what_shifts_all_models_shifts_the_median(results: list[Vector], by: float) -> None:
    shifted = [np.asarray(model + np.float32(by)) for model in results]
    for algorithm in (Median(), TrimmedMean(1)):
        moved = robust(algorithm, results) + np.float32(by)
        np.testing.assert_allclose(robust(algorithm, shifted), moved, atol=2e-6)


@pytest.mark.parametrize("value", [1e9, -1e9, 3e38])
def test_one_worker_that_sends_anything_moves_them_by_a_bounded_amount(value: float) -> None:
    honest = [np.array([0.25 * i, -0.25 * i], np.float32) for i in range(4)]
    results = [*honest, np.full(2, value, np.float32)]
    for algorithm in (Median(), TrimmedMean(1)):
        low, high = np.min(honest, axis=0), np.max(honest, axis=0)
        assert ((low <= (got := robust(algorithm, results))) & (got <= high)).all()
    clipped = robust(NormClipping(0.5), results)
    without = robust(NormClipping(0.5), [*honest, np.zeros(2, np.float32)])
    assert np.linalg.norm(clipped - without) <= 0.5 / 5 + 1e-6


def test_an_update_is_shortened_to_the_norm() -> None:
    assert robust(NormClipping(2.5), [np.array([3, 4], np.float32)]).tolist() == [1.5, 2.0]
    assert robust(NormClipping(5), [np.array([3, 4], np.float32)]).tolist() == [3.0, 4.0]


def test_signs_of_zero_do_not_depend_on_who_sent_them() -> None:
    signed = itertools.permutations([0.0, -0.0, -0.0])
    found = {
        robust(Median(), [np.full(2, z, np.float32) for z in zeros]).tobytes() for zeros in signed
    }
    assert len(found) == 1


def test_where_few_are_left_as_many_are_trimmed_as_can_be() -> None:
    results = [np.full(2, value, np.float32) for value in (1, 2, 60)]
    assert robust(TrimmedMean(3), results).tolist() == [2.0, 2.0]
    assert robust(TrimmedMean(3), results[:2]).tolist() == [1.5, 1.5]


def test_what_is_not_finite_is_refused_and_the_others_are_kept() -> None:
    good, bad = np.ones(2, np.float32), np.array([0.0, np.nan], np.float32)
    holder = Holder(TWO, Grid.of(good, TWO, 3), 0)
    for worker, vector in (("w1", good), ("w0", good * 2)):
        holder.fold(terms_of(worker, vector))
    with pytest.raises(Refused, match=r"update of w2 was refused .non-finite.*holds nan at elem"):
        holder.fold(terms_of("w2", bad))
    with pytest.raises(Refused, match="overlap"):
        holder.fold(terms_of("w1", good))
    held = holder.merged()
    assert [vector.tolist() for vector in held.models["model"]] == [[2.0, 2.0], [1.0, 1.0]]
    assert [contribution.worker for contribution in held.contributions] == ["w0", "w1"]
    assert holder.partial().whole["model"].array.tolist() == [[2.0, 2.0], [1.0, 1.0]]


def test_the_memory_of_a_clock_is_used_again() -> None:
    vector = np.ones(2, np.float32)
    holder = Holder(TWO, Grid.of(vector, TWO, 3), 0)
    holder.fold(terms_of("w0", vector))
    (first,) = holder.merged().models["model"]
    holder.restart(holder.grid, 1)
    assert holder.merged().models == {}
    holder.fold(terms_of("w0", vector * 3, clock=1))
    (second,) = holder.merged().models["model"]
    assert second is first
    assert second.tolist() == [3.0, 3.0]


def terms_of(worker: str, vector: Vector, *, clock: int = 0) -> Terms:
    terms = Terms(model=Sum(vector))
    return terms.stated(worker=worker, clock=clock, examples=1, layout=TWO)


def test_more_models_than_an_aggregator_may_hold_are_refused_with_a_sentence() -> None:
    large = Layout.build([("w", (1 << 20,), "float32", "parameter")])
    check_held("Median", large, 1024)
    with pytest.raises(Misfit, match=r"Median holds the models of all 1025 workers, 4\.0 GiB"):
        check_held("Median", large, 1025)
