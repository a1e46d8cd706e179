"""The checks of conftest.py see the least that can be left, and a wait that nobody hears of."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SAMPLES = """
import asyncio, contextlib, os, subprocess, threading
import zmq
from actorfl.rundir import RunDirectory

kept = []

def test_thread_without_a_name():
    threading.Thread(target=threading.Event().wait, daemon=True).start()

def test_child():
    kept.append(subprocess.Popen(["sleep", "30"]))

def test_descriptor():
    os.dup(0)

async def test_descriptor_in_a_loop():
    os.dup(0)

async def test_task():
    kept.append(asyncio.create_task(asyncio.Event().wait()))

async def test_blocking(tmp_path):
    RunDirectory.latest(tmp_path)

async def test_blocking_that_is_swallowed(tmp_path):
    with contextlib.suppress(Exception):
        RunDirectory.latest(tmp_path)

async def test_blocking_in_a_task(tmp_path):
    async def look():
        RunDirectory.latest(tmp_path)
    await asyncio.gather(look(), return_exceptions=True)

async def test_clean(tmp_path):
    kept.append(asyncio.create_task(asyncio.sleep(0.01)))
    await asyncio.to_thread(os.stat, tmp_path)
    (tmp_path / "file").write_text("a test may block its own loop")

def test_clean_blocking_without_a_loop(tmp_path):
    with contextlib.suppress(Exception):
        RunDirectory.latest(tmp_path)

def test_clean_frames():
    with zmq.Context.instance().socket(zmq.PAIR) as one:
        with zmq.Context.instance().socket(zmq.PAIR) as other:
            one.bind("inproc://samples")
            other.connect("inproc://samples")
            one.send(bytes(1 << 20), copy=False)
            other.recv()

def teardown_module():
    for left in kept:
        if isinstance(left, subprocess.Popen):
            left.kill()
            left.wait()
"""

REASONS = {
    "test_thread_without_a_name": "left behind: threads ['Thread-",
    "test_child": "left behind: threads [], children [",
    "test_descriptor": "left behind: threads [], children [], 1 more descriptors {'",
    "test_descriptor_in_a_loop": "left behind: threads [], children [], 1 more descriptors {'",
    "test_task": "left behind: tasks [",
    "test_blocking": "blocks a running loop: Blocking call to os.listdir by",
    "test_blocking_that_is_swallowed": "blocks a running loop: Blocking call to os.listdir by",
    "test_blocking_in_a_task": "blocks a running loop: Blocking call to os.listdir by",
}


def test_each_check_fails_what_it_is_for_and_nothing_else(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    conftest = (Path(__file__).parent / "conftest.py").read_text()
    pytester.makeconftest(conftest.replace("_GRACE = 3.0", "_GRACE = 0.2"))
    pytester.makepyfile(SAMPLES)
    monkeypatch.setenv("COLUMNS", "400")  # the summary cuts each reason to a line's width
    result = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "-rE", timeout=50
    )
    # Raised where it was called as well, which one of the samples lets out.
    result.assert_outcomes(passed=10, failed=1, errors=len(REASONS))
    errors = [line for line in result.outlines if line.startswith("ERROR ")]
    for name, reason in REASONS.items():
        assert any(f"::{name} - Failed: {reason}" in line for line in errors), (name, errors)
