from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import actors
from actors import Actor, ActorGraph, Message, Process, Processes

class Double(Message[int]):
    number: int

class Doubler(Actor):
    def double(self, message: Double) -> int:
        return 2 * message.number

async def main():
    graph = ActorGraph("program")
    with graph.supervisor("root"):
        graph.actor("doubler", Doubler, place=Process())
    async with graph.start(on=Processes(1)) as live:
        print(await live["doubler"].ask(Double(21), timeout=30))

if __name__ == "__main__":
    actors.run(main())
"""


@pytest.mark.parametrize(
    "how", [["package/program.py"], ["-m", "package.program"], ["-m", "package"]]
)
def test_messages_of_a_program_reach_its_processes_however_it_was_started(
    how: list[str], tmp_path: Path
) -> None:
    package = tmp_path / "package"
    package.mkdir()
    for name in ("program.py", "__main__.py"):
        (package / name).write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, *how],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=50,
        check=True,
    )
    assert done.stdout == "42\n"
