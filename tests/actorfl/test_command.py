"""What the command does before a run: Ctrl-C while it is imported, what it says of processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from actorfl import cli
from actors import Inline, Processes


def test_ctrl_c_during_the_imports_is_one_line(tmp_path: Path) -> None:
    # A module that stands in typer's way stands for the moment: the signal comes as it is imported.
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import runpy; "
    script += "runpy.run_module('actorfl', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "actorfl: interrupted\n")


def test_processes_without_a_worker_are_told_of() -> None:
    sentence = "8 processes instead of 9: there are no more workers"
    assert cli.idle(Processes(9), 8) == sentence
    assert cli.idle(Processes(8), 8) == cli.idle(Inline(), 1) == ""
