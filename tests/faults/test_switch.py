"""A rule that switches policies: what it chooses holds from the next version on."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import actors
from actorfl.chaos import laws
from actorfl.errors import Misfit
from actorfl.run import Run
from actorfl.until import Rounds
from actorfl.witness import Act, witnessed_by
from actors import Drop, Duplicate, FaultPlan, Kill, Simulated
from tests.actorfl.switching import Calm, Hasty, Lost, Rounded
from tests.faults.runs import carry_out, rows, small

#: Rounds: strict up to the second, free up to the fourth, then one clock apart.
RUN = small(sync=Calm(first=2, last=4), until=Rounds(7))
FIRST, LAST = 2 * 4, 4 * 4  # in updates, which are versions here


def played(out: Path, on: Simulated, run: Run = RUN) -> list[Act]:
    acts: list[Act] = []
    with witnessed_by(acts.append):
        actors.run(carry_out(run, out, on), on=on)
    return acts


def too_far(acts: list[Act]) -> list[tuple[int, str, int, int]]:
    """Starts further ahead of the slowest than allowed: version, worker, its clock, the slowest."""
    done = dict.fromkeys(RUN.topology.names, 0)
    found = []
    versions = 0
    for act in acts:
        if act.kind == "saved":
            versions = act.clock
        elif act.kind == "ends":
            done[act.worker] = act.clock + 1
        elif act.kind == "restored":
            done[act.worker] = act.clock
        elif act.kind == "starts":
            bound = 0.0 if versions < FIRST else math.inf if versions < LAST else 1.0
            if act.clock - min(done.values()) > bound:
                found.append((versions, act.worker, act.clock, min(done.values())))
    return found


def test_nobody_is_further_ahead_than_what_holds_allows_and_rows_tell_it(tmp_path: Path) -> None:
    acts = played(tmp_path, Simulated(2))
    assert too_far(acts) == []
    (directory,) = tmp_path.iterdir()
    held = [row["policy"] for row in rows(directory)]
    strict, free, near = "BSP(rounds=1)", "ASP()", "SSP(staleness=1)"
    assert held == [strict, free, free, near, near, near, near]


def test_what_holds_is_chosen_again_by_an_aggregator_that_was_restarted(tmp_path: Path) -> None:
    plan = FaultPlan(
        Drop(0.1), Duplicate(0.1), *(Kill("aggregator", at=at) for at in (0.6, 1.4, 2.2)),
        seed=2, until=10.0,
    )  # fmt: skip
    acts = played(tmp_path, Simulated(2, faults=plan))
    assert len({act.by for act in acts}) > 1
    assert too_far(acts) == []
    assert laws.each_clock_follows_the_last(acts, RUN.topology.names) is None


def test_what_cannot_be_switched_to_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Misfit, match=r"Lost\.choose returned Buffered\(k=2\); what can be"):
        actors.run(carry_out(small(sync=Lost()), tmp_path, Simulated(2)), on=Simulated(2))


def test_a_bsp_with_rounds_of_its_own_is_none_of_them(tmp_path: Path) -> None:
    with pytest.raises(Misfit, match=r"Rounded\.choose returned BSP\(rounds=3\); `rounds` is for"):
        actors.run(carry_out(small(sync=Rounded()), tmp_path, Simulated(2)), on=Simulated(2))


def test_a_rule_that_raises_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Misfit, match=r"Hasty\.choose raised KeyError: 'no such' \(at Progress\("):
        actors.run(carry_out(small(sync=Hasty()), tmp_path, Simulated(2)), on=Simulated(2))


def test_a_rule_stands_in_a_configuration_by_its_file(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(RUN.to_toml())
    again = Run.from_toml(file)
    assert (again, again.hash) == (RUN, RUN.hash)
