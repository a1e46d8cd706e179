"""What an event loop does besides running callbacks in time: generators, lost errors, settings."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import AsyncGenerator, Callable
from typing import Any

from transports.sim.unreal import UnrealLoop

_logger = logging.getLogger("asyncio")


class QuietLoop(UnrealLoop):
    """As asyncio's base loop behaves here, on top of ``call_soon`` and ``create_task``."""

    def __init__(self) -> None:
        self._debug = False
        self._task_factory: Callable[..., Any] | None = None
        self._exception_handler: Callable[..., object] | None = None
        # A dictionary, because it remembers the order.
        self._asyncgens: weakref.WeakKeyDictionary[AsyncGenerator[Any, Any], None] = (
            weakref.WeakKeyDictionary()
        )

    # Settings

    def set_task_factory(self, factory: Callable[..., Any] | None) -> None:
        """Make tasks by ``factory(loop, coro, **kwargs)``; None means ``asyncio.Task``."""
        self._task_factory = factory

    def get_task_factory(self) -> Callable[..., Any] | None:
        """The task factory, None for the default."""
        return self._task_factory

    def get_debug(self) -> bool:
        """Whether debug mode is on."""
        return self._debug

    def set_debug(self, enabled: bool) -> None:
        """Record where coroutines are made, and check the thread of ``call_soon``."""
        self._debug = enabled

    # Asynchronous generators, and what asyncio.Runner calls at the end

    def _begin(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._asyncgens[generator] = None

    def _finalize(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._asyncgens.pop(generator, None)
        if not self.is_closed():
            self.call_soon(self.create_task, generator.aclose())

    async def shutdown_asyncgens(self) -> None:
        """Close all asynchronous generators that are not finished."""
        closing = list(self._asyncgens)
        self._asyncgens.clear()
        results = await asyncio.gather(*(each.aclose() for each in closing), return_exceptions=True)
        for result, generator in zip(results, closing, strict=True):
            if isinstance(result, Exception):
                self.call_exception_handler(
                    {
                        "message": f"an error while {generator!r} was closed",
                        "exception": result,
                        "asyncgen": generator,
                    }
                )

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""

    # Errors that nobody awaits

    def get_exception_handler(self) -> Callable[..., object] | None:
        """What is called with errors that nobody awaits, None for the default."""
        return self._exception_handler

    def set_exception_handler(self, handler: Callable[..., object] | None) -> None:
        """Call ``handler(loop, context)`` with errors that nobody awaits."""
        self._exception_handler = handler

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Log the error as asyncio does."""
        lines = [context.get("message") or "Unhandled exception in event loop"]
        lines += [
            f"{key}: {value!r}"
            for key, value in sorted(context.items())
            if key not in {"message", "exception", "source_traceback", "handle_traceback"}
        ]
        _logger.error("\n".join(lines), exc_info=context.get("exception"))

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Pass an error that nobody awaits to the exception handler."""
        if self._exception_handler is None:
            self.default_exception_handler(context)
            return
        try:
            self._exception_handler(self, context)
        except Exception:
            _logger.exception("the exception handler failed on %r", context)
