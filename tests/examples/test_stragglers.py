"""The example of stragglers: its two spellings, its runs, and its figures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actorfl import Run
from actors import code

pytestmark = pytest.mark.timeout(120)
HOME = Path(__file__).parents[2] / "examples" / "stragglers"


def of_the_example(name: str) -> Any:
    return code.load(code.parse(f"stragglers.py:{name}", HOME))


def test_script_and_toml_are_the_same_configuration() -> None:
    assert of_the_example("RUN").hash == Run.from_toml(HOME / "run.toml").hash


def test_a_run_of_each_policy_and_both_figures(tmp_path: Path) -> None:
    command = [sys.executable, str(HOME / "stragglers.py"), "--clocks", "4", "--seeds", "1"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path), "--runs", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(HOME.parents[1])},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {}
    for line in done.stdout.splitlines():
        match = re.fullmatch(r"(\S+) +([\d.]+) s  final accuracy ([\d.]+)", line)
        assert match, line
        found[match[1]] = float(match[2])
    # The same times under each policy: who may wait less ends no later.
    assert list(found) == ["BSP", "SSP(1)", "SSP(3)", "SSP(10)", "ASP"]
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert found["BSP"] > found["ASP"]
    for name in ("time", "staleness"):
        assert "<svg" in (tmp_path / f"{name}.svg").read_text()


def test_a_curve_knows_the_newest_accuracy_at_any_second() -> None:
    curve = of_the_example("Curve")((1.0, 2.0, 4.0), (0.5, 0.75, 1.0))
    assert [curve.at(second) for second in (0.5, 1.0, 3.9, 9.0)] == [0.0, 0.5, 0.75, 1.0]
    assert curve.final == 0.75
