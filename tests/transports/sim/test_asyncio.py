"""What asyncio promises holds on a simulated loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from tests.transports.sim.test_loop import simulate
from transports.sim.errors import RealWorldError
from transports.sim.loop import SimLoop


async def test_the_primitives_of_asyncio_work() -> None:
    loop = asyncio.get_running_loop()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(n, n)) for n in range(5)]
    assert [task.result() for task in tasks] == list(range(5))
    assert loop.time() == 4

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            await asyncio.Event().wait()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), 2)
    assert loop.time() == 9

    first, second = asyncio.create_task(asyncio.sleep(1)), asyncio.create_task(asyncio.sleep(3))
    done, pending = await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
    assert (done, pending) == ({first}, {second})
    second.cancel()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await asyncio.shield(inner := asyncio.create_task(asyncio.sleep(2, "shielded")))
    assert await inner == "shielded"

    queue: asyncio.Queue[int] = asyncio.Queue(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(put(queue, 3))
        assert [await queue.get() for _ in range(3)] == [0, 1, 2]

    barrier = asyncio.Barrier(2)
    await asyncio.gather(barrier.wait(), barrier.wait())
    condition = asyncio.Condition()
    async with asyncio.Lock(), asyncio.Semaphore(1), condition:
        condition.notify_all()


async def put(queue: asyncio.Queue[int], count: int) -> None:
    for number in range(count):
        await queue.put(number)


def test_a_task_group_cancels_its_tasks_in_the_order_they_were_made() -> None:
    order: list[int] = []

    async def victim(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            order.append(number)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(victim(number))
            await asyncio.sleep(0)
            raise ValueError

    with pytest.raises(ExceptionGroup):
        simulate(main())
    assert order == list(range(200))


def test_context_variables_follow_callbacks_and_tasks() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    seen: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        other = contextvars.copy_context()
        other.run(variable.set, "other")
        variable.set("mine")
        loop.call_soon(lambda: seen.append(variable.get()))
        loop.call_later(1, lambda: seen.append(variable.get()), context=other)
        await asyncio.create_task(see())
        await loop.create_task(see(), context=other)
        await asyncio.sleep(2)

    async def see() -> None:
        seen.append(variable.get())

    simulate(main())
    assert seen == ["mine", "mine", "other", "other"]


def test_a_task_factory_makes_the_tasks() -> None:
    made: list[str] = []

    def factory(
        loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **kwargs: Any
    ) -> asyncio.Task[Any]:
        made.append(getattr(coro, "__qualname__", "?"))
        return asyncio.Task(coro, loop=loop, **kwargs)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(factory)  # type: ignore[arg-type]  # typeshed's protocol is stricter
        assert loop.get_task_factory() is factory
        task = loop.create_task(asyncio.sleep(1, "x"), name="named")
        assert (await task, task.get_name()) == ("x", "named")

    simulate(main())
    assert made[0] == "sleep"


def test_generators_that_nobody_finishes_are_closed_in_order() -> None:
    closed: list[int] = []

    async def count(number: int) -> AsyncIterator[int]:
        try:
            while True:
                yield number
        finally:
            await asyncio.sleep(0)
            closed.append(number)

    held: list[AsyncIterator[int]] = []

    async def main() -> None:
        async for _ in count(0):
            break
        for number in range(1, 20):
            held.append(count(number))
            await anext(held[-1])
        await asyncio.sleep(1)

    simulate(main())
    assert closed == list(range(20))


def test_errors_that_nobody_awaits_reach_the_handler_or_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    contexts: list[dict[str, Any]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(fail)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        handler = lambda _, context: contexts.append(context)  # noqa: E731
        loop.set_exception_handler(handler)
        assert loop.get_exception_handler() is handler
        loop.call_soon(fail)
        await asyncio.sleep(1)
        loop.set_exception_handler(lambda _, context: fail())
        loop.call_soon(fail)
        await asyncio.sleep(1)

    def fail() -> None:
        raise ValueError("of a callback")

    with caplog.at_level(logging.ERROR, "asyncio"):
        simulate(main())
    assert [str(context["exception"]) for context in contexts] == ["of a callback"]
    assert "fail" in contexts[0]["message"]
    assert "fail" in repr(contexts[0]["handle"])
    assert "Exception in callback" in caplog.records[0].message
    assert caplog.records[1].message.startswith("the exception handler failed")


def test_a_loop_is_used_by_one_run_at_a_time_and_not_after_its_end() -> None:
    loop = SimLoop()

    async def main() -> None:
        with pytest.raises(RuntimeError, match="runs already"):
            loop.run_until_complete(loop.create_future())
        other = SimLoop()
        with pytest.raises(RuntimeError, match="a thread of its own"):
            other.run_forever()
        other.close()
        with pytest.raises(RuntimeError, match="stop it first"):
            loop.close()
        assert loop.is_running()

    loop.run_until_complete(main())
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match="before the future was done"):
        loop.run_until_complete(future)
    loop.close()
    assert loop.is_closed()
    assert "closed" in repr(loop)
    for use in (loop.call_soon, loop.create_task, lambda _: loop.call_later(1, print)):
        with pytest.raises(RuntimeError, match="is closed"):
            use(None)  # type: ignore[arg-type]  # refused before it is looked at


def test_an_interrupt_ends_the_run_and_is_not_swallowed() -> None:
    async def main() -> None:
        with contextlib.suppress(Exception):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(main())


def test_debug_mode_checks_threads_and_remembers_where_coroutines_are_made() -> None:
    loop = SimLoop()
    loop.set_debug(True)
    assert loop.get_debug()
    caught: list[str] = []

    def intrude() -> None:
        try:
            loop.call_soon(print)
        except RealWorldError as error:
            caught.append(str(error))

    async def main() -> None:
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()
        coroutine = asyncio.sleep(0)
        assert coroutine.cr_origin is not None  # type: ignore[attr-defined]  # of every coroutine
        await coroutine

    simulate(main(), loop)
    assert "loop.call_soon() was called from another thread" in caught[0]


def test_the_trace_hook_sees_each_step_in_its_time() -> None:
    steps: list[int] = []
    loop = SimLoop(trace=lambda ns, handle: steps.append(ns))

    async def main() -> None:
        await asyncio.sleep(1)
        await asyncio.sleep(2)

    simulate(main(), loop)
    assert len(steps) == loop.statistics().steps
    assert list(dict.fromkeys(steps)) == [0, 10**9, 3 * 10**9]
    assert "<SimLoop closed at 3 s" in repr(loop)
