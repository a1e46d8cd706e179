from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import resource
import signal
import sys
import threading
import tracemalloc
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
    LineTail,
    PopenSpawner,
    ProcessSpec,
    Spawner,
)
from tests.actors.launched import (
    LIMIT,
    ended,
    open_descriptors,
    running,
    spec,
    start_and_await_line,
    until_gone,
)

pytestmark = pytest.mark.usefixtures("attached_program")


def absolute(entries: list[str]) -> list[str]:
    return [os.path.abspath(entry) for entry in entries]  # noqa: PTH100  (links stay links)


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
print(f"\\npid {helper.pid}\\n", end="")  # in one write: the other one writes, too
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
    with pytest.raises(NodeStartFailed, match=r"cannot start process 'child': .*nowhere"):
        await spawner.spawn(spec("pass", cwd="/nowhere"))
    with pytest.raises(NodeStartFailed, match="exceeds the"):
        await spawner.spawn(spec("x" * (lifeline.MAX_CONFIG + 1)))
    assert open_descriptors() == before
    assert spawner.statistics().started == 0


async def test_without_descriptors_nothing_starts_and_nothing_is_left_open(
    spawner: PopenSpawner,
) -> None:
    before = open_descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for room in range(8):  # so that each of those that a process needs is the one too many
        taken = max(map(int, before)) + 1 + room
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken, hard))
        try:
            child = await spawner.spawn(spec("pass"))
        except NodeStartFailed as error:
            assert "cannot start process 'child': " in str(error)  # noqa: PT017  (either may be)
        else:
            await ended(child)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert open_descriptors() == before


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
