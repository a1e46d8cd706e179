from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import signal
import sys
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from actors import lifeline
from actors.errors import NodeStartFailed
from actors.exits import Exit, OomCounter
from actors.spawner import (
    KEPT_LINES,
    MAX_LINE,
    Child,
    LineTail,
    PopenSpawner,
    ProcessSpec,
    Spawner,
)

# What a node's main does, with a body that the test sends along as configuration.
ATTACHED = """
from actors import lifeline
if __name__ == "__main__":  # a process that multiprocessing spawns loads this, too
    exec(lifeline.attach().decode())
"""

LIMIT = 30.0  # seconds: what takes 0.1 s on an idle machine, on one shared by many


@pytest.fixture(autouse=True)
def attached_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that exists on this process's sys.path only, so children need it handed over."""
    (tmp_path / "attached.py").write_text(ATTACHED)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
async def spawner() -> AsyncIterator[PopenSpawner]:
    spawner = PopenSpawner()
    yield spawner
    await spawner.close()


def spec(body: str, **more: object) -> ProcessSpec:
    return ProcessSpec(name="child", module="attached", config=body.encode(), **more)  # type: ignore[arg-type]  # whatever field the test needs


async def ended(child: Child) -> Exit:
    async with asyncio.timeout(LIMIT):
        return await child.wait()


async def start_and_await_line(spawner: PopenSpawner, body: str) -> Child:
    """Start a child and wait until its body has printed something."""
    printed = asyncio.Event()
    child = await spawner.spawn(spec(body, on_line=lambda _: printed.set()))
    async with asyncio.timeout(LIMIT):
        await printed.wait()
    return child


async def until_gone(pids: list[int], limit: float) -> list[int]:
    """Wait until none of the processes runs any more; returns those that still do."""
    deadline = time.monotonic() + limit
    left = pids
    while left := [pid for pid in left if running(pid)]:
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(0.01)  # other processes' children: nobody can tell us
    return left


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"  # an orphan's zombie waits for init only


def absolute(entries: list[str]) -> list[str]:
    return [os.path.abspath(entry) for entry in entries]  # noqa: PTH100  (links stay links)


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208  (the names alone)


def zombies_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] == "Z" and int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize(
    ("body", "exit_", "words"),
    [
        ("pass", Exit(code=0), "exit code 0"),
        ("import sys; sys.exit(3)", Exit(code=3), "exit code 3"),
        ("raise KeyError('x')", Exit(code=1), "exit code 1"),
        ("import os; os.kill(os.getpid(), 9)", Exit(signal=9), "killed by signal 9 (SIGKILL)"),
        ("import os; os.kill(os.getpid(), 15)", Exit(signal=15), "killed by signal 15 (SIGTERM)"),
        ("import ctypes; ctypes.string_at(0)", Exit(signal=11), "segmentation fault (signal 11)"),
        ("import os; os.abort()", Exit(signal=6), "aborted (signal 6)"),
    ],
)
async def test_a_childs_end_is_told_as_it_was(
    spawner: PopenSpawner, body: str, exit_: Exit, words: str
) -> None:
    child = await spawner.spawn(spec(body))
    assert await ended(child) == exit_
    assert exit_.describe() == words
    assert repr(child) == f"<PopenChild child pid={child.pid} {words}>"
    assert not child.alive


def test_an_exit_whose_status_somebody_else_took_says_so() -> None:
    assert "exit status" in Exit().describe()
    assert Exit(signal=40).describe() == "killed by signal 40"
    assert (
        Exit(signal=9, out_of_memory=True).describe() == "killed by the kernel for lack of memory"
    )
    assert Exit(code=0).clean
    assert not Exit(code=1).clean
    assert not Exit().clean


