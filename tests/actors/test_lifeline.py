from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import lifeline
from actors.spawner import PopenSpawner
from tests.actors.launched import LIMIT, ended, running, spec, start_and_await_line, until_gone

pytestmark = pytest.mark.usefixtures("attached_program")


LAUNCHER = """
import asyncio, os, time
from actors.spawner import PopenSpawner, ProcessSpec

async def main():
    spawner = PopenSpawner()
    for name, body in {bodies!r}.items():
        await spawner.spawn(ProcessSpec(
            name=name, module="attached", config=body.encode(),
            on_line=lambda line, name=name: print(name, line),
        ))
    if {forks}:
        if (stranger := os.fork()) == 0:
            time.sleep(60)
            os._exit(0)
        print("stranger", stranger)
    await asyncio.sleep(1000)

asyncio.run(main())
"""

HELPER = "import os, subprocess\nprint(os.getpid(), subprocess.Popen(['sleep', '60']).pid)\n"
# Undoes the kernel's signal on end-of-file, as where there is none.
NO_KERNEL = """
import fcntl
for fd in range(3, 1000):
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_ASYNC)
    except OSError:
        pass
"""
SLEEP = "import time; time.sleep(60)"
HOLD_GIL = "import re; re.match('(a+)+$', 'a' * 60 + 'b')"


async def kill_launcher(
    spawner: PopenSpawner, bodies: dict[str, str], *, forks: bool = False, freeze: bool = False
) -> list[str]:
    """SIGKILL a launcher; returns those of its descendants that are there 2 s later."""
    lines: list[str] = []
    all_there = asyncio.Event()

    def on_line(line: str) -> None:
        lines.append(line)
        if len(lines) == len(bodies) + forks:
            all_there.set()

    body = LAUNCHER.format(bodies=bodies, forks=forks)
    launcher = await spawner.spawn(spec(body, on_line=on_line))
    async with asyncio.timeout(LIMIT):
        await all_there.wait()
    pids = {int(pid): line for line in lines for pid in line.split() if pid.isdigit()}
    assert len(pids) == 2 * len(bodies) + forks
    assert all(running(pid) for pid in pids)
    watched = [pid for pid, line in pids.items() if not line.startswith("stranger")]
    # Not by the spawner: it would kill the group, and with it the stranger.
    if freeze:
        os.kill(launcher.pid, signal.SIGSTOP)
    os.kill(launcher.pid, signal.SIGKILL)
    left = await until_gone(watched, 2.0)
    for pid in pids:
        if running(pid):
            os.kill(pid, signal.SIGKILL)
    return [pids[pid] for pid in left]


async def test_no_descendant_outlives_a_launcher_that_was_killed(spawner: PopenSpawner) -> None:
    bodies = {
        "plain": HELPER + SLEEP,
        "holds-the-GIL": HELPER + HOLD_GIL,
        "only-the-thread": HELPER + NO_KERNEL + SLEEP,
        "ignores-SIGTERM": "import signal; signal.signal(15, signal.SIG_IGN)\n" + HELPER + SLEEP,
        "has-no-output": HELPER + "os.close(1); os.close(2)\n" + SLEEP,
    }
    assert await kill_launcher(spawner, bodies) == []


async def test_a_forked_stranger_with_a_copy_of_the_pipe_keeps_no_child_alive(
    spawner: PopenSpawner,
) -> None:
    assert await kill_launcher(spawner, {"plain": HELPER + SLEEP}, forks=True) == []


@pytest.mark.parametrize("first", ["child", "launcher"])
async def test_no_descendant_that_is_frozen_outlives_a_launcher(
    spawner: PopenSpawner, first: str
) -> None:
    freeze = "os.kill(os.getpid(), 19)\n" if first == "child" else ""
    bodies = {"plain": HELPER + freeze + SLEEP}
    assert await kill_launcher(spawner, bodies, freeze=first == "launcher") == []


async def test_workers_of_a_data_loader_go_with_the_process_that_started_them(
    spawner: PopenSpawner,
) -> None:
    # As torch's DataLoader does, and as it should not: forked.
    body = """
import multiprocessing
work = "import os, time; print(os.getppid(), os.getpid(), flush=True); time.sleep(60)"
multiprocessing.get_context({method!r}).Process(target=exec, args=(work,)).start()
"""
    methods = ("spawn", "fork", "forkserver")
    bodies = {method: body.format(method=method) + SLEEP for method in methods}
    assert await kill_launcher(spawner, bodies) == []
    both = await start_and_await_line(spawner, body.format(method="spawn") + SLEEP)
    (line,) = both.last_lines()
    os.kill(both.pid, signal.SIGKILL)
    await ended(both)
    assert await until_gone([int(pid) for pid in line.split()], 5.0) == []


async def test_no_grandchild_outlives_the_process_above_its_launcher(
    spawner: PopenSpawner,
) -> None:
    inner = LAUNCHER.format(bodies={"plain": HELPER + SLEEP}, forks=False)
    assert await kill_launcher(spawner, {"launcher": inner}) == []


