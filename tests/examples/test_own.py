"""The examples of algorithms and nodes of one's own: two spellings, their runs, their pictures."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from actorfl import Inline, RingGraph, Run, Tree
from actorfl.compiling import graph_of
from actors import Processes
from tests.examples.test_programs import ENVIRONMENT, ROOT

NODES = ROOT / "examples/own_nodes"
ALGORITHM = ROOT / "examples/own_algorithm"
EHEALTH = ROOT / "examples/ehealth"


def drawn(run: Run, path: Path) -> str:
    async def nobody(*_: object) -> None:
        pass

    graph_of(run, "identity", nobody, nobody).draw(path, Processes(2))
    return path.read_text()


def as_it_is(run: Run) -> Run:
    return run


def in_a_tree(run: Run) -> Run:
    return replace(run, topology=Tree(root=1, edge=4, worker=8))


def test_the_ring_of_the_script_and_of_the_file_are_one_configuration() -> None:
    ring = runpy.run_path(str(NODES / "ring.py"))["Ring"]
    assert Run(
        "digits", RingGraph(8), node=f"{NODES}/ring.py:{ring.__name__}", name="ring"
    ).hash == (Run.from_toml(NODES / "run.toml").hash)


@pytest.mark.timeout(180)
def test_two_rounds_of_the_ring_as_a_person_runs_it_learn_something(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(NODES / "ring.py"), "2"],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()[-1]
    assert said.endswith("of the mean node after 2 rounds")
    assert float(said.split()[1]) > 0.7


@pytest.mark.parametrize("rounds", ["0", "00", "-1", "x", "1.5"])
def test_the_ring_refuses_what_is_no_number_of_rounds(rounds: str) -> None:
    done = subprocess.run(
        [sys.executable, str(NODES / "ring.py"), rounds],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == f"ROUNDS must be a whole number above 0, got {rounds}\n"


def test_the_estimators_learn_digits(tmp_path: Path) -> None:
    run = Run.from_toml(ROOT / "examples/estimators/run.toml", ["until.rounds=2"])
    result = run.start(on=Inline(), out=tmp_path)
    assert result.accuracy is not None
    assert result.accuracy > 0.8


def test_the_vote_has_one_result_in_a_star_and_in_a_tree(tmp_path: Path) -> None:
    run = Run.from_toml(ALGORITHM / "run.toml", ["until.rounds=3"])
    star = run.start(on=Inline(), out=tmp_path)
    assert star.sha256 == in_a_tree(run).start(on=Inline(), out=tmp_path).sha256
    assert star.accuracy is not None
    assert star.accuracy > 0.6


def test_the_algorithm_has_less_than_40_lines() -> None:
    assert len((ALGORITHM / "vote.py").read_text().splitlines()) < 40


@pytest.mark.parametrize(
    ("folder", "picture", "changed"),
    [
        (NODES, "ring.svg", as_it_is),
        (ALGORITHM, "tree.svg", in_a_tree),
        (EHEALTH, "hospitals.svg", as_it_is),
    ],
    ids=["ring", "vote", "hospitals"],
)
def test_the_picture_is_what_the_graph_of_the_run_draws(
    folder: Path, picture: str, changed: Callable[[Run], Run], tmp_path: Path
) -> None:
    run = changed(Run.from_toml(folder / "run.toml"))
    assert drawn(run, tmp_path / "drawn.svg") == (folder / picture).read_text()
