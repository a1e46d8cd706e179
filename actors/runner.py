"""Runs a program's main coroutine, on uvloop where there is one."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from actors import collector
from actors.code import refuse_if_loading
from actors.deploy import Deployment, Simulated, check_deployment
from actors.errors import UsageError
from actors.given import check_coroutine

T = TypeVar("T")


def run(
    main: Coroutine[Any, Any, T],
    *,
    use_uvloop: bool = True,
    on: Deployment | None = None,
    terminable: bool = True,
) -> T:
    """Run ``main`` to its end and return what it returns; Ctrl-C and SIGTERM cancel it.

    So the ``async with`` blocks of its systems end, and their shutdowns run. After Ctrl-C it raises
    ``KeyboardInterrupt``, after SIGTERM ``SystemExit(143)``; a second signal ends it at once.

    While it runs, Python's cyclic garbage collector looks at young objects every 10,000 new ones
    instead of every 700: among many actors that takes less than half the time, and what lies in
    cycles of references is freed later. Thresholds that you set by ``gc.set_threshold`` are kept.

    Args:
        main: the program.
        use_uvloop: take uvloop where it is installed (it is not on Windows), else asyncio's loop.
        on: what the program starts its graph on; ``Simulated`` needs a loop of its own.
        terminable: whether SIGTERM is heeded like that; one that somebody handles is left alone.

    Raises:
        UsageError: no coroutine or no deployment, or a loop runs already; or a node
            loads the script, whose main guard is missing.
    """
    check_coroutine("run", main)
    try:
        refuse_if_loading("actors.run()")
        _check_no_loop(getattr(main, "__name__", "main"))
        if on is not None:
            check_deployment(on)
    except UsageError:
        main.close()  # it is told of here, and not once more by Python as never awaited
        raise
    factory = loop_factory(on) if use_uvloop or isinstance(on, Simulated) else None
    if terminable and not isinstance(on, Simulated) and _terminates_us():
        main = _until_terminated(main)
    with collector.rarer(), asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


def _check_no_loop(main: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    msg = (
        f"run({main}()) starts a loop, and one runs here already; within a coroutine write "
        f"`await {main}()`, and at the end of a script begin with "
        '`if __name__ == "__main__":`, since processes load it too'
    )
    raise UsageError(msg)


def _terminates_us() -> bool:
    return (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )


async def _until_terminated(main: Coroutine[Any, Any, T]) -> T:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        loop.remove_signal_handler(signal.SIGTERM)  # the next one ends the process
        task.cancel("SIGTERM")

    try:
        loop.add_signal_handler(signal.SIGTERM, terminate)
    except NotImplementedError:  # Windows
        return await main
    try:
        return await main
    except asyncio.CancelledError:
        if not terminated:
            raise
        raise SystemExit(128 + signal.SIGTERM) from None
    finally:
        if not terminated:
            loop.remove_signal_handler(signal.SIGTERM)


def loop_factory(on: Deployment | None = None) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop's loop, or None (asyncio's default) where it is not installed; a simulation's own."""
    if on is not None:
        check_deployment(on)
    if isinstance(on, Simulated):
        return on.loop
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
