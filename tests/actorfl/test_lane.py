"""The training lane: one job at a time, each from the same state, whatever the others did."""

import asyncio
import gc
import subprocess
import sys
import threading
import traceback
import weakref
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest
import torch

from actorfl import lane as lane_module
from actorfl.errors import Misfit, MissingExtra, WrongValue
from actorfl.lane import JobExited, LaneClosed, TrainingLane, shared_lane
from actorfl.seeds import seed_everything

LIMIT = 20.0  # seconds; only a broken lane ever waits this long


@pytest.fixture
async def lane() -> AsyncIterator[TrainingLane]:
    one = TrainingLane()
    yield one
    assert one.close(timeout=LIMIT)


class Gate:
    """A job that says when it runs and ends when it is told to."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()

    def __call__(self) -> str:
        self.entered.set()
        assert self.release.wait(LIMIT)
        return "through"

    async def running(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, LIMIT)


def collected(reference: Callable[[], object]) -> bool:
    gc.collect()
    return reference() is None


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_job_returns_what_its_function_returns(lane: TrainingLane) -> None:
    assert await lane.run(lambda a, b: a + b, 1, 2) == 3


async def test_jobs_run_one_at_a_time_in_order_in_one_thread(lane: TrainingLane) -> None:
    seen: list[tuple[int, int]] = []
    inside = threading.Semaphore(1)

    def job(number: int) -> None:
        assert inside.acquire(blocking=False)
        seen.append((number, threading.get_ident()))
        inside.release()

    await asyncio.gather(*(lane.run(job, number) for number in range(50)))
    assert [number for number, _ in seen] == list(range(50))
    assert len({thread for _, thread in seen}) == 1
    assert seen[0][1] != threading.get_ident()


async def test_two_lanes_of_one_process_never_compute_at_once(lane: TrainingLane) -> None:
    other = TrainingLane()
    met = threading.Barrier(2)

    def meet() -> bool:
        try:
            met.wait(0.5)  # seconds that a job which runs at the same time has to come here
        except threading.BrokenBarrierError:
            return False
        return True

    await asyncio.gather(lane.run(int), other.run(int))  # both threads have all that they import
    assert not any(await asyncio.gather(lane.run(meet), other.run(meet)))
    assert other.close(timeout=LIMIT)


@pytest.mark.parametrize("threads", [1, 2])
async def test_the_thread_count_is_set_in_the_thread_of_the_lane(threads: int) -> None:
    lane = TrainingLane(threads)
    torch.set_num_threads(3 - threads)
    try:
        assert await lane.run(torch.get_num_threads) == threads
    finally:
        torch.set_num_threads(1)
        assert lane.close(timeout=LIMIT)


def careless() -> None:
    """What a user's code may leave behind."""
    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(False)
    torch.manual_seed(99)


async def test_each_job_starts_from_the_same_state_whatever_the_last_one_left(
    lane: TrainingLane,
) -> None:
    def state() -> tuple[object, ...]:
        return (
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            float(torch.rand(())),
            float(np.random.rand()),  # noqa: NPY002  (the global generator is meant)
        )

    def by_hand() -> tuple[float, float]:
        seed_everything(7)
        return float(torch.rand(())), float(np.random.rand())  # noqa: NPY002  (the global generator is meant)

    first = await lane.run(state, seed=7)
    await lane.run(careless)
    assert await lane.run(state, seed=7) == first == (1, True, True, *by_hand())
    assert (await lane.run(state, seed=8))[3] != first[3]


async def test_fits_that_are_asked_for_at_once_give_the_bits_of_fits_one_by_one(
    lane: TrainingLane,
) -> None:
    from functools import partial

    from actorfl.fit import fit
    from actorfl.local import SGD
    from tests.actorfl.test_fit import START, TASK

    def job(seed: int) -> bytes:
        run = partial(fit, TASK, TASK.pool(), START.vector, START.buffers)
        return run(local=SGD(0.1, batch=10), seed=seed).vector.tobytes()

    at_once = await asyncio.gather(*(lane.run(job, seed) for seed in range(6)))
    other = TrainingLane()
    one_by_one = [await other.run(job, seed) for seed in reversed(range(6))]
    assert other.close(timeout=LIMIT)
    assert list(at_once) == one_by_one[::-1]
    assert len(set(at_once)) == 6


async def test_an_exception_reaches_the_awaiter_with_its_traceback(lane: TrainingLane) -> None:
    def broken_on_purpose() -> None:
        raise KeyError("what the job says")

    with pytest.raises(KeyError, match="what the job says") as caught:
        await lane.run(broken_on_purpose)
    assert "broken_on_purpose" in "".join(traceback.format_tb(caught.value.__traceback__))
    assert lane.statistics().failed == 1
    assert await lane.run(lambda: 1) == 1


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()]
)
async def test_what_would_end_a_process_ends_neither_lane_nor_loop(
    lane: TrainingLane, error: BaseException
) -> None:
    def job() -> None:
        raise error

    with pytest.raises(JobExited, match=type(error).__name__) as caught:
        await lane.run(job)
    assert caught.value.__cause__ is error
    assert await lane.run(lambda: "alive") == "alive"


async def test_a_stop_iteration_does_not_leave_the_awaiter_waiting(lane: TrainingLane) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        async with asyncio.timeout(LIMIT):
            await lane.run(next, iter(()))


