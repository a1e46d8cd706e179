"""Runs of which some workers compute each round: who it is, under whatever goes wrong."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

import actors
from actorfl import (
    Available,
    Closed,
    Every,
    FedAvg,
    Gradients,
    Median,
    Merged,
    ParameterServer,
    Presence,
    Quorum,
    Rounds,
    Run,
    Sample,
    Scaffold,
    Selection,
    ServerState,
    Supervision,
    Tree,
)
from actorfl.chaos import laws
from actorfl.chaos.scenario import read, scenario_of, shortened
from actorfl.chaos.settings import Chaos
from actorfl.cli import app
from actorfl.errors import ConfigError
from actorfl.exitcodes import ExitCode
from actorfl.rounds import Rounds as Machine
from actorfl.sampling import selected
from actorfl.seeds import seed_for
from actors import Deployment, FaultPlan, Inline, Processes, Simulated, UsageError
from actors.testing.chaos import replay
from actors.testing.chaos.worker import Player
from tests.faults.runs import ROUNDS, carry_out, fits, rows, small, thorough
from tests.faults.tasks import Empty, Tally
from tests.faults.test_chaos import acts
from tests.faults.test_simulated import schedule, simulate

pytestmark = pytest.mark.timeout(300)

#: Of the tasks in these tests.
EXAMPLES = {"w0": 30, "w1": 40, "w2": 50, "w3": 60}


@dataclass(frozen=True)
class Asking(FedAvg):
    """Refuses a clock of which it is told anything but who was selected."""

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        names = selected(Sample(count=2), tuple(EXAMPLES), EXAMPLES, 3, closed.clock)
        told = (closed.expected, closed.arrived, closed.workers)
        if told != (tuple(sorted(names)), tuple(sorted(names)), 4):
            raise ValueError(f"told of {told}")
        return super().close(state, terms, closed)


@dataclass(frozen=True)
class Wild(Selection):
    """From clock 2 on it draws somebody who is not there; seeds of clocks tell them apart."""

    def size(self, workers: int) -> int:
        return 1

    def draw(
        self, roster: Sequence[str], examples: Mapping[str, int], seed: int
    ) -> Collection[str]:
        return [roster[0] if seed in {seed_for(3, "", c, "select") for c in range(2)} else "spam"]


def chosen(run: Run, examples: dict[str, int] | None = None) -> list[list[str]]:
    """Who is to compute each round."""
    assert run.select is not None
    assert isinstance(run.until, Rounds)
    names = run.topology.names
    found = [
        selected(run.select, names, examples or EXAMPLES, run.seed, clock)
        for clock in range(run.until.rounds)
    ]
    return [[name for name in names if name in one] for one in found]


def carried_out(run: Run, out: Path, on: Deployment | None = None) -> Path:
    return actors.run(carry_out(run, out, on), on=on or Inline()).directory


@pytest.mark.parametrize("by", ["uniform", "examples"])
def test_only_who_is_selected_computes_and_each_line_names_them(by: Any, tmp_path: Path) -> None:
    run = small(select=Sample(count=2, by=by))
    directory = carried_out(run, tmp_path, Simulated(2))
    expected = chosen(run)
    assert [row["selected"] for row in rows(directory)] == expected
    assert [row["updates"] for row in rows(directory)] == [2] * len(expected)
    assert [row["examples"] for row in rows(directory)] == [
        sum(EXAMPLES[name] for name in names) for names in expected
    ]
    assert not any("absent" in row for row in rows(directory))
    assert fits(directory) == {
        (name, clock): 1 for clock, names in enumerate(expected) for name in names
    }
    assert len({tuple(names) for names in expected}) > 1


def test_a_run_without_a_selection_says_nothing_of_one_and_one_of_all_has_its_bits(
    tmp_path: Path,
) -> None:
    plain = carried_out(small(), tmp_path, Simulated(2))
    every = carried_out(small(select=Sample(1.0)), tmp_path, Simulated(2))
    assert not any("selected" in row for row in rows(plain))
    assert {len(row["selected"]) for row in rows(every)} == {4}
    model = "model.safetensors"
    assert (plain / model).read_bytes() == (every / model).read_bytes()


@pytest.mark.parametrize(
    "algorithm", [Tally(), Scaffold(), Median()], ids=lambda a: type(a).__name__
)
def test_processes_and_simulated_nodes_select_alike(algorithm: Any, tmp_path: Path) -> None:
    run = small(algorithm=algorithm, select=Sample(0.5), topology=Tree(root=1, worker=4))
    other = small(algorithm=algorithm, select=Sample(0.5))
    found = {
        actors.run(carry_out(each, tmp_path, on), on=on).sha256
        for each, on in ((run, Simulated(2)), (other, Simulated(3)), (other, Inline()))
    }
    assert len(found) == 1


def test_gradients_of_those_who_are_selected_move_the_model(tmp_path: Path) -> None:
    run = small(
        algorithm=ParameterServer(lr=0.5), local=Gradients(batch=8), select=Sample(0.5),
        until=Rounds(12),
    )  # fmt: skip
    lines = rows(carried_out(run, tmp_path, Simulated(2)))
    assert [row["selected"] for row in lines] == chosen(run)
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_real_processes_compute_the_bits_of_the_simulation(tmp_path: Path) -> None:
    run = small(select=Sample(count=2, by="examples"), until=Rounds(3))
    directories = [carried_out(run, tmp_path, on) for on in (Simulated(2), Processes(2))]
    first, second = ([row["selected"] for row in rows(each)] for each in directories)
    assert first == second == chosen(run)
    models = {(each / "model.safetensors").read_bytes() for each in directories}
    assert len(models) == 1


def test_those_without_examples_are_drawn_last(tmp_path: Path) -> None:
    run = small(task=Empty(without=2), select=Sample(count=2, by="examples"), until=Rounds(3))
    directory = carried_out(run, tmp_path, Simulated(2))
    assert [row["selected"] for row in rows(directory)] == [["w2", "w3"]] * 3


def test_who_is_selected_evaluates_in_a_round_and_everybody_the_last_version(
    tmp_path: Path,
) -> None:
    run = small(
        select=Sample(count=1), validate=0.2, evaluate=Every(1, at="workers"), until=Rounds(3)
    )
    directory = carried_out(run, tmp_path, Simulated(2))
    held = {name: round(0.2 * count) for name, count in EXAMPLES.items()}
    examples = {name: count - held[name] for name, count in EXAMPLES.items()}
    expected = chosen(run, examples)
    lines = rows(directory)
    assert [row["selected"] for row in lines] == expected
    # Round r makes version r, which is evaluated by those who compute round r + 1.
    for line, (name,) in zip(lines[:-1], expected[1:], strict=True):
        right = line["accuracy"] * held[name]
        assert right == pytest.approx(round(right))
    assert lines[-1]["accuracy"] * sum(held.values()) == pytest.approx(
        round(lines[-1]["accuracy"] * sum(held.values()))
    )
    assert fits(directory)["w0", 3] == fits(directory)["w3", 3] == 1


def test_an_algorithm_is_told_who_was_selected_and_how_many_there_are(tmp_path: Path) -> None:
    run = small(algorithm=Asking(), select=Sample(count=2))
    assert actors.run(carry_out(run, tmp_path, Simulated(2)), on=Simulated(2)).rounds == ROUNDS


def test_a_selection_of_ones_own_that_draws_a_stranger_ends_the_run_with_a_sentence(
    tmp_path: Path,
) -> None:
    supervision = Supervision(intensity=0)
    with pytest.raises(ConfigError, match="Wild drew spam, who is not in the roster"):
        carried_out(small(select=Wild(), supervision=supervision), tmp_path, Simulated(2))
    (first, *_) = rows(tmp_path / "small-1")
    assert first["selected"] == ["w0"]


def test_a_quorum_waits_for_a_part_of_those_who_are_selected(tmp_path: Path) -> None:
    run = small(select=Sample(count=3), sync=Quorum(0.6), until=Rounds(6))
    late = 0
    for seed in range(3):
        result, _ = simulate(run, schedule(seed), tmp_path / str(seed))
        for line, names in zip(rows(result.directory), chosen(run), strict=True):
            absent = line.get("absent", {})
            assert line["selected"] == names
            assert absent.keys() <= set(names)
            assert line["updates"] == 3 - len(absent) >= 2
            late += len(absent)
    assert late > 0


@pytest.mark.parametrize("seeds", [4, thorough(200)])
def test_no_schedule_of_faults_changes_who_is_selected_or_a_bit(seeds: int, tmp_path: Path) -> None:
    of = (
        Sample(count=2, by="examples"),
        Available(count=2, when=(Presence("w[12]", share=0.4), Presence("w3", 1.0, 2, 0, 1))),
    )
    for seed in range(seeds):
        run = small(algorithm=Tally(), select=of[seed % 2], supervision=Supervision(intensity=100))
        whole, _ = simulate(run, Simulated(2), tmp_path / f"whole{seed}")
        result, _ = simulate(run, schedule(seed), tmp_path / str(seed))
        assert result.sha256 == whole.sha256, f"seed {seed}"
        assert [row["selected"] for row in rows(result.directory)] == chosen(run)


# -- chaos -----------------------------------------------------------------------------------------


def test_the_law_of_parts_knows_who_was_selected_for_each_clock() -> None:
    selection = (frozenset("a"), frozenset("b"))
    fine = acts("o0 ma0 c0a s0 o1 mb1 c1b s1")
    assert laws.each_part_is_merged_once(fine, "ab", 2, selection) is None
    assert laws.each_part_is_merged_at_most_once(fine, "ab", 2, 1, selection) is None
    wrong = acts("o0 mb0 c0b s0 o1 mb1 c1b s1")
    for told in (
        laws.each_part_is_merged_once(wrong, "ab", 2, selection),
        laws.each_part_is_merged_at_most_once(wrong, "ab", 2, 1, selection),
        laws.each_part_is_merged_once(acts("o0 ma0 mb0 c0ab s0"), "ab", 1, selection),
    ):
        assert told is not None
        assert told.startswith("clock 0 was closed with")


CHAOS = Chaos(rounds=3)


def test_a_clock_of_others_than_those_who_are_drawn_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = small(select=Sample(count=2))
    scenario = scenario_of(shortened(run, CHAOS), CHAOS)
    assert replay(scenario, FaultPlan(seed=1))[1] == {}
    opened = Machine.open

    def the_first(self: Machine, clock: int, *, everybody: bool = False) -> tuple[str, ...]:
        opened(self, clock, everybody=True)
        self.expected = frozenset(self.roster[:2])
        return self.roster[:2]

    monkeypatch.setattr(Machine, "open", the_first)
    with pytest.raises(UsageError, match=r"clock 1 was closed with w0, w1"):
        replay(scenario, FaultPlan(seed=1))


TOML = f"""
task = {{{{ kind = "{Path(__file__).parent / "tasks.py"}:Blobs" }}}}
topology = {{{{ kind = "star", workers = 4 }}}}
algorithm = "{{algorithm}}"
local = {{{{ kind = "sgd", lr = 0.1, batch = 8, epochs = 1 }}}}
until = {{{{ rounds = 4 }}}}
select = {{{{ kind = "sample", count = 2, by = "examples" }}}}
{{more}}
name = "small"

