"""Fixtures for pytest: ``pytest_plugins = ["actors.testing.pytest_plugin"]``.

An asynchronous test that takes one of these fixtures runs once in a simulation and once in real
time, by this plugin, whatever other one for asynchronous tests there is::

    async def test_who_is_greeted_answers(system: ActorSystem) -> None:
        greeter = await system.spawn("greeter", Greeter)
        assert await greeter.ask(Greet("world"), timeout=1) == "hello world"

- ``deployment``: ``Simulated()``, then ``Inline()``. A fixture of the same name in your own
  conftest, or ``@pytest.mark.parametrize("deployment", […])``, takes its place.
- ``system``: a system there. What nobody handled by the end of the test and no ``dead_letters(…)``
  expected fails the test, and so does an actor that does not stop.
- ``actors_runner``: runs coroutines on the loop of the two, for fixtures of your own, which are
  plain functions: ``actors_runner.run(main())``.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Final

from actors.actor import Actor
from actors.deploy import Deployment, Inline, Simulated
from actors.events import ActorStopped
from actors.message import Message
from actors.runner import run
from actors.system import ActorSystem
from actors.testing.arrivals import listed
from actors.testing.deadletters import DeadLetters
from actors.testing.events import Recorded
from actors.testing.nodes import systems
from actors.testing.runner import ActorsRunner

try:
    import pytest
except ImportError as error:
    msg = "actors.testing.pytest_plugin holds fixtures for pytest; get it by `pip install pytest`"
    raise ImportError(msg) from error

_STOP: Final = 30.0
"""Seconds that all actors of a test are given to stop: five more than the longest that a system
waits for one that catches its cancellations, and for its children."""


@pytest.fixture(params=[Simulated(), Inline()], ids=["simulated", "inline"])
def deployment(request: pytest.FixtureRequest) -> Deployment:
    """On what a test runs: in a simulation, and in this process."""
    chosen: Deployment = request.param
    return chosen


@pytest.fixture
def actors_runner(deployment: Deployment) -> Iterator[ActorsRunner]:
    """Runs coroutines on the test's loop."""
    runner = ActorsRunner(deployment)
    try:
        yield runner
    finally:
        runner.close()


@pytest.fixture
def system(deployment: Deployment, actors_runner: ActorsRunner) -> Iterator[ActorSystem]:
    """A system of one node, whose actors all stop and whose messages all are handled."""
    stack = AsyncExitStack()
    (made,) = actors_runner.run(stack.enter_async_context(systems("test", on=deployment)))
    letters, gone = DeadLetters(made), Recorded(made, ActorStopped)

    async def check() -> None:
        await _nothing_is_unhandled(made, letters)
        await _all_stop(made, gone)

    actors_runner.checks.append(check)
    try:
        yield made
    finally:
        actors_runner.run(stack.aclose())


class _Last(Message[None]):
    """Comes after all that was sent before it."""


class _End(Actor):
    def last(self, message: _Last) -> None:
        """Answer, and so say that the messages before it have come."""


async def _nothing_is_unhandled(system: ActorSystem, letters: DeadLetters) -> None:
    end = await system.spawn("end-of-test", _End)
    await end.ask(_Last(), timeout=_STOP)
    await system.stop(end)
    unexpected = letters.unexpected()
    letters.close()  # what waits in the mailboxes of actors that stop now is nobody's loss
    if unexpected:
        msg = (
            f"nobody handled {listed(unexpected)}; expect it by `with dead_letters(system) as "
            "letters` and `await letters.expect(…)`"
        )
        raise AssertionError(msg)


async def _all_stop(system: ActorSystem, gone: Recorded[ActorStopped]) -> None:
    stopping = asyncio.ensure_future(system.stop_all())
    try:
        await asyncio.wait({stopping}, timeout=_STOP)
    finally:
        stopping.cancel()
    left = [f"{cell.path} ({cell.cls.__qualname__})" for cell in system.cells.values()]
    left += [f"{e.path} ({e.reason})" for e in gone.events if e.reason.startswith("abandoned")]
    if left:
        msg = f"these actors did not stop at the end of the test: {', '.join(left)}"
        raise AssertionError(msg)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an asynchronous test that takes one of the fixtures on their loop."""
    test = pyfuncitem.obj
    if pyfuncitem.get_closest_marker("asyncio") is not None:
        test = getattr(test, "__wrapped__", test)  # pytest-asyncio would run it on its own loop
    on = pyfuncitem.funcargs.get("deployment")
    if not isinstance(on, Deployment) or not inspect.iscoroutinefunction(test):
        return None
    names = pyfuncitem._fixtureinfo.argnames  # noqa: SLF001  (what pytest itself calls it with)
    main = test(**{name: pyfuncitem.funcargs[name] for name in names})
    runner = pyfuncitem.funcargs.get("actors_runner")
    if isinstance(runner, ActorsRunner):
        runner.run(runner.test(main))
    else:
        run(main, on=on)
    return True