async def test_cancelling_the_waiter_drops_a_job_that_has_not_started(lane: TrainingLane) -> None:
    gate, ran = Gate(), threading.Event()
    first = asyncio.create_task(lane.run(gate))
    await gate.running()
    second = asyncio.create_task(lane.run(ran.set))
    await until(lambda: lane.statistics().queued == 1)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert (lane.statistics().queued, lane.statistics().dropped) == (0, 1)
    gate.release.set()
    assert await first == "through"
    await lane.run(lambda: None)
    assert not ran.is_set()


async def test_a_dropped_job_frees_its_arguments_before_its_turn(lane: TrainingLane) -> None:
    class Large:
        pass

    gate, large = Gate(), Large()
    gone = weakref.ref(large)
    first = asyncio.create_task(lane.run(gate))
    await gate.running()
    second = asyncio.create_task(lane.run(id, large))
    await until(lambda: lane.statistics().queued == 1)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    del large, second
    await until(lambda: collected(gone))
    gate.release.set()
    await first


async def test_an_idle_lane_holds_nothing_of_the_last_job(lane: TrainingLane) -> None:
    class Large:
        pass

    large = Large()
    gone = weakref.ref(large)
    assert await lane.run(lambda x: x, large) is large
    del large
    await until(lambda: collected(gone))


async def test_cancelling_the_waiter_drops_the_result_of_a_job_that_runs(
    lane: TrainingLane,
) -> None:
    gate = Gate()
    waiter = asyncio.create_task(lane.run(gate))
    await gate.running()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    gate.release.set()
    await lane.run(lambda: None)
    statistics = lane.statistics()
    assert (statistics.unclaimed, statistics.dropped, statistics.completed) == (1, 0, 2)


def test_a_loop_that_closed_meanwhile_does_not_hurt_the_lane() -> None:
    lane, gate = TrainingLane(), Gate()

    async def leave() -> None:
        waiter = asyncio.create_task(lane.run(gate))
        await gate.running()
        waiter.cancel()

    asyncio.run(leave())
    gate.release.set()
    assert asyncio.run(lane.run(lambda: "still here")) == "still here"
    assert lane.statistics().unclaimed == 1
    assert lane.close(timeout=LIMIT)


async def test_closing_refuses_new_jobs_and_those_that_wait() -> None:
    lane, gate = TrainingLane(), Gate()
    first = asyncio.create_task(lane.run(gate))
    await gate.running()
    second = asyncio.create_task(lane.run(lambda: None))
    await until(lambda: lane.statistics().queued == 1)
    assert not lane.close(timeout=0.0)
    gate.release.set()
    assert await first == "through"
    with pytest.raises(LaneClosed):
        await second
    with pytest.raises(LaneClosed):
        await lane.run(lambda: None)
    assert lane.close(timeout=LIMIT)


def test_a_lane_that_never_ran_closes_at_once() -> None:
    assert TrainingLane().close(timeout=0.0)


async def test_repr_and_statistics_tell_the_state() -> None:
    lane, gate = TrainingLane(), Gate()
    assert repr(lane) == "<TrainingLane idle threads=1 queued=0 completed=0 failed=0>"
    first = asyncio.create_task(lane.run(gate))
    await gate.running()
    second = asyncio.create_task(lane.run(lambda: None))
    await until(lambda: lane.statistics().queued == 1)
    assert repr(lane) == "<TrainingLane running threads=1 queued=1 completed=0 failed=0>"
    gate.release.set()
    await asyncio.gather(first, second)
    assert lane.statistics().busy_seconds > 0
    assert lane.close(timeout=LIMIT)
    assert repr(lane) == "<TrainingLane closed threads=1 queued=0 completed=2 failed=0>"


def test_no_threads_are_refused() -> None:
    with pytest.raises(WrongValue, match="threads of the training lane"):
        TrainingLane(0)


def test_a_process_has_one_shared_lane_with_one_thread_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lane_module, "_shared", None)
    first = shared_lane()
    assert shared_lane(1) is first
    with pytest.raises(Misfit, match="trains with 1 threads of torch a job, 2 were asked for"):
        shared_lane(2)
    first.close()
    assert shared_lane(2) is not first


async def test_without_torch_the_awaiter_is_told_what_to_install(
    lane: TrainingLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'actorfl\[torch\]'"):
        await lane.run(lambda: None)
    monkeypatch.undo()
    assert await lane.run(lambda: 1) == 1


EXIT = """
import asyncio, ctypes, sys, threading, time, torch
from actorfl.lane import TrainingLane

started = threading.Event()

def one_long_call():
    started.set()
    ctypes.CDLL(None).sleep(60)

def long_calls():
    a = torch.eye(2500)
    started.set()
    while True:
        a = a @ a

def backward():
    model = torch.nn.Linear(300, 300)
    while True:
        model(torch.randn(200, 300)).sum().backward()
        started.set()

class Custom(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x
    @staticmethod
    def backward(ctx, g):
        time.sleep(0.001)
        return g

def python_in_backward():
    while True:
        Custom.apply(torch.ones(3, requires_grad=True)).sum().backward()
        started.set()

async def main():
    lane = TrainingLane()
    waiter = asyncio.create_task(lane.run(globals()[sys.argv[1]]))
    await asyncio.to_thread(started.wait)
    waiter.cancel()

asyncio.run(main())
print("done", flush=True)
sys.exit(7)
"""


@pytest.mark.parametrize("job", ["long_calls", "one_long_call", "backward", "python_in_backward"])
def test_exit_neither_waits_for_a_job_that_runs_nor_aborts(job: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", EXIT, job], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"done\n"
        try:
            code = process.wait(LIMIT)
        finally:
            process.kill()
        assert (code, process.stderr.read()) == (7, b"")
