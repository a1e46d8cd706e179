from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import crashpoints
from actors.crashpoints import (
    VARIABLE,
    AtClock,
    CrashPoint,
    CrashPointReached,
    CrashPoints,
    announced,
    announcement,
    crash_point,
    decode,
    encode,
    install,
    install_from,
)
from actors.errors import UsageError

LIMIT = 30.0

CHILD = """
import os, sys, threading
from actors.crashpoints import crash_point, install_from

install_from(os.environ, node="w3", generation=int(sys.argv[1]))

def work():
    for clock in range(6):
        print("before", clock, flush=True)
        crash_point("worker.put", clock)
        print("after", clock, flush=True)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.fixture(autouse=True)
def _nothing_stays_installed() -> Iterator[None]:
    yield
    install((), node="", generation=0)


@contextmanager
def child(
    action: str, *, start: int = 0, generation: int = 0, cwd: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process that passes a point in clocks 0 to 5, in a thread that is not its first."""
    points = encode([CrashPoint("worker.put", action, AtClock(3), start)])
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(generation)],
        env=os.environ | {VARIABLE: points, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(*, upto: int) -> str:
    """What the child prints until it stands at the point in clock `upto`."""
    whole = "".join(f"before {c}\nafter {c}\n" for c in range(upto))
    return whole + (f"before {upto}\n" if upto < 6 else "")


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("sigkill", -signal.SIGKILL),
        ("segfault", -signal.SIGSEGV),
        ("exit:3", 3),
        ("exit:0", 0),
    ],
)
def test_the_process_ends_at_that_very_passage(action: str, code: int, tmp_path: Path) -> None:
    with child(action, cwd=tmp_path) as process:
        assert process.communicate(timeout=LIMIT)[0] == lines(upto=3)
        assert process.returncode == code
        assert list(tmp_path.iterdir()) == []  # no core file


@pytest.mark.parametrize(
    ("action", "error"), [("raise", "CrashPointReached"), ("oom", "MemoryError")]
)
def test_the_code_at_the_point_fails_by_an_exception(action: str, error: str) -> None:
    with child(action) as process:
        out, err = process.communicate(timeout=LIMIT)
        assert out == lines(upto=3)
        assert f"{error}: crash point worker.put was ordered to" in err


def test_a_stopped_process_goes_on_after_the_point_when_it_is_continued() -> None:
    with child("sigstop") as process:
        assert process.stdout is not None
        read = "".join(process.stdout.readline() for _ in range(7))
        assert read == lines(upto=3)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        assert read + process.communicate(timeout=LIMIT)[0] == lines(upto=6)
        assert process.returncode == 0


