"""The example of topologies: its two spellings, its runs, and its figure."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actorfl import Run, TorusGraph
from actors import code

pytestmark = pytest.mark.timeout(240)
HOME = Path(__file__).parents[2] / "examples" / "topologies"


def of_the_example(name: str) -> Any:
    return code.load(code.parse(f"topologies.py:{name}", HOME))


def test_script_and_toml_are_the_same_configuration() -> None:
    run = of_the_example("run_of")(TorusGraph(16), 160)
    assert run.hash == Run.from_toml(HOME / "run.toml").hash


def test_a_run_on_each_graph_and_the_figure(tmp_path: Path) -> None:
    command = [sys.executable, str(HOME / "topologies.py"), "--nodes", "8", "--rounds", "2"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path), "--runs", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(HOME.parents[1])},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [
        re.fullmatch(r" +8 (.+?) +ends with ([\d.]+)  +(not reached|([\d.]+) s +([\d.]+) kB)", line)
        for line in done.stdout.splitlines()
    ]
    found = {line[1]: line for line in lines if line}
    assert list(found) == list(of_the_example("GRAPHS"))
    # In two rounds everybody hears of everything where all are neighbours, and nowhere else.
    ends = {name: float(line[2]) for name, line in found.items()}
    assert max(ends, key=lambda name: ends[name]) == "complete"
    # Two rounds of seven messages with 650 numbers each, whose parts begin at multiples of 64.
    assert float(found["complete"][5]) == pytest.approx(2 * 7 * 2.688, abs=0.05)
    assert "<svg" in (tmp_path / "topologies.svg").read_text()


def test_a_graph_is_as_fast_as_its_first_round_that_is_good_enough() -> None:
    curve = of_the_example("Curve")((2, 4, 6), (1.0, 2.0, 3.0), (0.5, 0.8, 0.9), (6.0, 12.0, 18.0))
    assert curve.reaches(0.7) == (2.0, 12.0)
    assert curve.reaches(0.95) is None
