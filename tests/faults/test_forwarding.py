"""Rules that look at each model by itself, in a tree: its aggregators forward the models whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actorfl import (
    Algorithm,
    Every,
    GeometricMedian,
    Krum,
    Median,
    MultiKrum,
    TopK,
    Tree,
    TrimmedMean,
    holding,
)
from actorfl.algorithms.normclipping import NormClipping
from actorfl.chaos.scenario import scenario_of, shortened
from actorfl.chaos.settings import Chaos
from actorfl.errors import Misfit
from actors import CrashPoint, FaultPlan, Kill, Processes, Simulated
from actors.testing.chaos import explore
from actors.testing.chaos import replay as play
from tests.faults.runs import carry_out, learned, small
from tests.faults.tasks import Counting, Crooked
from tests.faults.test_kills import fit, killing, slow
from tests.faults.test_simulated import simulate
from tests.faults.test_trees import EDGES, SHAPES, SHORT, STAR, both, drawn

pytestmark = pytest.mark.timeout(120)

RULES: dict[str, Algorithm] = {
    "median": Median(), "trimmed-mean": TrimmedMean(), "norm-clipping": NormClipping(norm=0.1),
    "krum": Krum(), "multi-krum": MultiKrum(m=2), "geometric-median": GeometricMedian(),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_the_bits_and_rows_of_a_star_in_a_tree_of_three_levels(
    rule: str, tmp_path: Path
) -> None:
    star, other = both(tmp_path, SHAPES["deep"], algorithm=RULES[rule], task=Counting())
    assert (other.sha256, learned(other.directory)) == (star.sha256, learned(star.directory))


def test_a_tree_of_any_shape_has_the_bits_of_a_star(tmp_path: Path) -> None:
    changed: dict[str, Any] = {**SHORT, "algorithm": MultiKrum(m=2)}
    star, _ = simulate(small(topology=STAR, **changed), Simulated(2), tmp_path)
    for tree in (*SHAPES.values(), *(drawn(seed) for seed in range(3))):
        other, _ = simulate(small(topology=tree, **changed), Simulated(2), tmp_path)
        assert (other.sha256, learned(other.directory)) == (star.sha256, learned(star.directory)), (
            tree
        )


@pytest.mark.parametrize("how", ["nan", "huge"])
def test_a_liar_below_an_edge_fares_as_in_a_star(how: str, tmp_path: Path) -> None:
    star, other = both(tmp_path, algorithm=Crooked(how=how))
    assert (other.sha256, learned(other.directory)) == (star.sha256, learned(star.directory))
    refused = {"w1": "non-finite"} if how == "nan" else {}  # what is merely wrong, the rule sees
    assert [row["refused"] for row in learned(other.directory)] == [refused] * 3
    warned = [row["warning"] for row in learned(other.directory) if "warning" in row]
    assert len(warned) == (3 if refused else 0)
    assert all("needs 5 updates, and 4 came; it went on with f=0" in each for each in warned)


def test_what_workers_measure_and_what_they_compress_is_the_star_s(tmp_path: Path) -> None:
    changed: dict[str, Any] = {
        "algorithm": Median(), "compress": TopK(0.3), "validate": 0.3,
        "evaluate": Every(1, at="workers"),
    }  # fmt: skip
    star, other = both(tmp_path, SHAPES["deep"], **changed)
    assert (other.sha256, learned(other.directory)) == (star.sha256, learned(star.directory))
    assert dict(other.metrics) == dict(star.metrics)


@pytest.mark.parametrize("tree", [EDGES, SHAPES["deep"]], ids=["edges", "deep"])
def test_no_death_changes_a_bit(tree: Tree, tmp_path: Path) -> None:
    kills = [Kill(level, at=1.0) for level, _ in tree.levels[1:-1]]
    points = [
        CrashPoint(point, "sigkill", start=start, node=level)
        for level, _ in tree.levels[1:-1]
        for start, point in enumerate(("aggregator.merge", "edge.merged"))
    ]
    plan = FaultPlan(
        *points, *kills, Kill("aggregator", at=1.4), Kill("p0", at=0.7), seed=2, until=20.0
    )
    star, other = both(tmp_path, tree, plan, algorithm=Krum())
    assert (other.sha256, learned(other.directory)) == (star.sha256, learned(star.directory))
    assert other.restarts >= len(kills)


@pytest.mark.slow
async def test_the_death_of_the_edges_changes_no_bit_on_processes(tmp_path: Path) -> None:
    star = await carry_out(slow(topology=STAR, algorithm=Krum(), **SHORT), tmp_path)
    disturb, kills = killing("edge", when=fit(1))
    run = slow(topology=EDGES, algorithm=Krum(), **SHORT)
    there = await carry_out(run, tmp_path, Processes(1), disturb=disturb)
    assert (there.sha256, there.restarts, len(kills)) == (star.sha256, 1, 1)
    assert learned(there.directory) == learned(star.directory)


# -- what is refused -------------------------------------------------------------------------------


def test_an_aggregator_counts_the_models_on_their_way_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 4 * 44  # bytes of the model
    changed: dict[str, Any] = {"algorithm": Krum(), **SHORT}
    # The root holds 5 and has 2 times 3 landing; an edge holds 3, and keeps 3 times 3.
    monkeypatch.setattr(holding, "MOST_HELD", 12 * size)
    simulate(small(topology=EDGES, **changed), Simulated(2), tmp_path)
    monkeypatch.setattr(holding, "MOST_HELD", 12 * size - 1)
    with pytest.raises(Misfit, match="models of all 3 workers and 9 on their way"):
        simulate(small(topology=EDGES, **changed), Simulated(2), tmp_path)
    monkeypatch.setattr(holding, "MOST_HELD", 11 * size - 1)
    with pytest.raises(Misfit, match="models of all 5 workers and 6 on their way"):
        simulate(small(topology=EDGES, **changed), Simulated(2), tmp_path)
    monkeypatch.setattr(holding, "MOST_HELD", 5 * size)
    simulate(small(topology=STAR, **changed), Simulated(2), tmp_path)


def test_they_are_not_added_up_where_workers_live() -> None:
    with pytest.raises(Misfit, match="Krum looks at each update by itself; remove one"):
        small(topology=EDGES, algorithm=Krum(), combine=True)


# -- chaos -----------------------------------------------------------------------------------------


def explored(seeds: int) -> None:
    run, chaos = small(topology=SHAPES["deep"], algorithm=Krum()), Chaos(rounds=2)
    report = explore(scenario_of(shortened(run, chaos), chaos), range(seeds))
    assert not report.failed, report.failed[0]
    assert report.seeds == seeds


def test_6_schedules_change_no_bit_of_models_that_are_forwarded() -> None:
    explored(6)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_200_schedules_change_no_bit_of_models_that_are_forwarded() -> None:
    explored(200)


def test_an_edge_dies_with_all_models_in_its_hands_and_each_is_merged_once() -> None:
    run, chaos = small(topology=EDGES, algorithm=Krum()), Chaos(rounds=2)
    scenario = scenario_of(shortened(run, chaos), chaos)
    points = [CrashPoint("edge.merged", "sigkill", start=start, node="edge") for start in range(2)]
    evidence, broken = play(scenario, FaultPlan(*points, seed=1))
    assert (evidence.faults, broken) == ({"crash": len(points)}, {})
