"""The simulated loop: laws of its time, and that asyncio is at home on it."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.clock import Clock, Timer
from transports.sim.clock import EPOCH, SimClock
from transports.sim.errors import RealWorldError, SimulatedDeadlock, SimulationRunaway
from transports.sim.loop import SimLoop
from transports.sim.owner import OWNER, owned

T = TypeVar("T")


def simulate(main: Coroutine[Any, Any, T], loop: SimLoop | None = None) -> T:
    with asyncio.Runner(loop_factory=lambda: loop or SimLoop()) as runner:
        return runner.run(main)


# Time

delays = st.integers(0, 5) | st.integers(0, 10**12)
"""Nanoseconds; small ones so that some are equal."""


@given(st.lists(delays, max_size=30))
def test_timers_fire_at_their_time_and_equal_ones_in_the_order_they_were_set(
    times: list[int],
) -> None:
    loop = SimLoop()
    fired: list[tuple[int, int, int]] = []

    def fire(ns: int, number: int) -> None:
        fired.append((loop.now_ns, ns, number))

    async def main() -> None:
        for number, ns in enumerate(times):
            loop.call_later(ns / 1e9, fire, ns, number)
        await asyncio.sleep(2000)

    simulate(main(), loop)
    assert [now for now, _, _ in fired] == sorted(times)
    assert [(t, n) for _, t, n in fired] == sorted((t, n) for n, t in enumerate(times))
    assert all(now == ns for now, ns, _ in fired)


@given(st.lists(st.tuples(delays, st.booleans()), max_size=300))
def test_cancelled_timers_never_fire_and_the_others_all_do(
    timers: list[tuple[int, bool]],
) -> None:
    loop = SimLoop()
    fired: list[int] = []

    async def main() -> None:
        handles = [
            loop.call_later(ns / 1e9, fired.append, number) for number, (ns, _) in enumerate(timers)
        ]
        for handle, (_, cancelled) in zip(handles, timers, strict=True):
            if cancelled:
                handle.cancel()
                handle.cancel()
        await asyncio.sleep(2000)

    simulate(main(), loop)
    assert sorted(fired) == [n for n, (_, cancelled) in enumerate(timers) if not cancelled]
    statistics = loop.statistics()
    assert (statistics.timers, statistics.fired) == (len(timers) + 1, len(fired) + 1)
    assert statistics.waiting == 0


def test_many_cancelled_timers_are_forgotten_and_the_others_keep_their_order() -> None:
    loop = SimLoop()
    fired: list[int] = []
    times = [pow(7, n, 10_007) for n in range(1000)]

    async def main() -> None:
        handles = [loop.call_later(ns / 1e9, fired.append, ns) for ns in times]
        for number, handle in enumerate(handles):
            if number % 5:
                handle.cancel()
        await asyncio.sleep(0)
        assert len(loop._timers) < 500
        await asyncio.sleep(1)

    simulate(main(), loop)
    assert fired == sorted(times[::5])


@pytest.mark.parametrize("debug", [False, True])
def test_a_timer_that_has_come_due_can_be_set_anew_and_cancelled(debug: bool) -> None:
    loop = SimLoop()
    loop.set_debug(debug)
    clock = SimClock(loop)
    fired: list[float] = []

    async def main() -> None:
        timers: list[Timer] = []

        def fire(name: str) -> None:
            fired.append(clock.now())
            assert name == "again"
            timers.append(clock.again(timers.pop(), clock.interval(0.5)))
            assert loop.statistics().waiting == 2

        timers.append(clock.call_later(1.0, fire, "again"))
        await asyncio.sleep(2.2)
        timers.pop().cancel()
        await asyncio.sleep(2.0)

    simulate(main(), loop)
    assert fired == [1.0, 1.5, 2.0]
    assert loop.statistics().waiting == 0


@pytest.mark.parametrize("others", [0, 1])
def test_what_a_callback_leaves_to_be_run_next_runs_at_once_where_it_would_be_alone(
    others: int,
) -> None:
    loop = SimLoop()
    ran: list[tuple[str, int]] = []

    def note(what: str) -> None:
        ran.append((what, loop.tick))

    async def main() -> None:
        with owned("node"):
            handle = loop.handle(lambda: note(OWNER.get() or ""), copy_context())
        begun = loop.tick + 1

        def last() -> None:
            for _ in range(others):
                loop.call_soon(note, "other")
            loop.run_next(handle)
            note("after")

        loop.call_soon(last)
        await asyncio.sleep(1.0)
        ran[:] = [(what, tick - begun) for what, tick in ran]

    simulate(main(), loop)
    # In a round of its own either way.
    if others:
        assert ran == [("after", 0), ("other", 1), ("node", 1)]
    else:
        assert ran == [("node", 1), ("after", 1)]


def test_a_prepared_call_runs_in_its_context_as_often_as_it_is_wanted() -> None:
    loop = SimLoop()
    ran: list[str | None] = []

    async def main() -> None:
        with owned("node"):
            context = copy_context()
        call = loop.prepared(lambda: ran.append(OWNER.get()), context)
        for _ in range(3):
            call()
        loop.freeze("node")
        await asyncio.sleep(0)
        assert ran == []
        loop.thaw("node")
        await asyncio.sleep(0)

    simulate(main(), loop)
    assert ran == ["node"] * 3


def test_the_handles_of_the_loop_tell_what_those_of_asyncio_tell() -> None:
    loop = SimLoop()

    async def main() -> None:
        soon, later = loop.call_soon(print), loop.call_later(2.5, print)
        assert "print" in repr(soon)
        assert "print" in repr(later)
        assert later.when() == 2.5
        for handle in (soon, later):
            assert not handle.cancelled()
            handle.cancel()
            handle.cancel()
            assert handle.cancelled()
            assert "cancelled" in repr(handle)
        assert loop.statistics().waiting == 0

    simulate(main(), loop)


@given(st.floats(1e-9, 10), st.integers(1, 50))
def test_time_does_not_drift_over_many_sleeps(interval: float, count: int) -> None:
    loop = SimLoop()

    async def main() -> None:
        for _ in range(count):
            await asyncio.sleep(interval)

    simulate(main(), loop)
    assert loop.now_ns == count * max(1, round(interval * 1e9))


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_waiting_for_the_rest_of_an_interval_reaches_its_end(start: float, rest: float) -> None:
    loop = SimLoop()

    async def main() -> None:
        await asyncio.sleep(start)
        deadline = loop.time() + rest
        for _ in range(5):
            await asyncio.sleep(max(0.0, deadline - loop.time()))
        assert loop.time() >= deadline

    simulate(main(), loop)


def test_ready_callbacks_run_first_in_first_out_before_time_moves_on() -> None:
    loop = SimLoop()
    order: list[str] = []

    async def main() -> None:
        loop.call_later(0, order.append, "due now")
        loop.call_later(1e-9, order.append, "later")
        for name in "abc":
            loop.call_soon(order.append, name)
        loop.call_soon(loop.call_soon, order.append, "d")
        await asyncio.sleep(1)

    simulate(main(), loop)
    assert order == ["a", "b", "c", "due now", "d", "later"]


def test_a_time_that_never_comes_is_no_timer() -> None:
    loop = SimLoop()

    async def main() -> None:
        handle = loop.call_later(math.inf, print)
        assert loop.call_at(math.inf, print).when() == math.inf
        handle.cancel()
        with pytest.raises(ValueError, match="never comes"):
            loop.call_later(math.nan, print)
        await asyncio.sleep(math.inf)

    with pytest.raises(SimulatedDeadlock):
        simulate(main(), loop)


def test_the_past_means_now() -> None:
    loop = SimLoop()
    order: list[str] = []

    async def main() -> None:
        await asyncio.sleep(5)
        loop.call_at(1, order.append, "at 1")
        loop.call_later(-3, order.append, "3 ago")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    simulate(main(), loop)
    assert order == ["at 1", "3 ago"]
    assert loop.time() == 5


def test_a_time_ahead_by_less_than_a_nanosecond_comes_later() -> None:
    loop = SimLoop()
    fired: list[int] = []

    async def main() -> None:
        await asyncio.sleep(5)
        when = loop.time() + 1e-10
        assert when > loop.time()
        loop.call_at(when, lambda: fired.append(loop.now_ns))
        await asyncio.sleep(1)

    simulate(main(), loop)
    assert fired == [5_000_000_001]


def test_clocks_of_nodes_tell_virtual_time_with_their_own_skew() -> None:
    loop = SimLoop()
    clock: Clock = SimClock(loop)
    ahead = SimClock(loop, skew=2.5)
    called: list[float] = []

    async def main() -> None:
        cancelled = clock.call_later(1, called.append, 0.0)
        ahead.call_later(1, lambda: called.append(clock.now()))
        cancelled.cancel()
        await clock.sleep(-1)
        assert clock.now_ns() == 0
        await clock.sleep(7.25)

    simulate(main(), loop)
    assert called == [1.0]
    assert (clock.now(), clock.now_ns(), clock.wall()) == (7.25, 7_250_000_000, EPOCH + 7.25)
    assert (ahead.now(), ahead.now_ns(), ahead.wall()) == (9.75, 9_750_000_000, EPOCH + 9.75)
    assert repr(ahead) == "<SimClock 9.75 s skew=2.5>"


# Nodes

names = st.lists(st.sampled_from(["a", "b", "c"]), max_size=20)


def order_of(owners: list[str], **arguments: Any) -> list[tuple[str, int]]:
    loop = SimLoop(**arguments)
    order: list[tuple[str, int]] = []

    async def main() -> None:
        for number, owner in enumerate(owners):
            with owned(owner):
                loop.call_soon(order.append, (owner, number))
        await asyncio.sleep(1)

    simulate(main(), loop)
    return order


@given(names, st.integers())
def test_shuffled_nodes_take_turns_and_each_keeps_its_order(owners: list[str], seed: int) -> None:
    order = order_of(owners, seed=seed, shuffle=True)
    assert order == order_of(owners, seed=seed, shuffle=True)
    assert sorted(number for _, number in order) == list(range(len(owners)))
    for owner in "abc":
        mine = [number for who, number in order if who == owner]
        assert mine == sorted(mine)
    assert [number for _, number in order_of(owners, seed=seed)] == list(range(len(owners)))


def test_every_order_of_two_nodes_comes_up() -> None:
    owners = ["a", "b", "a"]
    orders = {tuple(order_of(owners, seed=seed, shuffle=True)) for seed in range(50)}
    assert len(orders) == 3


def test_a_frozen_node_runs_nothing_and_goes_on_where_it_was() -> None:
    loop = SimLoop()
    beats: dict[str, list[float]] = {"a": [], "b": []}

    async def beat(name: str) -> None:
        for _ in range(5):
            await asyncio.sleep(1)
            beats[name].append(loop.time())

    async def main() -> None:
        for name in beats:
            with owned(name):
                loop.create_task(beat(name))
        assert [task.get_name() for task in loop.tasks("b")] == ["Task-3"]
        await asyncio.sleep(1.5)
        loop.freeze("a")
        loop.freeze("a")
        await asyncio.sleep(3)
        assert loop.statistics().held == 1
        loop.thaw("a")
        loop.thaw("a")
        await asyncio.sleep(10)
        assert loop.tasks("a") == loop.tasks("b") == []

    simulate(main(), loop)
    assert beats == {"a": [1, 4.5, 5.5, 6.5, 7.5], "b": [1, 2, 3, 4, 5]}


def test_waiting_for_a_frozen_node_is_a_deadlock_that_names_it() -> None:
    loop = SimLoop()

    async def main() -> None:
        with owned("a"):
            task = loop.create_task(asyncio.sleep(1))
        loop.freeze("a")
        await task

    with pytest.raises(SimulatedDeadlock, match=r"frozen: a"):
        simulate(main(), loop)


def test_a_discarded_node_never_runs_again_and_keeps_no_timer() -> None:
    loop = SimLoop()
    called: list[str] = []

    async def main() -> None:
        for name in ("a", "b"):
            with owned(name):
                loop.call_soon(called.append, f"{name} soon")
                loop.call_later(1, called.append, f"{name} later")
        loop.discard("a")
        with owned("a"):
            loop.call_soon(called.append, "a again")
        assert loop.statistics().waiting == 1
        await asyncio.sleep(2)

    simulate(main(), loop)
    assert called == ["b soon", "b later"]


def test_timers_of_a_discarded_node_neither_run_nor_move_time_among_those_of_many_others() -> None:
    loop = SimLoop()
    called: list[str] = []

    async def main() -> None:
        with owned("others"):
            for number in range(1000):
                loop.call_later(100 + number, called.append, "other")
        with owned("a"):
            loop.call_later(1, called.append, "a")
            kept = loop.create_task(asyncio.sleep(0))
        assert loop.tasks("a") == [kept]
        await kept
        assert loop.tasks("a") == []
        loop.discard("a")
        with owned("b"):
            loop.call_later(50, called.append, "b")
        await asyncio.sleep(60)

    jumps = loop.statistics().jumps
    simulate(main(), loop)
    assert called == ["b"]
    assert loop.statistics().jumps - jumps == 2  # to b, and to the end


# Ends


def test_a_deadlock_names_the_tasks_that_wait_and_where() -> None:
    async def stuck() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        await asyncio.sleep(1.5)
        others = [asyncio.create_task(stuck(), name=f"worker {n}") for n in range(30)]
        await asyncio.wait(others)

    with pytest.raises(SimulatedDeadlock) as caught:
        simulate(main())
    sentence = str(caught.value)
    assert "deadlock in simulated time: at 1.5 s" in sentence
    assert (
        "worker 7 (test_a_deadlock_names_the_tasks_that_wait_and_where.<locals>.stuck" in sentence
    )
    assert "test_loop.py:" in sentence
    assert "and 11 more" in sentence


def test_running_for_ever_with_nothing_to_do_is_a_deadlock() -> None:
    loop = SimLoop()
    with pytest.raises(SimulatedDeadlock, match="no task"):
        loop.run_forever()
    loop.call_later(3, loop.stop)
    loop.run_forever()
    assert loop.time() == 3
    loop.close()


def test_what_repeats_without_end_is_stopped_by_the_budget_of_steps() -> None:
    loop = SimLoop(max_steps=1000)

    async def spin() -> None:
        for _ in range(10**9):
            await asyncio.sleep(0)

    with pytest.raises(SimulationRunaway, match=r"1000 steps .*Task-1 \(.*spin"):
        simulate(spin(), loop)
    assert loop.statistics().steps < 1100


def test_what_waits_without_end_is_stopped_by_the_limit_of_time() -> None:
    loop = SimLoop(max_seconds=60)

    async def tick() -> None:
        for _ in range(10**9):
            await asyncio.sleep(7)

    with pytest.raises(SimulationRunaway, match="60 virtual seconds"):
        simulate(tick(), loop)
    assert loop.time() == 56


@pytest.mark.parametrize(
    "limits", [{"max_steps": 0}, {"max_seconds": 0}, {"max_seconds": math.nan}]
)
def test_a_simulation_without_steps_or_time_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="positive limit"):
        SimLoop(**limits)


# What is not simulated

REFUSED: list[Callable[[asyncio.AbstractEventLoop], Any]] = [
    lambda loop: loop.add_reader(0, print),
    lambda loop: loop.remove_writer(0),
    lambda loop: loop.add_signal_handler(2, print),
    lambda loop: loop.run_in_executor(None, print),
    lambda loop: loop.create_connection(asyncio.Protocol, "localhost", 1),
    lambda loop: loop.getaddrinfo("localhost", 1),
    lambda loop: asyncio.to_thread(print),
    lambda loop: asyncio.open_connection("localhost", 1),
    lambda loop: asyncio.create_subprocess_exec("true"),
    lambda loop: asyncio.start_unix_server(print, "/nowhere"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_the_real_world_is_refused_with_a_sentence(number: int) -> None:
    async def main() -> None:
        result = REFUSED[number](asyncio.get_running_loop())
        if asyncio.iscoroutine(result):
            await result

    with pytest.raises(RealWorldError, match="not possible in simulated time: "):
        simulate(main())


def test_every_method_of_a_loop_is_there_or_refused() -> None:
    missing = [
        name
        for name, member in vars(asyncio.AbstractEventLoop).items()
        if callable(member) and getattr(SimLoop, name) is member and not name.startswith("__")
    ]
    assert missing == []


def test_other_threads_are_refused() -> None:
    loop = SimLoop()
    caught: list[BaseException] = []

    def intrude() -> None:
        try:
            loop.call_soon_threadsafe(print)
        except RealWorldError as error:
            caught.append(error)

    async def main() -> None:
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()
        done = asyncio.Event()
        loop.call_soon_threadsafe(done.set)
        await done.wait()

    simulate(main(), loop)
    assert "from another thread" in str(caught[0])
