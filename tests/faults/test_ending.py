"""Runs that end by time or by what they have learned: when, with which model, and after a kill."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import actors
from actorfl import (
    ASP,
    SGD,
    SSP,
    Buffered,
    Every,
    Quorum,
    Rounds,
    Run,
    Seconds,
    Sync,
    Target,
    Until,
)
from actorfl.errors import ConfigError, DifferentConfiguration, Misfit
from actors import CrashPoint, FaultPlan, Inline, Kill, Simulated
from tests.faults.runs import carry_out, rows, small
from tests.faults.tasks import Pooled
from tests.faults.test_simulated import schedule, simulate


def a_second(node: str, _: float | None) -> float:
    return 1.0 if node.startswith("p") else 0.01


def kills() -> Simulated:
    """Workers and the aggregator are killed, the latter also between two checkpoints."""
    merged = CrashPoint(point="aggregator.merged", action="sigkill", at=2, node="aggregator")
    plan = FaultPlan(Kill("p0", 1.5), Kill("p1", 2.6), Kill("aggregator", 3.4), merged, seed=1)
    return Simulated(2, seed=1, compute=a_second, faults=plan)


@pytest.fixture(scope="module")
def accuracies(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """Of the versions of a run of eight rounds."""
    run = small(until=Rounds(8))
    directory = actors.run(carry_out(run, tmp_path_factory.mktemp("long"), Inline())).directory
    return [row["accuracy"] for row in rows(directory)]


@pytest.mark.parametrize("seed", [None, 0, 1, 2, 3])
def test_a_run_to_a_target_ends_with_the_version_that_reached_it_whoever_is_killed(
    accuracies: list[float], seed: int | None, tmp_path: Path
) -> None:
    best = sorted(accuracies)[len(accuracies) // 2]
    rounds = next(n for n, value in enumerate(accuracies, 1) if value >= best)
    assert 1 < rounds < 8
    counted = actors.run(carry_out(small(until=Rounds(rounds)), tmp_path / "rounds", Inline()))
    on = Simulated(2) if seed is None else schedule(seed)
    result, _ = simulate(small(until=Target("accuracy", best)), on, tmp_path)
    assert (result.rounds, result.sha256) == (rounds, counted.sha256)
    assert result.metrics == counted.metrics
    assert [row["round"] for row in rows(result.directory)] == list(range(1, rounds + 1))


def test_a_run_whose_metric_gets_no_better_ends_after_its_patience(tmp_path: Path) -> None:
    fast = {"local": SGD(lr=0.5, batch=8, epochs=1)}
    long = actors.run(carry_out(small(until=Rounds(12), **fast), tmp_path / "long", Inline()))
    accuracies = [row["accuracy"] for row in rows(long.directory)]
    best, since, rounds = 0.0, 0, 0
    while since < 2:
        value = accuracies[rounds]
        best, since, rounds = max(best, value), (0 if value > best else since + 1), rounds + 1
    for where, on in (("calm", Simulated(2)), ("killed", kills())):
        until = Rounds(50) | Target("accuracy", patience=2)
        result, told = simulate(small(until=until, **fast), on, tmp_path / where)
        assert result.rounds == rounds
        assert bool(told.killed) == (where == "killed")


def test_workers_that_evaluate_end_a_run_too(tmp_path: Path) -> None:
    at_workers = {"validate": 0.3, "evaluate": Every(1, at="workers")}
    long = actors.run(carry_out(small(until=Rounds(8), **at_workers), tmp_path / "a", Inline()))
    worst = [row["loss_worst_decile"] for row in rows(long.directory)]
    value = worst[3]
    rounds = next(n for n, each in enumerate(worst, 1) if each <= value)
    until = Target("loss_worst_decile", value)
    result, _ = simulate(small(until=until, **at_workers), kills(), tmp_path / "b")
    counted = small(until=Rounds(rounds), **at_workers)
    expected = actors.run(carry_out(counted, tmp_path / "c", Inline()))
    assert (result.rounds, result.sha256) == (rounds, expected.sha256)


@pytest.mark.parametrize("sync", [SSP(1), ASP(), Buffered(3), Quorum(0.75)])
@pytest.mark.parametrize(
    "until", [Target("accuracy", 0.7), Target("accuracy", patience=3), Seconds(5)]
)
def test_every_policy_ends_by_target_and_by_time(sync: Sync, until: Until, tmp_path: Path) -> None:
    run = small(sync=sync, until=until | Rounds(40))
    on = kills()
    result, _ = simulate(run, on, tmp_path)
    assert 0 < result.rounds < 40
    lines = [row["round"] for row in rows(result.directory)]
    assert lines == sorted(set(lines))
    assert rows(result.directory)[-1]["accuracy"] == result.accuracy


def test_seconds_are_those_of_the_deployment_and_the_round_in_which_they_pass_is_the_last(
    tmp_path: Path,
) -> None:
    result, _ = simulate(small(until=Seconds(5)), Simulated(4, compute=a_second), tmp_path)
    seconds = [row["seconds"] for row in rows(result.directory)]
    # A round takes a second and some messages, and what it takes to keep a model.
    assert sum(seconds[:-1]) < 5 <= sum(seconds) + 0.1
    assert result.rounds == len(seconds) == 5


def test_time_goes_on_where_a_resumed_run_had_stopped(tmp_path: Path) -> None:
    on = Simulated(4, compute=a_second)
    first, _ = simulate(small(until=Seconds(3)), on, tmp_path)
    again = carry_out(small(until=Seconds(6)), tmp_path, on, resume=first.directory)
    more = actors.run(again, on=on)
    whole, _ = simulate(small(until=Seconds(6)), on, tmp_path)
    assert (first.rounds, more.rounds, whole.rounds) == (3, 6, 6)
    assert more.sha256 == whole.sha256


def test_a_run_is_resumed_to_a_harder_target_and_to_no_easier_one(tmp_path: Path) -> None:
    async def resumed(until: Until) -> int:
        again = await carry_out(small(until=until), tmp_path, resume=first.directory)
        return again.rounds

    def at(value: float) -> Until:
        return Rounds(6) | Target("accuracy", value)

    first = actors.run(carry_out(small(until=at(0.6)), tmp_path, Inline()))
    said: list[str] = []

    def hear(row: Mapping[str, Any]) -> None:
        said.append(row.get("event", ""))

    same = carry_out(small(until=at(0.6)), tmp_path, resume=first.directory, on_row=hear)
    assert actors.run(same).sha256 == first.sha256
    assert said[0].endswith("was complete")
    assert first.rounds < actors.run(resumed(at(0.99))) == 6
    with pytest.raises(DifferentConfiguration):
        actors.run(resumed(at(0.5)))


def test_several_ends_are_a_list_in_toml_and_have_one_hash() -> None:
    run = small(until=Rounds(100) | Target("accuracy", 0.9, patience=3))
    read = Run.from_table(tomllib.loads(run.to_toml()), run.base)
    assert read == run
    assert read.hash == run.hash
    assert run.table()["until"] == [
        {"rounds": 100},
        {"kind": "target", "metric": "accuracy", "value": 0.9, "patience": 3},
    ]
    alone = small(until=Rounds(100))
    assert alone.hash != run.hash
    one = Run.from_table({**alone.table(), "until": [{"rounds": 100}]}, run.base)
    assert (one, one.hash) == (alone, alone.hash)


@pytest.mark.parametrize(
    ("until", "sentence"),
    [
        ([], r"`until` of .* must be one end at least, got \[\]"),
        (3, "`until` of .*: expected .*, or the name of an end, such as `{ rounds = 3 }`, got int"),
        (0, "or the name of an end, got int 0"),
        (float("nan"), "or the name of an end, got float nan"),
        (10**9, "or the name of an end, got int 1000000000"),
        pytest.param(10**5000, "or the name of an end, got int", id="huge"),
        ([{"rounds": 3}] * 17, "the number of ends of AnyOf must be from 2 to 16, got 17"),
        ({"kind": "target", "metric": "", "value": 1}, "`metric` of Target must be the name of"),
        ([{"rounds": 3}, {"round": 4}], r"`until\[1\]`"),
        ([{"rounds": 3}, {"seconds": -1}], r"`until\[1\]`.*above 0"),
        ([{"rounds": 3}, [{"hours": 1}, {"minutes": 1}]], r"`until\[1\]`"),
        ({"kind": "target", "metric": "accuracy"}, "as value, as patience or as both"),
    ],
)
def test_ends_that_cannot_be_are_refused_with_their_place(until: Any, sentence: str) -> None:
    table = {**small().table(), "until": until}
    with pytest.raises(ConfigError, match=sentence):
        Run.from_table(table, small().base)


def test_a_target_that_nobody_measures_is_refused_before_or_at_the_first_evaluation(
    tmp_path: Path,
) -> None:
    with pytest.raises(Misfit, match="nothing to measure it on; set `validate`"):
        small(task=Pooled(), until=Target("accuracy", 0.9))
    assert small(task=Pooled(), until=Target("accuracy", 0.9), validate=0.1).validate == 0.1
    with pytest.raises(Misfit, match="what is measured is accuracy, loss; name one of these"):
        actors.run(carry_out(small(until=Target("acuracy", 0.9)), tmp_path, Inline()))
