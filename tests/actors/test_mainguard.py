"""A script without a main guard is told so in one sentence, before it starts processes or there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SCRIPT = """\
import asyncio, threading
import actors
from actors import Actor, ActorGraph, Message, Process, Processes

class Name(Message[str]):
    pass

class Named(Actor):
    def name(self, message: Name) -> str:
        return self.ref.path

g = ActorGraph("named")
with g.supervisor("root"):
    g.actor("it", Named, place=Process())

async def main():
    async with g.start(on={on}) as live:
        print(await live["it"].ask(Name(), timeout=30))

"""
THREAD = "t = threading.Thread(target=lambda: asyncio.run(main())); t.start(); t.join()\n"


def run(file: Path, text: str, *, on: str = "Processes(1)") -> subprocess.CompletedProcess[str]:
    file.write_text(SCRIPT.format(on=on) + text)
    return subprocess.run(
        [sys.executable, str(file)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "start",
    [
        "actors.run(main())\n",
        "asyncio.run(main())\n",
        "try:\n    actors.run(main())\nfinally:\n    pass\n",
        "if True:\n    actors.run(main())\n",
        THREAD,
    ],
)
def test_it_is_told_before_any_process_is_started(tmp_path: Path, start: str) -> None:
    file = tmp_path / "script.py"
    done = run(file, start)
    assert done.returncode == 0 if start is THREAD else 1
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "run(main" in text)
    assert done.stderr.splitlines()[-1] == (
        f"actors.errors.CodeTravelError: {file} starts processes in line {line}, and each of them "
        "loads it for Named and would start them again; put that line under "
        '`if __name__ == "__main__":`'
    )
    assert "p0: " not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("start", ["actors.run(main())\n", "asyncio.run(main())\n"])
def test_what_is_not_seen_before_is_told_by_the_first_process_without_a_restart(
    tmp_path: Path, start: str
) -> None:
    file = tmp_path / "script.py"
    done = run(file, 'mine = __name__ == "__main__"\n' + start)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "actors.errors.GaveUp: /root/it failed beyond help: Unguarded: "
        f"{file} cannot be loaded: line 21: "
    )
    assert last.endswith('put the call under `if __name__ == "__main__":`')
    assert "is restarted" not in done.stderr
    assert done.stdout == ""


def test_a_thread_started_while_the_script_is_loaded_starts_no_processes_of_processes(
    tmp_path: Path,
) -> None:
    done = run(tmp_path / "script.py", 'mine = __name__ == "__main__"\n' + THREAD)
    assert done.stdout == "/root/it\n"
    (told,) = [line for line in done.stderr.splitlines() if "was called while" in line]
    assert told.startswith("p0: ")
    assert told.endswith('put the call under `if __name__ == "__main__":`')


@pytest.mark.parametrize(
    "start",
    [
        'if __name__ == "__main__":\n    actors.run(main())\n',
        'if "__main__" == __name__:\n    ' + THREAD,
        'import sys\nif sys.argv and __name__ == "__main__":\n    actors.run(main())\n',
        'mine = __name__ == "__main__"\nif mine:\n    actors.run(main())\n',
    ],
)
def test_a_script_with_a_guard_in_whatever_words_runs(tmp_path: Path, start: str) -> None:
    done = run(tmp_path / "script.py", start)
    assert (done.returncode, done.stdout) == (0, "/root/it\n"), done.stderr


@pytest.mark.parametrize("on", ["actors.Inline()", None])
def test_where_no_process_loads_the_script_none_is_needed(tmp_path: Path, on: str | None) -> None:
    start = "actors.run(main())\n"
    if on is None:
        on = "actors.Simulated(1)"
        start = f"actors.run(main(), on={on})\n"
    done = run(tmp_path / "script.py", start, on=on)
    assert (done.returncode, done.stdout) == (0, "/root/it\n"), done.stderr
