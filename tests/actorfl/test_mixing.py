"""Mixing: what is kept, how fast models become alike, and on which graphs it is refused."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorfl import (
    DPSGD,
    BestConstant,
    CompleteGraph,
    EdgeListGraph,
    ErdosRenyiGraph,
    ExponentialGraph,
    FreshRegularGraph,
    Metropolis,
    Mixing,
    OnePeerExponentialGraph,
    PathGraph,
    Peers,
    RegularGraph,
    RingGraph,
    Run,
    ScaleFreeGraph,
    ScheduleGraph,
    StarGraph,
    TorusGraph,
    Uniform,
    Vehicles,
    spectrum,
)
from actorfl.errors import ConfigError, Misfit, WrongValue
from actorfl.mixing import MIXINGS
from actorfl.spectrum import MixingMatrix, Slem, measured, slem
from benchmarks.reproduce.topology_table import KINDS, REFERENCES

MIXED: list[tuple[Peers, Mixing]] = [
    (RingGraph(8), Metropolis()), (StarGraph(9), Metropolis()), (PathGraph(2), Metropolis()),
    (ErdosRenyiGraph(20, p=0.3, seed=1), Metropolis()), (ScaleFreeGraph(20), Metropolis()),
    (Vehicles(20), Metropolis()), (FreshRegularGraph(10, degree=3), Metropolis()),
    (ScheduleGraph(edges=((("a", "b"),), (("b", "c"), ("a", "c")))), Metropolis()),
    (RingGraph(8), Uniform()), (CompleteGraph(8), Uniform()), (ExponentialGraph(12), Uniform()),
    (OnePeerExponentialGraph(12), Uniform()), (FreshRegularGraph(10, degree=3), Uniform()),
    (RingGraph(8), BestConstant()), (StarGraph(9), BestConstant()),
    (ErdosRenyiGraph(20, p=0.3, seed=1), BestConstant()),
]  # fmt: skip


def both(value: object) -> str:
    return type(value).__name__


def slow(topology: Peers, mixing: Mixing) -> float:
    return slem(topology, mixing).value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nodes", REFERENCES)
def test_the_eigenvalues_are_those_of_the_table_to_their_digits(kind: str, nodes: int) -> None:
    expected, rounds = REFERENCES[nodes][list(KINDS).index(kind)]
    graph = KINDS[kind](nodes)
    found = slem(graph, Metropolis() if graph.symmetric else Uniform())
    assert round(found.value, 6) == expected
    assert found.exact
    assert found.rounds(1e6) == rounds


@pytest.mark.parametrize("nodes", [3, 4, 5, 8, 31])
def test_a_ring_mixes_as_its_closed_form_says(nodes: int) -> None:
    closed = max(abs(1 / 3 + 2 / 3 * math.cos(2 * math.pi * k / nodes)) for k in range(1, nodes))
    for mixing in (Metropolis(), Uniform()):
        assert slow(RingGraph(nodes), mixing) == pytest.approx(closed, abs=1e-14)
    assert closed == pytest.approx(
        1 / 3 + 2 / 3 * math.cos(2 * math.pi / nodes) if nodes > 4 else closed
    )


@pytest.mark.parametrize(("graph", "mixing"), MIXED, ids=both)
def test_rows_and_columns_add_up_to_one_and_the_mean_stays(graph: Peers, mixing: Mixing) -> None:
    mixing.check(graph)
    values = np.random.default_rng(1).standard_normal(len(graph.names))
    mean = values.mean()
    for number in range(50):
        matrix = MixingMatrix(graph, mixing, number)
        whole = matrix.dense()
        assert whole.sum(axis=1) == pytest.approx(1, abs=1e-13)
        assert whole.sum(axis=0) == pytest.approx(1, abs=1e-9)
        if graph.symmetric:
            assert (whole == whole.T).all()
        assert matrix @ values == pytest.approx(whole @ values, abs=1e-14)
        assert matrix.transposed(values) == pytest.approx(whole.T @ values, abs=1e-14)
        values = matrix @ values
    assert values.mean() == pytest.approx(
        mean, abs=1e-14 if type(mixing) is not BestConstant else 1e-9
    )


@pytest.mark.parametrize(("graph", "mixing"), MIXED, ids=both)
def test_a_node_has_a_weight_for_itself_and_each_that_it_hears(
    graph: Peers, mixing: Mixing
) -> None:
    for name in graph.names:
        for number in (0, 3):
            sources = graph.sources(name, number)
            assert list(mixing.weights(graph, name, number)) == [name, *sources]


@settings(max_examples=30)
@given(
    nodes=st.integers(4, 24), p=st.floats(0.3, 1), seed=st.integers(0, 99),
    mixing=st.sampled_from([Metropolis(), BestConstant()]),
)  # fmt: skip
def test_deviations_shrink_by_the_eigenvalue_in_each_round_at_least(
    nodes: int, p: float, seed: int, mixing: Mixing
) -> None:
    graph = ErdosRenyiGraph(nodes, p=p, seed=seed)
    matrix, rate = MixingMatrix(graph, mixing), slow(graph, mixing)
    assert 0 <= rate < 1
    values = np.random.default_rng(seed).standard_normal(nodes)
    mean = values.mean()
    first = np.linalg.norm(values - mean)
    for number in range(1, 40):
        values = matrix @ values
        assert np.linalg.norm(values - mean) <= rate**number * first + 1e-9


@pytest.mark.parametrize("nodes", [2, 4, 16, 64])
def test_one_peer_a_round_gives_the_exact_mean_after_the_logarithm_of_n(nodes: int) -> None:
    graph = OnePeerExponentialGraph(nodes)
    values = np.random.default_rng(0).standard_normal(nodes)
    mean, power = values.mean(), nodes.bit_length() - 1
    for number in range(power):
        assert np.abs(values - mean).max() > 1e-3
        values = MixingMatrix(graph, Uniform(), number) @ values
    assert np.abs(values - mean).max() < 1e-15
    assert measured(graph, Uniform(), most=50) == power


def test_a_node_weighs_by_degrees_of_its_neighbours_alone() -> None:
    class Looking(RingGraph):
        def sources(self, name: str, round: int) -> tuple[str, ...]:  # noqa: A002
            asked.add(name)
            return super().sources(name, round)

    asked: set[str] = set()
    Metropolis().weights(Looking(9), "w4", 0)
    assert asked == {"w3", "w4", "w5"}


@pytest.mark.parametrize("number", [0, 3])
def test_the_degree_of_a_node_is_asked_for_once_and_not_by_each_neighbour(number: int) -> None:
    class Counting(CompleteGraph):
        def sources(self, name: str, round: int) -> tuple[str, ...]:  # noqa: A002
            asked.append(name)
            return super().sources(name, round)

    asked: list[str] = []
    graph = Counting(40)
    whole = MixingMatrix(graph, Metropolis(), number).dense()
    assert len(asked) <= 2 * 40  # for its own row, and for those of all others
    MixingMatrix(graph, Metropolis(), number + 1)
    assert len(asked) <= 3 * 40
    assert (whole == MixingMatrix(CompleteGraph(40), Metropolis()).dense()).all()


def test_degrees_are_those_of_the_round_and_of_the_topology_itself() -> None:
    class Listed(Peers):
        def __init__(self, middle: str) -> None:
            self.near: dict[str, tuple[str, ...]] = dict.fromkeys(self.names, (middle,))
            self.near[middle] = tuple(name for name in self.names if name != middle)

        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Listed)

        @property
        def names(self) -> tuple[str, ...]:
            return ("a", "b", "c")

        def neighbours(self, name: str) -> tuple[str, ...]:
            return self.near[name]

    for middle in ("a", "b"):
        assert Metropolis().weights(Listed(middle), middle, 0)["c"] == 1 / 3
    assert Metropolis().weights(Listed("b"), "a", 0) == {"a": 1 - 1 / 3, "b": 1 / 3}
    later = ScheduleGraph(edges=((("a", "b"),), (("b", "c"), ("a", "b"))))
    assert [Metropolis().weights(later, "a", number)["b"] for number in (0, 1, 2)] == [
        1 / 2, 1 / 3, 1 / 2,
    ]  # fmt: skip


@pytest.mark.parametrize("graph", [StarGraph(9), ScaleFreeGraph(30), PathGraph(12), TorusGraph(12)])
def test_no_other_constant_weight_is_better_than_the_best(graph: Peers) -> None:
    best = slow(graph, BestConstant())
    weight = BestConstant().weights(graph, graph.names[1], 0)[graph.neighbours(graph.names[1])[0]]
    for other in (0.9 * weight, 1.1 * weight):
        rest = np.eye(len(graph.names)) - other * spectrum.laplacian(graph) - 1 / len(graph.names)
        assert np.abs(np.linalg.eigvalsh(rest)).max() > best


@pytest.mark.parametrize(
    ("graph", "mixing"),
    [
        (RegularGraph(3000, degree=6), Metropolis()),
        (ScaleFreeGraph(2500, links=4), Metropolis()),
        (ExponentialGraph(4096), Uniform()),
    ],
    ids=both,
)
def test_of_large_graphs_the_same_eigenvalue_is_found_step_by_step(
    graph: Peers, mixing: Mixing
) -> None:
    found = slem(graph, mixing)
    assert found.exact
    if isinstance(graph, ExponentialGraph):
        assert found.value == pytest.approx(1 - 2 / 13, abs=1e-9)
        return
    # A vector mixed for long shrinks by the eigenvalue, ever more nearly.
    matrix = MixingMatrix(graph, mixing)
    values = np.random.default_rng(5).standard_normal(len(graph.names))
    rates = []
    for _ in range(300):
        values = values - values.mean()
        before = np.linalg.norm(values)
        values = matrix @ values
        rates.append(float(np.linalg.norm(values) / before))
        values /= np.linalg.norm(values)
    assert max(rates) <= found.value + 1e-4
    assert rates[-1] == pytest.approx(found.value, abs=5e-3)


def test_a_bound_is_no_exact_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectrum, "_STEPS", 40)
    found = slem(RingGraph(4000), Metropolis())
    assert not found.exact
    assert 0.9 < found.value < 1


def test_graphs_that_change_are_measured() -> None:
    fresh = measured(FreshRegularGraph(32, degree=4), Uniform(), most=200)
    assert fresh is not None
    assert 10 < fresh < 40
    never = ScheduleGraph(edges=((("a", "b"), ("c", "d")),))
    assert measured(never, Metropolis(), most=50) is None
    assert Slem(1.0).rounds() is None
    assert Slem(0.0).rounds() == 1


@pytest.mark.parametrize(
    ("mixing", "graph", "sentence"),
    [
        (Metropolis(), ExponentialGraph(8), "Metropolis needs links that go both ways, and those of Exp"),
        (Metropolis(), OnePeerExponentialGraph(8), "use Uniform, where each hears from as many as it"),
        (Uniform(), StarGraph(5), "on StarGraph the Uniform weights that w0 has at itself and those who hear it add up to 2.2, "),
        (Uniform(), Vehicles(20), r"add up to .* in round 0, and not to 1.*use Metropolis, or Stoch"),
        (BestConstant(), ExponentialGraph(8), "the links of ExponentialGraph go one way only"),
        (BestConstant(), FreshRegularGraph(8, degree=2), "links of FreshRegularGraph change by round"),
        (BestConstant(), RingGraph(2049), "of 2048 nodes at most, and RingGraph has 2049; use Metro"),
        (
            BestConstant(), ErdosRenyiGraph(20, p=0.02, connected=False),
            "BestConstant needs a connected graph, and ErdosRenyiGraph is in parts",
        ),
    ],
)  # fmt: skip
def test_a_graph_on_which_the_mean_would_drift_is_refused(
    mixing: Mixing, graph: Peers, sentence: str
) -> None:
    with pytest.raises(Misfit, match=sentence):
        mixing.check(graph)


def test_a_matrix_that_would_fill_the_memory_is_not_written_down() -> None:
    with pytest.raises(ConfigError, match="a whole mixing matrix must be of 2048 nodes at most"):
        MixingMatrix(RingGraph(2049), Metropolis()).dense()


@pytest.mark.parametrize("graph", [Vehicles(10), OnePeerExponentialGraph(8)], ids=str)
def test_a_graph_that_changes_has_no_one_eigenvalue(graph: Peers) -> None:
    with pytest.raises(Misfit, match=r"changes by round, .* actorfl\.spectrum\.measured"):
        slem(graph, Uniform())


@pytest.mark.parametrize("factor", [0.5, 1.0, -1.0, math.inf, math.nan])
def test_rounds_are_those_to_a_finite_factor_above_one(factor: float) -> None:
    with pytest.raises(WrongValue, match="`factor` must be finite and above 1"):
        slem(RingGraph(10), Metropolis()).rounds(factor)


def test_a_graph_in_parts_never_becomes_alike() -> None:
    found = slem(
        EdgeListGraph(4, edges=(("w0", "w1"), ("w2", "w3")), connected=False), Metropolis()
    )
    assert found.value == pytest.approx(1.0)
    assert 0.0 <= found.gap < 1e-12
    assert found.rounds() is None


def test_a_network_of_one_node_takes_all_of_its_own() -> None:
    graph = CompleteGraph(1)
    for mixing in MIXINGS.values():
        mixing.check(graph)
        assert mixing.weights(graph, "w0", 0) == {"w0": 1.0}
        assert slem(graph, mixing).value == pytest.approx(0.0)


def test_all_graphs_of_a_schedule_are_looked_at() -> None:
    pairs, star = (("a", "b"), ("c", "d")), (("a", "b"), ("a", "c"), ("a", "d"))
    Uniform().check(ScheduleGraph(edges=(pairs,) * 40, every=3))
    with pytest.raises(Misfit, match=r"who hear it add up to 1\.75 in round 117, and"):
        Uniform().check(ScheduleGraph(edges=(*((pairs,) * 39), star), every=3))


def test_the_page_says_how_a_mixing_is_given_in_toml_and_in_python(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "mixing.md").read_text()
    (setting,) = re.findall(r"```toml\n(algorithm = .*?)```", page, re.DOTALL)
    assert "`DPSGD(mixing=BestConstant())`" in page
    lines = 'task = "digits"\ntopology = { kind = "ring", nodes = 9 }\nuntil = { rounds = 2 }\n'
    (tmp_path / "run.toml").write_text(lines + setting)
    assert Run.from_toml(tmp_path / "run.toml").algorithm == DPSGD(mixing=BestConstant())
    for word, mixing in MIXINGS.items():
        run = Run.from_toml(tmp_path / "run.toml", [f"algorithm.mixing={word}"])
        assert run.algorithm == DPSGD(mixing=mixing)
        assert f'`"{word}"`' in page or f'"{word}"' in setting