def test_a_hanging_process_lives_and_its_other_threads_run() -> None:
    script = """
import threading
from actors.crashpoints import CrashPoint, crash_point, install

counter = install([CrashPoint("a", "hang")], node="w3", generation=0)
threading.Thread(target=crash_point, args=("a",), daemon=True).start()
while not counter.statistics().reached:
    pass
print("alive", flush=True)
crash_point("a")
print("only the first passage hangs", flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    assert done.stdout == "alive\nonly the first passage hangs\n"


def test_a_thread_that_hangs_does_not_come_back() -> None:
    with child("hang") as process:
        assert process.stdout is not None
        assert "".join(process.stdout.readline() for _ in range(7)) == lines(upto=3)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)


@pytest.mark.parametrize(("start", "generation"), [(0, 1), (2, 1), (1, 0)])
def test_another_start_of_the_process_passes_unharmed(start: int, generation: int) -> None:
    with child("sigkill", start=start, generation=generation) as process:
        assert process.communicate(timeout=LIMIT)[0] == lines(upto=6)
        assert process.returncode == 0


def test_the_start_that_is_named_does_not() -> None:
    with child("sigkill", start=2, generation=2) as process:
        assert process.communicate(timeout=LIMIT)[0] == lines(upto=3)


def test_the_nth_passage_is_counted_by_name_and_over_all_threads() -> None:
    counter = install([CrashPoint("a", "raise", 5)], node="w3", generation=0)
    assert counter is not None
    threads = [threading.Thread(target=crash_point, args=(name,)) for name in "aabaabb"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(CrashPointReached, match="crash point a was ordered to raise"):
        crash_point("a")
    crash_point("a")
    statistics = counter.statistics()
    assert statistics.passed == {"a": 6, "b": 3}
    assert statistics.waiting == ()
    assert statistics.reached == (CrashPoint("a", "raise", 5),)


def test_a_clock_that_comes_again_does_not_crash_again() -> None:
    install([CrashPoint("a", "raise", AtClock(2))], node="w3", generation=0)
    crash_point("a")
    crash_point("a", 1)
    crash_point("b", 2)
    with pytest.raises(CrashPointReached):
        crash_point("a", 2)
    crash_point("a", 2)


def test_two_orders_for_one_passage_are_one_crash() -> None:
    points = CrashPoints([CrashPoint("a", "raise"), CrashPoint("a", "oom", AtClock(0))], "w3", 0)
    assert points.passed("a", 0) == "raise"
    assert points.passed("a", 0) is None


def test_each_order_for_a_point_has_its_turn() -> None:
    points = CrashPoints([CrashPoint("a", "raise", 1), CrashPoint("a", "oom", 2)], "w3", 0)
    assert [points.passed("a", None) for _ in range(3)] == ["raise", "oom", None]


def test_another_node_is_left_alone() -> None:
    mine = [CrashPoint("a", "raise", node="w3")]
    assert install(mine, node="w2", generation=0) is None
    crash_point("a")
    install(mine, node="w3", generation=0)
    with pytest.raises(CrashPointReached):
        crash_point("a")


def test_where_nothing_is_due_in_this_process_nothing_is_counted() -> None:
    assert install_from({}, node="w3", generation=0) is None
    assert install_from({VARIABLE: "[]"}, node="w3", generation=0) is None
    assert crashpoints._installed is None
    assert install([CrashPoint("a", "raise", start=1)], node="w3", generation=0) is None
    assert crashpoints._installed is None
    crash_point("a")


def test_the_counter_tells_its_state() -> None:
    points = CrashPoints([CrashPoint("a", "raise", 2), CrashPoint("b", "raise")], "w3", 0)
    for name in "acb":
        points.passed(name, None)
    assert repr(points) == "<CrashPoints of w3 start=0 waiting=1 reached=1 passed=3>"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{}", "Expected `array`, got `object`"),
        ("[", "truncated"),
        ('[{"action": "raise"}]', "missing required field `point`"),
        (
            '[{"point": "a", "action": "explode"}]',
            "'explode' of crash point 'a' is none of sigkill",
        ),
        ('[{"point": "a", "action": "exit:256"}]', "N from 0 to 255"),
        ('[{"point": "a", "action": "exit:-1"}]', "N from 0 to 255"),
        ('[{"point": "a", "action": "exit:"}]', "N from 0 to 255"),
        ('[{"point": "a", "action": "raise", "at": 0}]', "Expected `int` >= 1"),
        ('[{"point": "a", "action": "raise", "at": {"round": 1}}]', "unknown field `round`"),
        ('[{"point": "a", "action": "raise", "generation": 1}]', "unknown field `generation`"),
    ],
)
def test_what_is_no_crash_point_is_refused_with_the_place(text: str, why: str) -> None:
    with pytest.raises(UsageError, match="these are no crash points: ") as caught:
        install_from({VARIABLE: text}, node="w3", generation=0)
    assert why in str(caught.value)


points = st.builds(
    CrashPoint,
    point=st.text(min_size=1, max_size=5),
    action=st.sampled_from(["sigkill", "sigstop", "raise", "segfault", "hang", "oom"])
    | st.integers(0, 255).map(lambda n: f"exit:{n}"),
    at=st.integers(1, 99) | st.builds(AtClock, st.integers(0, 99)),
    start=st.integers(0, 9),
    node=st.none() | st.text(max_size=3),
)


@given(st.lists(points, max_size=4))
def test_crash_points_come_back_from_the_environment_as_they_were(given: list[CrashPoint]) -> None:
    assert decode(encode(given)) == given


names = st.sampled_from("ab")
passages: Any = st.lists(st.tuples(names, st.none() | st.integers(0, 2)), max_size=30)
orders = st.builds(
    CrashPoint,
    point=names,
    action=st.sampled_from(["raise", "oom"]),
    at=st.integers(1, 6) | st.builds(AtClock, st.integers(0, 2)),
    start=st.integers(0, 1),
)


@given(st.lists(orders, max_size=6), passages)
def test_an_order_is_carried_out_once_and_only_where_it_says(
    given: list[CrashPoint], walked: list[tuple[str, int | None]]
) -> None:
    counter = CrashPoints(given, "w3", 0)
    counts = {"a": 0, "b": 0}
    for name, clock in walked:
        counts[name] += 1
        before = counter.statistics().reached
        action = counter.passed(name, clock)
        new = counter.statistics().reached[len(before) :]
        assert [p.action for p in new] == ([] if action is None else [action])
        for p in new:
            where = (
                counts[name]
                if isinstance(p.at, int)
                else AtClock(clock if clock is not None else 99)
            )
            assert (p.point, p.at, p.start) == (name, where, 0)
    reached = counter.statistics().reached
    for p in set(reached):
        assert reached.count(p) <= given.count(p)
    for p in counter.statistics().waiting:  # none was passed over
        assert p.start == 0
        if isinstance(p.at, int):
            assert counts[p.point] < p.at
        else:
            assert (p.point, p.at.clock) not in walked


@given(points)
def test_a_point_is_announced_as_it_is(given: CrashPoint) -> None:
    assert announced(announcement(given)) == given


@pytest.mark.parametrize("line", ["", "actors: crash point reached: {}", "crash point reached"])
def test_another_line_announces_nothing(line: str) -> None:
    assert announced(line) is None


def test_a_point_is_told_before_its_action() -> None:
    told: list[CrashPoint] = []
    point = CrashPoint("a", "raise")
    install([point], node="w3", generation=0, tell=told.append)
    with pytest.raises(CrashPointReached):
        crash_point("a")
    assert told == [point]


def test_the_module_stays_cheap_to_load() -> None:
    """Points lie in code that a restarted aggregator waits for."""
    script = "import sys, actors.crashpoints; print('asyncio' in sys.modules, 'zmq' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    ).stdout
    assert out == "False False\n"


def test_the_records_are_frozen() -> None:
    with pytest.raises(AttributeError):
        CrashPoint("a", "raise").point = "b"  # type: ignore[misc]
    assert msgspec.structs.replace(CrashPoint("a", "raise"), start=1).start == 1
