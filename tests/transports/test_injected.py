"""Clock, randomness, identity and limits."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.clock import Clock, LoopClock
from transports.errors import AddressError
from transports.identity import NodeId
from transports.limits import Limits
from transports.rng import Rng, SeededRng, SystemRng, derive_seed


async def test_the_loop_clock_calls_later_and_can_be_cancelled() -> None:
    clock: Clock = LoopClock()
    called: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    cancelled = clock.call_later(0.0, called.set_exception, AssertionError("was cancelled"))
    cancelled.cancel()
    before = clock.now()
    clock.call_later(0.01, called.set_result, "yes")
    assert await asyncio.wait_for(called, 5) == "yes"
    assert clock.now() - before >= 0.009
    assert abs(clock.now_ns() / 1e9 - clock.now()) < 1
    assert clock.wall() > 1.6e9
    await clock.sleep(-1)


purposes = st.lists(st.text(max_size=5) | st.integers(), max_size=4).map(tuple)


@given(st.integers(), purposes, purposes)
def test_equal_purposes_give_equal_numbers_and_others_do_not(
    seed: int, one: tuple[str | int, ...], other: tuple[str | int, ...]
) -> None:
    rng: Rng = SeededRng(seed)
    assert rng.derive(*one).bits(64) == rng.derive(*one).bits(64)
    assert (derive_seed(seed, *one) == derive_seed(seed, *other)) == (one == other)


def test_deriving_draws_nothing_from_the_parent() -> None:
    one, two = SeededRng(1), SeededRng(1)
    one.derive("x")
    assert one.bits(64) == two.bits(64)
    assert one.uniform(2, 3) == two.uniform(2, 3)


def test_derived_seeds_are_the_same_in_every_process() -> None:
    program = "from transports.rng import derive_seed; print(derive_seed(7, 'worker', 3))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert outputs == {str(derive_seed(7, "worker", 3))}


def test_the_system_rng_is_within_its_bounds() -> None:
    rng: Rng = SystemRng()
    assert 0 <= rng.bits(8) < 256
    assert 1 <= rng.uniform(1, 2) <= 2
    assert rng.derive("anything") is rng


def test_a_node_is_named_by_name_and_incarnation_and_ordered_by_them() -> None:
    assert str(NodeId("worker", 0x1A2B3C)) == "worker#1a2b3c"
    assert NodeId("a", 9) < NodeId("b", 1) < NodeId("b", 2)
    fresh = NodeId.fresh("w", SeededRng(1))
    assert fresh == NodeId.fresh("w", SeededRng(1))
    assert 0 <= fresh.incarnation < 2**48


@pytest.mark.parametrize("name", ["", "a" * 129, "a#b", "a/b", "a\nb"])
def test_bad_node_names_are_refused(name: str) -> None:
    with pytest.raises(AddressError):
        NodeId.fresh(name, SeededRng(1))


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="chunk = 0"):
        Limits(chunk=0)
    with pytest.raises(ValueError, match="half of control_window"):
        Limits(control_window=1000, max_message=501)
    with pytest.raises(ValueError, match="max_frame"):
        Limits(max_frame=1 << 20)
