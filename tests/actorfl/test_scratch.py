"""Directories of plays: none is left by who is killed, and none is taken from who lives."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actorfl.chaos.scratch import scratch, sweep

KILLED = """
import os, pathlib, signal, sys
from actorfl.chaos.scratch import scratch
with scratch(pathlib.Path(sys.argv[1])) as path:
    (path / "run").mkdir()
    (path / "run" / "file").write_text("x")
    print(path, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_has_is_not(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path], capture_output=True, text=True, check=False
    )
    left = Path(done.stdout.strip())
    assert done.returncode == -signal.SIGKILL
    assert (left / "run" / "file").exists()
    with scratch(tmp_path) as mine:
        sweep(tmp_path)
        assert list(tmp_path.iterdir()) == [mine]
    assert list(tmp_path.iterdir()) == []


def test_a_directory_goes_with_its_block_whatever_that_raises(tmp_path: Path) -> None:
    def play() -> None:
        with scratch(tmp_path) as path:
            (path / "file").write_text("x")
            raise KeyError

    with pytest.raises(KeyError):
        play()
    assert list(tmp_path.iterdir()) == []


def test_what_has_such_a_name_and_is_none_stays(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "actorfl-chaos-file").write_text("x")
    (tmp_path / "actorfl-chaos-link").symlink_to(elsewhere)
    sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_one_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock
    swept: list[str] = []

    def late(descriptor: int, how: int) -> None:
        if how == fcntl.LOCK_EX and len(swept) < 2:
            swept.extend(path.name for path in tmp_path.iterdir())
            sweep(tmp_path)
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with scratch(tmp_path) as path:
        assert len(swept) == 2
        assert list(tmp_path.iterdir()) == [path]
        assert path.name not in swept