[chaos]
rounds = 4
"""


@pytest.mark.parametrize("seeds", [2, thorough(200)])
@pytest.mark.parametrize(
    ("algorithm", "more"),
    [("scaffold", ""), ("fedavg", 'sync = { kind = "quorum", fraction = 0.5 }')],
    ids=["bsp", "quorum"],
)
def test_what_must_hold_holds_of_those_who_are_selected(
    algorithm: str, more: str, seeds: int, tmp_path: Path
) -> None:
    file = tmp_path / "run.toml"
    file.write_text(TOML.format(algorithm=algorithm, more=more))
    player = Player(scenario_of(*read(file)))
    for seed in range(seeds):
        played = player.played(seed)
        assert played.broken == {}, f"seed {seed}"


# -- what is told ----------------------------------------------------------------------------------


def test_a_step_of_somebody_who_was_not_selected_is_not_there_to_be_replayed(
    tmp_path: Path,
) -> None:
    run = small(algorithm=Tally(), select=Sample(count=1), record=True)
    directory = carried_out(run, tmp_path, Simulated(2))
    (computed,) = chosen(run)[-1]
    last = str(len(chosen(run)) - 1)
    other = next(name for name in run.topology.names if name != computed)
    words = ["replay", str(directory), "--clock", last, "--json", "--worker"]
    done = CliRunner().invoke(app, [*words, computed])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["same"] is True
    done = CliRunner().invoke(app, [*words, other])
    assert done.exit_code == ExitCode.NOT_RECORDED
    sentence = f"{other} was not selected for it, and computed nothing; {computed} did"
    assert done.stderr.strip().endswith(f"cannot be replayed: {sentence}")
    shown = CliRunner().invoke(app, ["show", str(directory)])
    assert f"selected {computed}" in shown.output


def test_simulated_nodes_that_are_not_selected_only_wait(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(TOML.format(algorithm="fedavg", more=""))
    words = ["simulate", str(file), "--nodes", "12", "--out", str(tmp_path / "runs"), "--json"]
    done = CliRunner().invoke(app, [*words, "--set", "select.by='uniform'"])
    assert done.exit_code == 0, done.stderr
    lines = rows(tmp_path / "runs" / "small-1")
    assert [row["updates"] for row in lines] == [2] * 4
    assert len({name for row in lines for name in row["selected"]}) > 2
    tensors = load_file(tmp_path / "runs" / "small-1" / "model.safetensors")
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())
