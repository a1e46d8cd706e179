from __future__ import annotations

import gc
import threading
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.landing import LandingPool, LandingRequest
from transports.weights import TensorSpec, Weights


def ask(pool: LandingPool, nbytes: int, got: list[memoryview]) -> LandingRequest:
    request = LandingRequest(nbytes, got.append)
    pool.request(request, lambda: None)
    return request


def test_a_buffer_is_lent_again_when_its_last_view_is_gone() -> None:
    gc.disable()  # reference counting alone must do
    try:
        pool = LandingPool(buffers=1)
        got: list[memoryview] = []
        ask(pool, 256, got)
        weights = Weights((TensorSpec("x", "float32", (64,), 0),), got.pop())
        views: list[Any] = [weights["x"], weights["x"][3:5], np.asarray(weights.buffer)]
        views.append(memoryview(weights.buffer)[1:])
        weights.release()
        while views:
            assert pool.statistics().leased == 1
            del views[-1]
        assert pool.statistics().leased == 0
        ask(pool, 256, got)
        assert len(got) == 1
        assert pool.statistics().allocated == 1
    finally:
        gc.enable()


def test_those_who_wait_are_served_in_order_and_the_withdrawn_are_passed_over() -> None:
    pool = LandingPool(buffers=1)
    got: list[memoryview] = []
    order: list[int] = []
    ask(pool, 10, got)
    requests = [
        LandingRequest(10, partial(lambda n, memory: order.append(n), number))
        for number in range(4)
    ]
    for request in requests:
        pool.request(request, lambda: None)
    requests[1].withdraw()
    assert pool.statistics().waiting == 3
    got.clear()
    pool.serve()
    pool.serve()
    pool.serve()
    assert order == [0, 2, 3]


def test_a_buffer_that_comes_back_on_another_thread_wakes_the_pool() -> None:
    pool = LandingPool(buffers=1)
    woken = threading.Event()
    got: list[memoryview] = []
    ask(pool, 10, got)
    pool.request(LandingRequest(10, got.append), woken.set)
    holder = [got.pop()]
    thread = threading.Thread(target=holder.clear)
    thread.start()
    thread.join()
    assert woken.is_set()
    pool.serve()
    assert len(got) == 1


def test_a_fitting_buffer_is_reused_and_an_unfitting_one_makes_room() -> None:
    pool = LandingPool(buffers=2)
    got: list[memoryview] = []
    ask(pool, 1000, got)
    ask(pool, 100, got)
    got.clear()
    ask(pool, 90, got)
    ask(pool, 900, got)
    assert pool.statistics().allocated == 2
    got.clear()
    ask(pool, 5000, got)
    statistics = pool.statistics()
    assert statistics.allocated == 3
    assert statistics.leased + statistics.free <= 2


def test_too_large_requests_and_empty_pools_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        LandingPool(buffers=0)
    pool = LandingPool(max_bytes=100)
    with pytest.raises(ValueError, match="exceed the 100"):
        ask(pool, 101, [])


@given(st.integers(1, 3), st.lists(st.integers(0, 5000) | st.none(), max_size=40))
def test_memory_stays_within_the_bound_and_every_buffer_is_aligned(
    buffers: int, steps: list[int | None]
) -> None:
    pool = LandingPool(buffers=buffers, max_bytes=5000)
    got: list[memoryview] = []
    asked = 0
    for step in steps:
        if step is None:
            got[:1] = []
            pool.serve()
        else:
            asked += 1
            ask(pool, step, got)
            if got and got[-1].nbytes == step and step:
                assert np.frombuffer(got[-1], np.uint8).ctypes.data % 64 == 0
        statistics = pool.statistics()
        assert statistics.leased == len(got) <= buffers
        assert statistics.leased + statistics.free <= buffers
        assert statistics.nbytes <= buffers * 5000
        assert statistics.landed + statistics.waiting == asked
        assert not (statistics.waiting and statistics.leased < buffers)


def test_representation() -> None:
    pool = LandingPool(buffers=2)
    got: list[memoryview] = []
    ask(pool, 64, got)
    assert repr(pool) == "<LandingPool leased=1/2 free=0 waiting=0 bytes=64>"