STAGES = """
import os, sys, time
sys.stdout.write("here\\n"); sys.stdout.flush()
{before}
from actors import lifeline
lifeline.attach()
print("went on")
{after}
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [("while os.getppid() == parent: time.sleep(0.01)", ""), ("", "import heavy")],
    ids=["before it is attached", "while it imports"],
)
async def test_no_child_outlives_a_launcher_killed_during_its_start(
    spawner: PopenSpawner, tmp_path: Path, before: str, after: str
) -> None:
    (tmp_path / "heavy.py").write_text(HOLD_GIL)
    text = "import os; parent = os.getppid()" + STAGES.format(before=before, after=after)
    (tmp_path / "attached_late.py").write_text(text)
    body = LAUNCHER.format(bodies={"child": ""}, forks=False)
    body = body.replace('module="attached"', 'module="attached_late"')
    body = body.replace("await spawner.spawn(", "child = await spawner.spawn(")
    body = body.replace("    if False:", "    print('pid', child.pid)\n    if False:")
    lines: list[str] = []
    there = asyncio.Event()
    last = "child here" if before else "child went on"

    def on_line(line: str) -> None:
        lines.append(line)
        if last in lines and any(line.startswith("pid") for line in lines):
            there.set()

    launcher = await spawner.spawn(spec(body, on_line=on_line))
    async with asyncio.timeout(LIMIT):
        await there.wait()
    (pid,) = [int(line.split()[1]) for line in lines if line.startswith("pid")]
    assert running(pid)
    os.kill(launcher.pid, signal.SIGKILL)
    left = await until_gone([pid], 5.0)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process say so")
async def test_when_memory_runs_out_a_child_is_taken_before_its_launcher(
    spawner: PopenSpawner,
) -> None:
    def score(pid: int | str) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    own = score("self")
    body = """
import subprocess
helper = subprocess.Popen(["sleep", "60"])
print(helper.pid)
import time; time.sleep(60)
"""
    child = await start_and_await_line(spawner, body)
    expected = min(1000, own + lifeline.OOM_SCORE_RISE)
    assert score(child.pid) == expected
    assert score(int(child.last_lines()[0])) == expected
    assert score("self") == own


@pytest.fixture
def pipe() -> Iterator[int]:
    """The reading end of a lifeline whose other end this process holds."""
    reading, writing = os.pipe()
    yield reading
    os.close(reading)
    os.close(writing)


async def attach_by(sent: bytes, *inherited: int) -> tuple[int | None, str]:
    """Give a process these bytes as a launcher would; returns its code and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from actors import lifeline; lifeline.attach(); print('went on')",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        pass_fds=inherited,
    )
    output, _ = await process.communicate(sent)
    return process.returncode, output.decode()


async def test_what_a_launcher_sends_lets_a_child_go_on(pipe: int) -> None:
    sent = lifeline.encode(b"config", parent=os.getpid(), pipe=pipe, path=sys.path)
    assert await attach_by(sent, pipe) == (0, "went on\n")


async def test_a_module_started_by_hand_says_so() -> None:
    code, said = await attach_by(b"something that a person typed here\n")
    assert code == 1
    assert "started by a spawner, not by hand" in said


async def test_a_configuration_without_its_lifeline_is_refused(pipe: int, tmp_path: Path) -> None:
    # The descriptor is not there, or is no pipe.
    sent = lifeline.encode(b"", parent=os.getpid(), pipe=pipe, path=[])
    code, said = await attach_by(sent)
    assert (code, "started by a spawner, not by hand" in said) == (1, True)
    with (tmp_path / "file").open("w") as file:
        sent = lifeline.encode(b"", parent=os.getpid(), pipe=file.fileno(), path=[])
        code, said = await attach_by(sent, file.fileno())
    assert (code, "started by a spawner, not by hand" in said) == (1, True)


async def test_a_launcher_that_died_before_the_configuration_leaves_no_child(pipe: int) -> None:
    sent = lifeline.encode(b"config", parent=os.getpid(), pipe=pipe, path=[])
    assert await attach_by(sent[:-1], pipe) == (lifeline.ORPHANED, "")


async def test_a_child_of_another_parent_than_it_was_told_leaves(pipe: int) -> None:
    sent = lifeline.encode(b"", parent=1, pipe=pipe, path=[])
    assert await attach_by(sent, pipe) == (lifeline.ORPHANED, "")


def pipes_of(pid: int | str) -> set[str]:
    links = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            links.add(os.readlink(descriptor))  # noqa: PTH115  (a name, no path)
    return {link for link in links if link.startswith("pipe:")}


async def test_nothing_that_is_written_can_kill_a_child(spawner: PopenSpawner) -> None:
    # Any event on the lifeline kills, so its other end is never written to, and the pipe that the
    # configuration came through is gone: a write tells of itself later than its bytes are read.
    body = """
import fcntl, os
armed = [
    fd for fd in map(int, os.listdir("/proc/self/fd"))
    if fd > 2 and os.path.exists(f"/proc/self/fd/{fd}")
    and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ASYNC
]
print(*[os.readlink(f"/proc/self/fd/{fd}") for fd in armed])
import time; time.sleep(60)
"""
    child = await start_and_await_line(spawner, "#" + "x" * 1_000_000 + body)
    (armed,) = child.last_lines()
    shared = pipes_of("self") & pipes_of(child.pid)
    assert armed in shared
    assert len(shared) == 2  # the lifeline, and the output: the configuration's is closed
