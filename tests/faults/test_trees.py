"""Aggregators below an aggregator: whatever the shape and whatever goes wrong, the star's bits."""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import Any

import pytest

import actors
from actorfl import (
    SGD,
    Algorithm,
    Every,
    FedAdam,
    FedNova,
    Result,
    Rounds,
    Scaffold,
    Star,
    Tree,
)
from actorfl.chaos.scenario import scenario_of, shortened
from actorfl.chaos.settings import Chaos
from actorfl.replaying import replay
from actors import AtClock, CrashPoint, Drop, FaultPlan, Inline, Kill, Processes, Simulated
from actors.testing.chaos import explore
from actors.testing.chaos import replay as play
from tests.faults.runs import carry_out, events, learned, rows, small
from tests.faults.tasks import Broken, Odd, Tally
from tests.faults.test_kills import fit, killing, slow
from tests.faults.test_simulated import PATIENT, simulate

pytestmark = pytest.mark.timeout(120)

WORKERS = 5
STAR = Star(WORKERS)
EDGES = Tree(root=1, edge=2, worker=WORKERS)
SHAPES = {
    "flat": Tree(root=1, worker=WORKERS),
    "edges": EDGES,
    "chain": Tree(root=1, one=1, two=1, three=1, worker=WORKERS),
    "deep": Tree(root=1, region=2, edge=3, worker=WORKERS),
    "each": Tree(root=1, edge=WORKERS, worker=WORKERS),
}
ALGORITHMS: dict[str, Algorithm] = {
    "scaffold": Scaffold(), "fednova": FedNova(), "fedadam": FedAdam(),
}  # fmt: skip
SHORT: dict[str, Any] = {"until": Rounds(3), **PATIENT}


def both(
    tmp_path: Path, tree: Tree = EDGES, plan: FaultPlan | None = None, **changed: Any
) -> tuple[Result, Result]:
    """A star, and a tree of the same workers under a plan."""
    star, _ = simulate(small(topology=STAR, **SHORT | changed), Simulated(2), tmp_path)
    on = Simulated(2) if plan is None else Simulated(2, faults=plan)
    other, _ = simulate(small(topology=tree, **SHORT | changed), on, tmp_path)
    return star, other


def drawn(seed: int) -> Tree:
    """Of any shape."""
    draw = random.Random(seed)
    between = sorted(draw.randint(1, WORKERS) for _ in range(draw.randint(1, 4)))
    levels = [(f"level{'abcd'[place]}", count) for place, count in enumerate(between)]
    return Tree([("root", 1), *levels, ("worker", WORKERS)])


def test_a_tree_of_any_shape_has_the_bits_and_the_rows_of_a_star(tmp_path: Path) -> None:
    star, _ = simulate(small(topology=STAR, **SHORT), Simulated(2), tmp_path)
    assert star.accuracy is not None
    for tree in (*SHAPES.values(), *(drawn(seed) for seed in range(3))):
        other, _ = simulate(small(topology=tree, **SHORT), Simulated(2), tmp_path)
        assert (other.sha256, learned(other.directory)) == (star.sha256, learned(star.directory)), (
            tree
        )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_keeps_something_at_workers_or_root_has_the_star_s_bits_in_a_tree(
    algorithm: str, tmp_path: Path
) -> None:
    star, other = both(tmp_path, SHAPES["deep"], algorithm=ALGORITHMS[algorithm])
    assert (other.sha256, learned(other.directory)) == (star.sha256, learned(star.directory))


def test_metrics_of_workers_have_the_star_s_values_with_the_worst_of_them(tmp_path: Path) -> None:
    changed: dict[str, Any] = {
        "validate": 0.3,
        "evaluate": Every(2, at="workers"),
        "algorithm": Tally(),
    }
    for tree in (EDGES, SHAPES["deep"]):
        star, other = both(tmp_path, tree, **changed)
        assert (other.sha256, learned(other.directory)) == (star.sha256, learned(star.directory))
        # Of the second round, and of the final model in a clock that only evaluates.
        told = [row["round"] for row in learned(other.directory) if "accuracy_worst_decile" in row]
        assert told == [2, 3]
        assert dict(other.metrics) == dict(star.metrics)


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("tree", [EDGES, SHAPES["deep"]], ids=["edges", "deep"])
def test_a_worker_that_is_refused_at_an_edge_is_named_in_the_root_s_rows(
    tree: Tree, tmp_path: Path
) -> None:
    star, other = both(tmp_path, tree, algorithm=Broken("nan"))
    assert (other.sha256, learned(other.directory)) == (star.sha256, learned(star.directory))
    assert [row["refused"] for row in learned(other.directory)] == [{"w1": "non-finite"}] * 3
    said = [e["fields"]["sentence"] for e in events(other.directory) if e.get("kind") == "refused"]
    assert len(said) == 3


def test_an_edge_whose_sum_is_refused_is_named_and_the_round_goes_on(tmp_path: Path) -> None:
    run = small(topology=EDGES, algorithm=Odd("w2 w3 w4"), **SHORT)
    result, _ = simulate(run, Simulated(2), tmp_path)
    # Nobody knows whose sums are right: those of who came first hold.
    for row in rows(result.directory):
        assert (row["refused"], row["updates"]) in [({"edge1": "keys"}, 2), ({"edge0": "keys"}, 3)]
    (one, *_) = (e for e in events(result.directory) if e.get("kind") == "refused")
    assert "its terms are" in one["fields"]["sentence"]