def test_all_works_on_uvloop_too() -> None:
    async def main() -> None:
        spawner = PopenSpawner()
        for body, exit_ in [
            ("import sys; sys.exit(3)", Exit(code=3)),
            ("import os; os.kill(os.getpid(), 9)", Exit(signal=9)),
            ("#" + "x" * 1_000_000, Exit(code=0)),
            ("for i in range(20000): print('line', i)", Exit(code=0)),
        ]:
            child = await spawner.spawn(spec(body))
            assert await ended(child) == exit_
        assert child.last_lines(1) == ["line 19999"]
        sleeper = await start_and_await_line(spawner, "print(1)\nimport time; time.sleep(100)")
        await spawner.close()
        assert await ended(sleeper) == Exit(signal=9)

    uvloop.run(main())


async def test_a_kill_from_outside_is_seen_and_every_waiter_is_told(spawner: PopenSpawner) -> None:
    child = await start_and_await_line(spawner, "print(1)\nimport time; time.sleep(100)")
    waiters = [asyncio.create_task(ended(child)) for _ in range(3)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    os.kill(child.pid, signal.SIGKILL)
    assert await waiters[1] == await waiters[2] == Exit(signal=9)
    assert await ended(child) == Exit(signal=9)


async def test_terminate_lets_the_child_clean_up(spawner: PopenSpawner) -> None:
    body = """
import signal, sys, time
def leave(number, frame):
    print("cleaned up")
    sys.exit(7)
signal.signal(signal.SIGTERM, leave)
print("ready")
time.sleep(100)
"""
    child = await start_and_await_line(spawner, body)
    child.terminate()
    assert await ended(child) == Exit(code=7)
    assert child.last_lines(1) == ["cleaned up"]


async def test_kill_and_terminate_after_the_end_do_nothing(spawner: PopenSpawner) -> None:
    child = await spawner.spawn(spec("pass"))
    await ended(child)
    child.kill()
    child.terminate()
    assert await ended(child) == Exit(code=0)


async def test_a_child_ignores_ctrl_c_and_has_a_session_of_its_own(spawner: PopenSpawner) -> None:
    body = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)
print("alive", os.getsid(0) == os.getpid())
"""
    child = await spawner.spawn(spec(body))
    assert await ended(child) == Exit(code=0)
    assert child.last_lines() == ["alive True"]


async def test_output_and_errors_arrive_merged_line_by_line(spawner: PopenSpawner) -> None:
    lines: list[str] = []
    body = """
import sys
print("one")
print("two", file=sys.stderr)
print()
sys.stdout.write("no end")
"""
    child = await spawner.spawn(spec(body, on_line=lines.append))
    await ended(child)
    assert lines == child.last_lines() == ["one", "two", "", "no end"]
    assert child.last_lines(2) == ["", "no end"]
    assert child.last_lines(0) == []


async def test_what_a_killed_child_had_printed_is_not_lost(spawner: PopenSpawner) -> None:
    child = await spawner.spawn(spec("import os\nprint('last words')\nos.kill(os.getpid(), 9)"))
    await ended(child)
    assert child.last_lines() == ["last words"]


async def test_a_segfault_leaves_the_place_where_it_happened(spawner: PopenSpawner) -> None:
    child = await spawner.spawn(spec("import ctypes\nctypes.string_at(0)"))
    await ended(child)
    assert any("string_at" in line for line in child.last_lines(100))


async def test_a_flood_of_output_is_read_to_its_end_under_a_bound(spawner: PopenSpawner) -> None:
    count = 0

    def counted(_: str) -> None:
        nonlocal count
        count += 1

    body = "for i in range(30000): print('line', i)\nprint('x' * 100000, end='')"
    child = await spawner.spawn(spec(body, on_line=counted))
    await ended(child)
    last = child.last_lines(10_000)
    assert count == 30_000 + -(-100_000 // MAX_LINE) == spawner.statistics().lines
    assert len(last) == KEPT_LINES
    assert max(map(len, last)) == MAX_LINE
    assert "line 29999" in last


async def test_a_callback_that_raises_is_dropped_and_the_reading_goes_on(
    spawner: PopenSpawner, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def broken(line: str) -> None:
        calls.append(line)
        raise RuntimeError("no")

    child = await spawner.spawn(spec("for i in range(3): print(i)", on_line=broken))
    await ended(child)
    assert calls == ["0"]
    assert child.last_lines() == ["0", "1", "2"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_wait_does_not_hang_on_a_helper_that_keeps_the_output_open(
    spawner: PopenSpawner,
) -> None:
    body = """
