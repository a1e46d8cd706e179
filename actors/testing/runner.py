"""The loop of one test, on which its fixtures and the test itself run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from actors.deploy import Deployment
from actors.runner import loop_factory

T = TypeVar("T")


class ActorsRunner:
    """Runs the coroutines of one test on one loop.

    Args:
        on: whose loop.
    """

    def __init__(self, on: Deployment) -> None:
        self._runner = asyncio.Runner(loop_factory=loop_factory(on))
        #: What is looked at when the test has come to its end, as a part of it.
        self.checks: list[Callable[[], Awaitable[None]]] = []

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run it to its end and return what it returns."""
        return self._runner.run(main)

    async def test(self, main: Coroutine[Any, Any, object]) -> None:
        """A test, and what is looked at when it has passed."""
        await main
        for check in self.checks:
            await check()

    def close(self) -> None:
        """End the loop and what is left on it."""
        self._runner.close()