def test_an_edge_below_which_everybody_is_refused_puts_nothing(tmp_path: Path) -> None:
    tree = SHAPES["each"]  # w1 is alone
    star, other = both(tmp_path, tree, algorithm=Broken("shape"))
    assert (other.sha256, learned(other.directory)) == (star.sha256, learned(star.directory))
    assert [row["updates"] for row in learned(other.directory)] == [WORKERS - 1] * 3


# -- wider grids -----------------------------------------------------------------------------------

LOST: dict[str, tuple[Any, ...]] = {
    "nothing": (),
    "widen": (Drop(1.0, message="Widen", before=3.0),),
    "half": (Drop(0.5, message="Widen"), Drop(0.5, message="Go"), Drop(0.3, message="Put")),
    "root before": (CrashPoint("actor.message", "sigkill", node="aggregator", message="Widen"),),
    "root after": (CrashPoint("actor.handled", "sigkill", node="aggregator", message="Widen"),),
    "root, widen": (Drop(1.0, message="Widen", before=4.0), Kill("aggregator", at=2.0)),
    "edges": (CrashPoint("edge.merged", "sigkill", node="edge"), Kill("edge", at=1.0)),
    "worker": (CrashPoint("worker.put", "sigkill", AtClock(1), node="p0"),),
}


@pytest.mark.parametrize("lost", LOST)
def test_what_does_not_fit_below_an_edge_widens_the_grid_of_all(
    lost: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = FaultPlan(*LOST[lost], seed=1, until=20.0)
    with caplog.at_level(logging.INFO, logger="actorfl.aggregator"):
        star, other = both(tmp_path, plan=plan, algorithm=Broken("huge"))
    # Each of the two, in its first round and maybe in later ones.
    assert caplog.text.count("clock 0 begins anew on a wider grid") >= 4
    assert other.sha256 == star.sha256
    assert [row["refused"] for row in learned(other.directory)] == [{}] * 3
    assert bool(other.faults) == bool(LOST[lost])


def test_a_part_that_fits_no_grid_is_refused_below_an_edge_as_in_a_star(tmp_path: Path) -> None:
    local = SGD(lr=1e25, batch=1_000, epochs=1)
    star, other = both(tmp_path, SHAPES["deep"], local=local, until=Rounds(1))
    assert (other.sha256, learned(other.directory)) == (star.sha256, learned(star.directory))
    assert set(learned(other.directory)[0]["refused"].values()) == {"overflow"}


# -- what goes wrong -------------------------------------------------------------------------------


async def test_the_death_of_the_edges_and_of_a_worker_below_changes_no_bit(tmp_path: Path) -> None:
    """On real processes; and nobody's death changes none in one process."""
    changed: dict[str, Any] = {"algorithm": Tally(), "until": Rounds(3)}
    star = await carry_out(slow(topology=STAR, **changed), tmp_path, Inline())
    here = await carry_out(slow(topology=EDGES, **changed), tmp_path, Inline())
    disturb, kills = killing("edge", "p0", when=fit(1))
    there = await carry_out(
        slow(topology=EDGES, **changed), tmp_path, Processes(2), disturb=disturb
    )
    assert (here.sha256, there.sha256) == (star.sha256, star.sha256)
    assert (len(kills), here.restarts, there.restarts) == (2, 0, 2)
    assert learned(here.directory) == learned(there.directory) == learned(star.directory)


def test_a_run_that_was_ended_goes_on(tmp_path: Path) -> None:
    whole = small(topology=EDGES, **PATIENT)
    expected, _ = simulate(whole, Simulated(2), tmp_path)
    first, _ = simulate(small(topology=EDGES, **SHORT), Simulated(2), tmp_path)
    again = actors.run(carry_out(whole, tmp_path, Inline(), resume=first.directory))
    assert again.sha256 == expected.sha256
    assert learned(again.directory) == learned(expected.directory)


def test_any_step_of_a_tree_is_replayed_with_its_bits(tmp_path: Path) -> None:
    run = small(topology=EDGES, algorithm=Tally(), record=True, **SHORT)
    result, _ = simulate(run, Simulated(2), tmp_path)
    assert [replay(result.directory, "w4", clock).same for clock in range(3)] == [True] * 3


# -- chaos -----------------------------------------------------------------------------------------


def explored(seeds: int) -> None:
    run, chaos = small(topology=SHAPES["deep"], algorithm=Scaffold()), Chaos(rounds=2)
    report = explore(scenario_of(shortened(run, chaos), chaos), range(seeds))
    assert not report.failed, report.failed[0]
    assert report.seeds == seeds


def test_6_schedules_change_no_bit_of_a_tree_of_three_levels() -> None:
    explored(6)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_200_schedules_change_no_bit_of_a_tree_of_three_levels() -> None:
    explored(200)


def test_each_point_of_an_edge_is_drawn_reached_and_survived() -> None:
    run, chaos = small(topology=SHAPES["deep"]), Chaos(rounds=2)
    scenario = scenario_of(shortened(run, chaos), chaos)
    points = [
        CrashPoint(point, "sigkill", start=start, node=level)
        for level in ("region", "edge")
        for start, point in enumerate(("edge.start", "aggregator.merge", "edge.merged"))
    ]
    for point in points:
        assert point.node in scenario.points[point.point]
    evidence, broken = play(scenario, FaultPlan(*points, seed=1))
    assert (evidence.faults, broken) == ({"crash": len(points)}, {})
