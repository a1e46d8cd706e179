"""The fixtures run a test on both deployments, and fail one that leaves something behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.test_programs import ENVIRONMENT

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]

HEAD = """
import asyncio, contextlib
import pytest
from actors import Actor, ActorSystem, Message, Simulated, Inline
from actors.testing import TestProbe, dead_letters
from transports.sim import SimLoop

pytest_plugins = ["actors.testing.pytest_plugin"]

NEVER = []  # held, or the collector takes those that wait for them

class Hello(Message[None]):
    pass

class Nobody(Actor):
    pass

class Deaf(Actor):
    def __init__(self, times):
        self.times = times

    async def hello(self, message: Hello) -> None:
        for _ in range(self.times):
            with contextlib.suppress(asyncio.CancelledError):
                NEVER.append(asyncio.Event())
                await NEVER[-1].wait()
"""


def outcome(pytester: pytest.Pytester, body: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(HEAD + body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        return pytester.runpytest_subprocess(
            "-p", "no:cacheprovider", "-W", "error::pytest.PytestWarning", *options, timeout=60
        )


MODES = {
    "alone": ("-p", "no:asyncio"),
    "beside pytest-asyncio": ("-o", "asyncio_default_fixture_loop_scope=function"),
    "beside pytest-asyncio in auto mode": (
        "-o", "asyncio_default_fixture_loop_scope=function", "--asyncio-mode=auto",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_a_test_runs_in_a_simulation_and_in_real_time(mode: str, pytester: pytest.Pytester) -> None:
    body = """
seen = []

@pytest.fixture
def probe(system, actors_runner):
    return actors_runner.run(TestProbe.on(system))

async def test_it(system, probe, tmp_path):
    seen.append(isinstance(asyncio.get_running_loop(), SimLoop))
    probe.ref.tell(Hello())
    await probe.expect_message(Hello)

class TestThem:
    async def test_method(self, deployment):
        seen.append(isinstance(asyncio.get_running_loop(), SimLoop))

def test_both(deployment):
    assert isinstance(deployment, (Simulated, Inline))

def test_that_they_ran():
    assert seen == [True, False] * 2
"""
    outcome(pytester, body, *MODES[mode]).assert_outcomes(passed=7)


def test_a_failing_test_fails_by_its_own_sentence(pytester: pytest.Pytester) -> None:
    body = """
async def test_it(system):
    (await system.spawn("nobody", Nobody)).tell(Hello())
    assert 1 == 2, "mine"
"""
    result = outcome(pytester, body, "-p", "no:asyncio")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*AssertionError: mine*"])
    result.stdout.no_fnmatch_line("*nobody handled*")


def test_a_dead_letter_that_was_not_expected_fails_the_test(pytester: pytest.Pytester) -> None:
    body = """
async def test_unexpected(system):
    (await system.spawn("nobody", Nobody)).tell(Hello())

async def test_expected(system):
    with dead_letters(system) as letters:
        (await system.spawn("nobody", Nobody)).tell(Hello())
        await letters.expect(Hello)

@pytest.mark.parametrize("deployment", [Simulated()])
async def test_waiting(system):
    deaf = await system.spawn("deaf", Deaf, times=1)
    deaf.tell(Hello())
    deaf.tell(Hello())
    deaf.tell(Hello())
"""
    result = outcome(pytester, body, "-p", "no:asyncio")
    result.assert_outcomes(failed=2, passed=3)
    result.stdout.fnmatch_lines(
        ["*nobody handled DeadLetter(to='/nobody', message='Hello', *; expect it by*"]
    )


def test_an_actor_that_does_not_stop_fails_the_test(pytester: pytest.Pytester) -> None:
    body = """
class Parent(Actor):
    async def on_start(self):
        (await self.spawn("child", Deaf, times=6)).tell(Hello())

async def test_child(system):
    await system.spawn("parent", Parent)
    await asyncio.sleep(1)

async def test_abandoned(system):
    (await system.spawn("deaf", Deaf, times=6)).tell(Hello())
    await asyncio.sleep(1)
"""
    result = outcome(pytester, body, "-p", "no:asyncio", "-k", "simulated")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "*these actors did not stop at the end of the test: /parent/child (abandoned*",
            "*these actors did not stop at the end of the test: /deaf (abandoned: it caught 5*",
        ]
    )


def test_nothing_else_needs_pytest_and_the_plugin_says_how_to_get_it() -> None:
    script = """
import sys
sys.modules["pytest"] = None
import actors, actors.testing
try:
    import actors.testing.pytest_plugin
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "pip install pytest" in done.stdout
