"""The example of plants: its two spellings, its runs in a small setting, and its figure."""

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
HOME = Path(__file__).parents[2] / "examples" / "industry"


def of_the_example(name: str) -> Any:
    return code.load(code.parse(f"industry.py:{name}", HOME))


def test_script_and_toml_are_the_same_configuration() -> None:
    assert of_the_example("RUN").hash == Run.from_toml(HOME / "run.toml").hash


def test_exact_readouts_come_to_that_of_all_data_and_averaged_ones_do_not(
    tmp_path: Path,
) -> None:
    command = [sys.executable, str(HOME / "industry.py"), "--rounds", "6"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path), "--runs", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(HOME.parents[1])},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "<svg" in (tmp_path / "error.svg").read_text()
    exact, averaged, centre = done.stdout.splitlines()
    found = [
        [float(number) for number in re.findall(r"\b0\.\d{3}\b", line)]
        for line in (exact, averaged, centre)
    ]
    assert found[0] == pytest.approx([found[2][0]] * 2, abs=0.01)
    assert min(found[1]) > 3 * found[2][0]


def test_no_plant_alone_knows_what_it_is_tested_on() -> None:
    task = of_the_example("SoftSensor")()
    tested = task.test()[1]
    for level in of_the_example("LOADS"):
        own = of_the_example("plant")([level] * 300, seed=0)[1]
        assert own.max() - own.min() < 0.9 * (tested.max() - tested.min())