import subprocess
helper = subprocess.Popen(["sleep", "1000"])
print(helper.pid)
"""
    child = await spawner.spawn(spec(body))
    await ended(child)
    helper = int(child.last_lines()[0])
    # A dead node's helpers go with it: they hold its memory, and nobody else would end them.
    assert await until_gone([helper], LIMIT) == []


async def test_wait_does_not_hang_on_a_helper_in_a_session_of_its_own(
    spawner: PopenSpawner,
) -> None:
    lines: list[str] = []
    body = """
import subprocess
helper = subprocess.Popen(["yes", "noise" * 200], start_new_session=True)
print("\\npid", helper.pid)
"""
    child = await spawner.spawn(spec(body, on_line=lines.append))
    try:
        assert await ended(child) == Exit(code=0)
    finally:
        (helper,) = [int(line.split()[1]) for line in lines if line.startswith("pid")]
        if running(helper):
            os.kill(helper, signal.SIGKILL)


async def test_a_line_that_never_ends_costs_no_memory(spawner: PopenSpawner) -> None:
    body = "import os\nfor _ in range(1600): os.write(1, b'x' * 65536)\nos.write(2, b'\\xff\\xfe')"
    child = await spawner.spawn(spec(body))
    tracemalloc.start()
    try:
        await ended(child)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    last = child.last_lines(10_000)
    assert len(last) == KEPT_LINES
    assert last[-1].endswith("\ufffd\ufffd")
    assert spawner.statistics().lines == 1600 * 65536 // MAX_LINE + 1
    assert peak < 2 * KEPT_LINES * MAX_LINE


async def test_a_child_that_closes_its_output_is_waited_for_all_the_same(
    spawner: PopenSpawner,
) -> None:
    body = """
import os, time
print("last", flush=True)
os.close(1)
os.close(2)
time.sleep(0.2)
os._exit(5)
"""
    child = await spawner.spawn(spec(body))
    assert await ended(child) == Exit(code=5)
    assert child.last_lines() == ["last"]


async def test_a_configuration_larger_than_a_pipe_arrives(spawner: PopenSpawner) -> None:
    child = await spawner.spawn(spec("#" + "x" * 1_000_000 + "\nprint('whole')"))
    await ended(child)
    assert child.last_lines() == ["whole"]


async def test_a_child_that_never_reads_its_configuration_just_ends(
    spawner: PopenSpawner, tmp_path: Path
) -> None:
    (tmp_path / "deaf.py").write_text("import sys; sys.exit(4)")
    config = b"x" * 1_000_000
    child = await spawner.spawn(ProcessSpec(name="deaf", module="deaf", config=config))
    assert await ended(child) == Exit(code=4)


async def test_imports_resolve_as_in_the_launcher(
    spawner: PopenSpawner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "attached.py").write_text("import sys; sys.exit('shadowed')")
    child = await spawner.spawn(
        spec("import sys, json; print(json.dumps(sys.path))", cwd=str(elsewhere))
    )
    assert await ended(child) == Exit(code=0), child.last_lines()
    assert json.loads(child.last_lines()[0]) == absolute(sys.path)


async def test_the_environment_pins_one_thread_unless_the_overlay_says_otherwise(
    spawner: PopenSpawner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("FROM_SHELL", "kept")
    names = [
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "PYTHONFAULTHANDLER",
        "FROM_SHELL",
        "MINE",
    ]
    body = f"import os; print([os.environ.get(n) for n in {names}])"
    child = await spawner.spawn(spec(body, env={"MKL_NUM_THREADS": "2", "MINE": "yes"}))
    await ended(child)
    assert child.last_lines() == ["['1', '2', '1', '1', 'kept', 'yes']"]


async def test_descriptors_are_passed_on_request_only(spawner: PopenSpawner) -> None:
    reader, writer = os.pipe()
    other, end = os.pipe()
    os.set_inheritable(other, True)
    try:
        body = f"""
