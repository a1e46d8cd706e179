"""The examples of gossip learning, as a person runs them."""

from __future__ import annotations

import os
import re
import runpy
from pathlib import Path

import pytest

from actorfl import Gossip, Hours, RingGraph, Run, SmallWorld
from actorfl.compiling import graph_of
from actorfl.data.spambase import DEBIAN
from tests.examples.test_programs import ROOT, run

GOSSIP = ROOT / "examples/gossip"
SPAMBASE = Path(os.environ.get("SPAMBASE", DEBIAN))


def test_algorithm_1_stands_there_line_by_line_and_learns(tmp_path: Path) -> None:
    code = (GOSSIP / "algorithm1.py").read_text()
    assert len([line for line in code.splitlines() if line.strip()]) < 60
    assert re.findall(r"# (\d):", code) == [str(line) for line in range(1, 9)]
    done = run(tmp_path, str(GOSSIP / "algorithm1.py"), "50")
    assert done.returncode == 0, done.stderr
    before, after = (float(error) for error in re.findall(r"mean error ([\d.]+)", done.stdout))
    assert after < 0.2 < before


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not SPAMBASE.exists(), reason="needs the file of Debian's r-cran-kernlab")
def test_a_small_world_learns_what_spam_is_while_a_tenth_is_away(tmp_path: Path) -> None:
    done = run(tmp_path, str(GOSSIP / "spam.py"), "2")
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    found = re.fullmatch(r"after 2 hours: mean error (0\.\d+), of the worst node (0\.\d+)", last)
    assert found is not None, last
    assert float(found[1]) < 0.12
    assert float(found[2]) < 0.2


def test_the_configuration_is_a_run_of_gossip_in_the_same_small_world() -> None:
    made = Run.from_toml(GOSSIP / "run.toml")
    assert made.topology == SmallWorld(100, k=4, p=0.1, seed=1)
    assert made.algorithm == Gossip()
    task = runpy.run_path(str(GOSSIP / "spam.py"))["Spam"]()
    assert task.features() == made.task.features()  # type: ignore[attr-defined]


async def _nowhere(*_: object) -> None: ...


def test_the_picture_is_that_of_six_nodes_in_a_ring(tmp_path: Path) -> None:
    base = Run.from_toml(GOSSIP / "run.toml")
    six = Run(
        base.task, RingGraph(6), Gossip(), local=base.local, sync=base.sync, until=Hours(1),
        name="gossip", base=GOSSIP,
    )  # fmt: skip
    graph_of(six, "", _nowhere, _nowhere).draw(tmp_path / "gossip.svg")
    assert (GOSSIP / "gossip.svg").read_text() == (tmp_path / "gossip.svg").read_text()
