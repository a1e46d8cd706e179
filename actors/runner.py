"""Runs a program's main coroutine, on uvloop where there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from actors.deploy import Deployment, Simulated

T = TypeVar("T")


def run(
    main: Coroutine[Any, Any, T], *, use_uvloop: bool = True, on: Deployment | None = None
) -> T:
    """Run ``main`` to its end and return what it returns; Ctrl-C cancels it.

    Args:
        main: the program.
        use_uvloop: take uvloop where it is installed (it is not on Windows), else asyncio's loop.
        on: what the program starts its graph on; ``Simulated`` needs a loop of its own.
    """
    factory = loop_factory(on) if use_uvloop or isinstance(on, Simulated) else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


def loop_factory(on: Deployment | None = None) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop's loop, or None (asyncio's default) where it is not installed; a simulation's own."""
    if isinstance(on, Simulated):
        return on.loop
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
