"""The launcher's own end: SIGKILL and Ctrl-C, as a person meets them at the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.runs import alive, pids, rows

pytestmark = pytest.mark.timeout(180)

ROUNDS = 30
CONFIG = f"""
seed = 3
name = "small"
task = {{ kind = "tests.faults.tasks:Blobs" }}
topology = {{ kind = "star", workers = 4 }}
algorithm = {{ kind = "fedavg" }}
local = {{ kind = "sgd", lr = 0.1, batch = 8, epochs = 20 }}
until = {{ rounds = {ROUNDS} }}
"""
COMMAND = [sys.executable, "-c", "from actorfl.cli import main; main()", "run"]
ROOT = Path(__file__).parents[2]


def launch(cwd: Path, *options: str) -> subprocess.Popen[str]:
    (cwd / "small.toml").write_text(CONFIG)
    return subprocess.Popen(
        [*COMMAND, "small.toml", *options],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(cwd: Path, *options: str) -> dict[str, object]:
    process = launch(cwd, *options, "--json")
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    last: dict[str, object] = json.loads(out)
    return last


def eventually(holds: Callable[[], bool], limit: float, what: str) -> float:
    """Poll until it holds; the seconds that took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < limit, f"{what} did not happen within {limit:g} s"
        time.sleep(0.02)  # a poll of another process's files, under a limit
    return time.monotonic() - began


def rounds_of(directory: Path) -> int:
    try:
        return len(rows(directory))
    except (OSError, ValueError):
        return 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> object:
    return finish(tmp_path_factory.mktemp("undisturbed"))["sha256"]


@pytest.mark.parametrize("after", [0, ROUNDS // 2])
def test_a_killed_launcher_leaves_no_process_and_resume_ends_with_the_same_bits(
    after: int, undisturbed: object, tmp_path: Path
) -> None:
    process = launch(tmp_path, "--deploy", "processes=2")
    directory = tmp_path / "runs" / "small-1"
    if after:
        eventually(lambda: rounds_of(directory) >= after, 60, f"round {after}")
    else:
        eventually(
            lambda: (directory / "events.msgpack").exists() and bool(pids(directory)), 60, "a start"
        )
    process.kill()
    process.communicate()
    started = pids(directory)
    assert started
    eventually(lambda: not any(map(alive, started)), 2.0, "the end of all processes")
    result = finish(tmp_path, "--resume", "--deploy", "processes=2")
    assert result["sha256"] == undisturbed
    assert result["run"] == str(directory)
    assert [row["round"] for row in rows(directory)] == list(range(1, ROUNDS + 1))


@pytest.mark.parametrize("deploy", ["inline", "processes=2"])
def test_ctrl_c_ends_within_five_seconds_with_exit_code_130_and_resume_goes_on(
    deploy: str, undisturbed: object, tmp_path: Path
) -> None:
    process = launch(tmp_path, "--deploy", deploy)
    directory = tmp_path / "runs" / "small-1"
    eventually(lambda: rounds_of(directory) >= 2, 60, "round 2")
    process.send_signal(signal.SIGINT)
    took = eventually(lambda: process.poll() is not None, 5.0, "the end")
    assert took < 5.0
    _, error = process.communicate()
    assert process.returncode == 130
    assert error.strip().count("\n") == 0
    assert not any(map(alive, pids(directory)))
    assert finish(tmp_path, "--resume", "--deploy", deploy)["sha256"] == undisturbed


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    process = launch(tmp_path, "--deploy", "processes=2")
    directory = tmp_path / "runs" / "small-1"
    eventually(lambda: rounds_of(directory) >= 1, 60, "round 1")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    eventually(lambda: process.poll() is not None, 2.0, "the end")
    process.communicate()
    assert process.returncode == 130
    eventually(lambda: not any(map(alive, pids(directory))), 2.0, "the end of all processes")


def test_a_run_that_is_under_way_is_not_resumed_a_second_time(tmp_path: Path) -> None:
    process = launch(tmp_path, "--deploy", "inline")
    directory = tmp_path / "runs" / "small-1"
    eventually(lambda: rounds_of(directory) >= 1, 60, "round 1")
    second = launch(tmp_path, "--resume", str(directory))
    _, error = second.communicate(timeout=60)
    assert second.returncode == 21
    assert f"in use by process {process.pid}" in error
    process.kill()
    process.communicate()