import os
os.write({writer}, b"through")
try:
    os.fstat({other})
except OSError:
    print("closed")
"""
        child = await spawner.spawn(spec(body, pass_fds=(writer,)))
        await ended(child)
        assert os.read(reader, 100) == b"through"
        assert child.last_lines() == ["closed"]
    finally:
        for descriptor in (reader, writer, other, end):
            os.close(descriptor)


async def test_the_childs_standard_input_is_empty_for_user_code(spawner: PopenSpawner) -> None:
    child = await spawner.spawn(spec("import sys; print(repr(sys.stdin.read()))"))
    await ended(child)
    assert child.last_lines() == ["''"]


async def test_a_process_that_cannot_start_is_one_sentence(spawner: PopenSpawner) -> None:
    before = open_descriptors()
    with pytest.raises(NodeStartFailed, match=r"cannot start process 'child' .*nowhere"):
        await spawner.spawn(spec("pass", cwd="/nowhere"))
    with pytest.raises(NodeStartFailed, match="exceeds the"):
        await spawner.spawn(spec("x" * (lifeline.MAX_CONFIG + 1)))
    assert open_descriptors() == before
    assert spawner.statistics().started == 0


async def test_a_module_that_does_not_exist_is_told_by_its_last_lines(
    spawner: PopenSpawner,
) -> None:
    child = await spawner.spawn(ProcessSpec(name="none", module="no_such_module"))
    assert await ended(child) == Exit(code=1)
    assert "No module named no_such_module" in child.last_lines()[-1]


async def test_closing_kills_what_is_left_and_refuses_more() -> None:
    spawner = PopenSpawner()
    children = [await spawner.spawn(spec("import time; time.sleep(100)")) for _ in range(3)]
    assert spawner.statistics().alive == 3
    assert repr(spawner) == "<PopenSpawner open, 3 alive, 3 started>"
    await spawner.close()
    assert [await child.wait() for child in children] == [Exit(signal=9)] * 3
    assert spawner.statistics().signalled == 3
    assert repr(spawner) == "<PopenSpawner closed, 0 alive, 3 started>"
    with pytest.raises(NodeStartFailed, match="closed"):
        await spawner.spawn(spec("pass"))
    await spawner.close()


async def test_without_pidfd_a_thread_waits_and_all_is_the_same(
    spawner: PopenSpawner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    child = await spawner.spawn(spec("print('bye'); import sys; sys.exit(3)"))
    assert await ended(child) == Exit(code=3)
    assert child.last_lines() == ["bye"]
    monkeypatch.delattr(os, "waitid")  # as on macOS
    child = await spawner.spawn(spec("import os; os.kill(os.getpid(), 9)"))
    assert await ended(child) == Exit(signal=9)


async def test_an_exit_status_taken_by_other_code_is_unknown_not_wrong(
    spawner: PopenSpawner,
) -> None:
    child = await start_and_await_line(spawner, "print(1)\nimport time; time.sleep(100)")
    os.kill(child.pid, signal.SIGKILL)
    os.waitpid(child.pid, 0)  # noqa: ASYNC222  (before the loop can hear of it)
    assert await ended(child) == Exit()


async def test_thirty_children_leave_no_descriptor_thread_or_zombie(
    spawner: PopenSpawner,
) -> None:
    await ended(await spawner.spawn(spec("pass")))
    descriptors = open_descriptors()
    threads = set(threading.enumerate())
    for number in range(30):
        child = await spawner.spawn(spec("print(1)\nimport time; time.sleep(100)"))
        if number % 3 == 0:
            await asyncio.sleep(0.02)  # another stage of its start each time
        child.kill()
        assert await ended(child) == Exit(signal=9)
    assert open_descriptors() == descriptors
    assert set(threading.enumerate()) == threads
    assert zombies_of(os.getpid()) == []


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
for fd in range(3, 20):
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


def test_the_counter_of_kills_for_lack_of_memory_is_read_from_its_line(tmp_path: Path) -> None:
    file = tmp_path / "memory.events"
    file.write_text("low 0\nhigh 0\nmax 12\noom 3\noom_kill 5\noom_group_kill 0\n")
    assert OomCounter(file).read() == 5
    file.write_text("no such line\n")
    assert OomCounter(file).read() is None
    assert OomCounter(tmp_path / "absent").read() is None
    assert repr(OomCounter(file)) == f"<OomCounter {file}: None>"


async def test_a_sigkill_with_a_rise_of_the_counter_was_for_lack_of_memory(tmp_path: Path) -> None:
    file = tmp_path / "memory.events"
    file.write_text("oom_kill 5\n")
    spawner = PopenSpawner(oom=OomCounter(file))
    victim = await start_and_await_line(spawner, "print(1)\nimport time; time.sleep(100)")
    other = await start_and_await_line(spawner, "print(1)\nimport time; time.sleep(100)")
    third = await start_and_await_line(spawner, "print(1)\nimport time; time.sleep(100)")
    third.kill()  # our own kill is never the kernel's
    file.write_text("oom_kill 6\n")
    assert await ended(third) == Exit(signal=9)
    os.kill(victim.pid, signal.SIGKILL)
    assert await ended(victim) == Exit(signal=9, out_of_memory=True)
    os.kill(other.pid, signal.SIGKILL)  # the one rise is used up
    assert await ended(other) == Exit(signal=9)
    assert spawner.statistics().out_of_memory == 1
    await spawner.close()


async def test_a_module_started_by_hand_says_so() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from actors import lifeline; lifeline.attach()",
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate(b"something that a person typed here\n")
    assert process.returncode == 1
    assert b"started by a spawner, not by hand" in errors


async def test_a_launcher_that_died_before_the_configuration_leaves_no_child() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from actors import lifeline; lifeline.attach(); print('went on')",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    sent = lifeline.encode(b"config", parent=os.getpid(), path=[])
    output, _ = await process.communicate(sent[:-1])
    assert (process.returncode, output) == (lifeline.ORPHANED, b"")


async def test_a_child_of_another_parent_than_it_was_told_leaves() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from actors import lifeline; lifeline.attach(); print('went on')",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate(lifeline.encode(b"", parent=1, path=[]))
    assert (process.returncode, output) == (lifeline.ORPHANED, b"")


def test_the_real_spawner_is_a_spawner() -> None:
    spawner: Spawner = PopenSpawner()
    assert isinstance(spawner, PopenSpawner)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8))
def test_lines_do_not_depend_on_how_the_bytes_arrive(data: bytes, cuts: list[int]) -> None:
    data = data.replace(b"\r", b"")
    whole, cut = LineTail(1000), LineTail(1000)
    at_once = whole.feed(data) + whole.finish()
    piecewise = []
    edges = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        piecewise += cut.feed(data[start:end])
    assert piecewise + cut.finish() == at_once
    assert cut.last(1000) == whole.last(1000) == at_once
    text = data.decode("utf-8", "replace")
    assert at_once == text.removesuffix("\n").split("\n") or not data


def test_an_endless_line_is_cut_and_a_progress_bar_shows_its_last_state() -> None:
    tail = LineTail(10)
    assert [len(line) for line in tail.feed(b"x" * (2 * MAX_LINE + 1))] == [MAX_LINE, MAX_LINE]
    assert tail.last(1) == ["x"]
    assert tail.feed(b"\n") == ["x"]
    bar = LineTail(10)
    for percent in range(2000):
        bar.feed(b"\rdone: %d %%" % percent)
    assert bar.last(1) == ["done: 1999 %"]
    assert bar.feed(b"\r\nnext\r\n") == ["done: 1999 %", "next"]
