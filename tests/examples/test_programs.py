"""The other examples and the commands of the README, as a person runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def run(cwd: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_hello_says_hello(tmp_path: Path) -> None:
    done = run(tmp_path, str(ROOT / "examples/hello/hello.py"))
    assert (done.returncode, done.stdout) == (0, "hello world\n"), done.stderr


@pytest.mark.timeout(180)
def test_the_demo_kills_twice_and_ends_with_equal_models(tmp_path: Path) -> None:
    demo = str(ROOT / "examples/digits/demo.py")
    done = run(tmp_path, demo, "--rounds", "4", "--processes", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("* SIGKILL to process") == 2
    assert done.stdout.count(" restarted (pid ") == 2
    assert done.stdout.endswith("the same model, bit for bit\n")


@pytest.mark.timeout(180)
def test_the_command_of_the_readme_gives_one_model_in_both_deployments(tmp_path: Path) -> None:
    found = []
    for deploy in ("inline", "processes=4"):
        command = ["-m", "actorfl", "run"]
        file = str(ROOT / "examples/digits/run.toml")
        done = run(
            tmp_path, *command, file, "--deploy", deploy, "--set", "until.rounds=2", "--json"
        )
        assert done.returncode == 0, done.stderr
        (line,) = done.stdout.splitlines()
        found.append(json.loads(line))
    assert set(found[0]) == {"accuracy", "sha256", "rounds", "restarts", "run"}
    assert found[0]["sha256"] == found[1]["sha256"]
    assert [(one["rounds"], one["restarts"]) for one in found] == [(2, 0)] * 2
