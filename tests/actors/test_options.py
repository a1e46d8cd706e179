"""Numbers and words that cannot be are refused in a sentence where they are given."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from actors import (
    Actor,
    ActorGraph,
    Backoff,
    Inline,
    Message,
    Processes,
    Simulated,
    Strategy,
    UsageError,
    one_for_one,
    run,
)


class Quiet(Actor):
    def quiet(self, message: Quietly) -> None:
        pass


class Quietly(Message[None]):
    pass


WRONG: dict[str, Any] = {"whole": 2.5, "truth": True, "word": "3"}
NO_TIME: dict[str, Any] = {
    "nan": math.nan,
    "inf": math.inf,
    "minus": -1,
    "truth": True,
    "long": 10**400,
}


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize(
    "make",
    [
        lambda n: Strategy(intensity=n),
        lambda n: one_for_one(outside=n),
        Processes,
        lambda n: Processes(4, spare=n),
        Simulated,
        lambda n: Simulated(4, spare=n),
    ],
)
def test_a_count_that_is_no_whole_number_is_refused(
    make: Callable[[Any], object], value: Any
) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(value))):
        make(value)


@pytest.mark.parametrize("value", NO_TIME.values(), ids=NO_TIME)
@pytest.mark.parametrize("name", ["initial", "factor", "maximum", "jitter"])
def test_a_backoff_consists_of_finite_numbers(name: str, value: Any) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(UsageError, match=f"{name}={value!r}.* cannot be: .* finite numbers"):
        Backoff(**given)


def test_a_factor_beyond_all_floats_ends_at_the_maximum() -> None:
    assert Backoff(1.0, factor=1e100, jitter=0).delay(9, 0) == 5.0


@pytest.mark.parametrize("backoff", [3, 0])
def test_a_number_is_no_backoff_and_a_list_no_decider(backoff: Any) -> None:
    with pytest.raises(UsageError, match=f"backoff={backoff} is no Backoff"):
        one_for_one(backoff=backoff)
    decide: Any = []
    with pytest.raises(UsageError, match=r"decide=\[\] is no mapping"):
        one_for_one(decide=decide)
    with pytest.raises(UsageError, match="per is above 0 s"):
        one_for_one(per=math.nan)


@pytest.mark.parametrize("value", NO_TIME.values(), ids=NO_TIME)
@pytest.mark.parametrize("name", ["start", "compute"])
def test_a_simulated_time_is_finite(name: str, value: Any) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(UsageError, match=f"{name}={value!r}.* is no time"):
        Simulated(**given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("stuck_after", value) for value in (*NO_TIME.values(), 0, "5")),
        *(("unreachable_after", value) for value in (*NO_TIME.values(), 0)),
        ("generation", -1),
        ("generation", 1.5),
        ("durability", "x"),
    ],
)
async def test_what_a_start_cannot_be_given_is_refused_before_it(name: str, value: Any) -> None:
    graph = ActorGraph("g")
    with graph.supervisor("root"):
        graph.actor("a", Quiet)
    given: dict[str, Any] = {name: value, "before": lambda _: pytest.fail("it started")}
    with pytest.raises(UsageError, match=re.escape(f"start({name}={value!r})")):
        async with graph.start(Inline(), **given):
            pass


@pytest.mark.parametrize(
    ("name", "value"),
    [("mailbox", 0), ("overflow", "burst"), ("stop_timeout", math.nan), ("restart", "always")],
)
def test_a_child_is_started_with_the_options_of_a_declared_one(name: str, value: Any) -> None:
    async def main() -> None:
        graph = ActorGraph("g")
        with graph.supervisor("root"):
            graph.actor("a", Quiet)
        async with graph.start(Simulated(1)) as live:
            children = live.children("root")
            given: dict[str, Any] = {name: value}
            with pytest.raises(UsageError, match=re.escape(f"actor 'b' has {name}={value!r}")):
                await children.start("b", Quiet, **given)
            assert [child.name for child in await children.list()] == ["a"]

    run(main(), on=Simulated(1))
