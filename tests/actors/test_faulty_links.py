"""What becomes of messages between nodes: which are chosen, how often, how late, in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import (
    Cut,
    Delay,
    Drop,
    Duplicate,
    FaultPlan,
    Jitter,
    Message,
    Partition,
    Reorder,
    Throttle,
)
from actors.faults.kinds import MessageFault
from actors.faults.links import LONGEST_HOLD, OUT_OF_ORDER, FaultyLinks
from actors.faults.parcel import Parcel
from actors.item import ASK, OVERHEAD, REPLY, TELL, Item
from transports.sim import SimClock, SimLoop

MESSAGES = 4_000
PARCEL = Parcel(Item(1, 0, TELL), (), lambda _: "/a")


def arrivals(
    plan: FaultPlan, sources: list[str], *, silent: bool = False
) -> tuple[dict[str, list[int]], FaultyLinks]:
    """What arrives of numbered messages sent a millisecond apart, in order, by source."""
    loop = SimLoop()
    links = FaultyLinks(plan, "here", 0, SimClock(loop), 0.0, silent=silent)
    came: dict[str, list[int]] = {source: [] for source in sources}

    def sending(number: int) -> Callable[[], None]:
        def send() -> None:
            for source in sources:
                links.deliver(source, PARCEL, came[source].append, number)

        return send

    for number in range(MESSAGES):
        loop.call_later(number / 1000, sending(number))
    loop.call_later(MESSAGES / 1000 + 10, loop.stop)
    loop.run_forever()
    loop.close()
    return came, links


def test_faults_take_effect_as_often_as_the_plan_says() -> None:
    plan = FaultPlan(Drop(0.1), Duplicate(0.05), Jitter(0.02, p=0.2), seed=1)
    came, links = arrivals(plan, ["there"])
    counts = links.counts
    assert counts["drop"] == pytest.approx(0.1 * MESSAGES, rel=0.2)
    assert counts["duplicate"] == pytest.approx(0.05 * MESSAGES, rel=0.2)
    assert counts["jitter"] == pytest.approx(0.2 * MESSAGES, rel=0.2)
    assert len(came["there"]) == MESSAGES - counts["drop"] + counts["duplicate"]
    assert len(set(came["there"])) == MESSAGES - counts["drop"]
    assert came["there"] != sorted(came["there"])
    assert counts[OUT_OF_ORDER] == inversions(list(dict.fromkeys(came["there"])))


def inversions(numbers: list[int]) -> int:
    """How many of them come after a larger one."""
    return sum(number < max(numbers[: i + 1]) for i, number in enumerate(numbers))


def test_a_message_that_is_held_back_comes_after_the_next_one() -> None:
    came, links = arrivals(FaultPlan(Reorder(0.1), seed=1), ["there"])
    counts, numbers = links.counts, came["there"]
    assert sorted(numbers) == list(range(MESSAGES))
    assert counts["reorder"] == pytest.approx(0.1 * MESSAGES, rel=0.2)
    assert counts[OUT_OF_ORDER] == inversions(numbers)
    # Each after the first that was not held back itself, and none later than that.
    assert max(abs(at - number) for at, number in enumerate(numbers)) < 6
    assert (counts["drop"], counts["duplicate"], counts["jitter"]) == (0, 0, 0)


def test_one_that_nothing_follows_arrives_after_a_second_even_so() -> None:
    loop = SimLoop()
    links = FaultyLinks(FaultPlan(Reorder(1.0)), "here", 0, SimClock(loop), 0.0)
    came: list[tuple[str, float]] = []

    def take(name: str) -> None:
        came.append((name, loop.time()))

    for name in ("first", "second"):
        links.deliver("there", PARCEL, take, name)
    loop.call_later(5, loop.stop)
    loop.run_forever()
    loop.close()
    assert came == [("first", LONGEST_HOLD), ("second", LONGEST_HOLD)]
    assert links.counts[OUT_OF_ORDER] == 0


def test_a_link_more_changes_nothing_on_another() -> None:
    plan = FaultPlan(Drop(0.3), seed=2)
    alone, _ = arrivals(plan, ["a"])
    both, _ = arrivals(plan, ["b", "a"])
    assert both["a"] == alone["a"]
    assert both["b"] != both["a"]


def test_faults_end_when_the_plan_says() -> None:
    came, _ = arrivals(FaultPlan(Drop(1.0), until=1.0), ["there"])
    assert came["there"] == list(range(1000, MESSAGES))


# -- which messages ------------------------------------------------------------------------------


class Moment(msgspec.Struct, frozen=True, array_like=True):
    where: str
    clock: int


class Plain(Message[None]):
    pass


class Clocked(Message[None]):
    text: str
    clock: int


class Stamped(Message[None]):
    moment: Moment
    text: str = ""


def parcel(message: Message[None], path: str = "/shop/till", kind: int = TELL) -> Parcel:
    return Parcel(Item(1, 0, kind, msgspec.msgpack.encode(message)), (), lambda _: path)


def lost(fault: MessageFault | Cut, source: str, one: Parcel, *, node: str = "here") -> bool:
    """Whether a fault that takes effect for sure loses it."""
    loop = SimLoop()
    came: list[str] = []
    FaultyLinks(FaultPlan(fault), node, 0, SimClock(loop), 0.0).deliver(
        source, one, came.append, ""
    )
    loop.close()
    return not came


@pytest.mark.parametrize(
    ("fault", "chosen", "passed"),
    [
        (Drop(source="p*"), ("p3", parcel(Plain())), ("q3", parcel(Plain()))),
        (Drop(actor="/shop/*"), ("p0", parcel(Plain())), ("p0", parcel(Plain(), "/stock/till"))),
        (Drop(message="Pl*n"), ("p0", parcel(Plain())), ("p0", parcel(Clocked("", 1)))),
        (Drop(message="Plain"), ("p0", parcel(Plain(), kind=ASK)), ("p0", parcel(Plain(), kind=REPLY))),
        (Drop(rounds=(2, 3)), ("p0", parcel(Clocked("", 2))), ("p0", parcel(Clocked("", 4)))),
        (Drop(rounds=(2, 3)), ("p0", parcel(Clocked("", 3))), ("p0", parcel(Clocked("", 1)))),
        (Drop(rounds=(2, 3)), ("p0", parcel(Stamped(Moment("a", 3)))), ("p0", parcel(Plain()))),
        (Drop(rounds=(0, 9)), ("p0", parcel(Stamped(Moment("a", 9)))), ("p0", parcel(Stamped(Moment("a", 10))))),
        (Cut("p0", "here"), ("p0", parcel(Plain())), ("p1", parcel(Plain()))),
        (Cut("p[01]", "*"), ("p1", parcel(Plain(), kind=REPLY)), ("p2", parcel(Plain(), kind=REPLY))),
    ],
)  # fmt: skip
def test_a_fault_falls_on_the_messages_that_it_names_and_on_no_other(
    fault: MessageFault | Cut, chosen: tuple[str, Parcel], passed: tuple[str, Parcel]
) -> None:
    assert lost(fault, *chosen)
    assert not lost(fault, *passed)


def test_a_fault_for_another_target_leaves_a_node_alone() -> None:
    assert lost(Drop(target="h*"), "p0", PARCEL)
    assert not lost(Drop(target="p*"), "p0", PARCEL)
    assert not lost(Cut("here", "p0"), "p0", PARCEL)
    assert lost(Cut("here", "p0"), "here", PARCEL, node="p0")


@given(st.binary(max_size=40))
def test_a_body_that_cannot_be_read_is_of_no_class_and_no_round(body: bytes) -> None:
    garbled = Parcel(Item(1, 0, TELL, b"\x93\xa3a:b" + body), (), lambda _: "")
    assert garbled.message in {"b", ""}
    assert garbled.clock is None


def test_a_fault_holds_from_its_beginning_up_to_its_end() -> None:
    came, _ = arrivals(FaultPlan(Drop(after=1.0, before=2.0)), ["there"])
    assert came["there"] == [*range(1000), *range(2000, MESSAGES)]


def test_times_count_from_the_start_of_the_launcher_whatever_a_clock_shows() -> None:
    loop = SimLoop()
    links = FaultyLinks(FaultPlan(Drop(before=5.0)), "here", 0, SimClock(loop), -4.0)
    came: list[int] = []
    for number in range(3):
        loop.call_later(number, links.deliver, "there", PARCEL, came.append, number)
    loop.call_later(3, loop.stop)
    loop.run_forever()
    loop.close()
    assert came == [1, 2]


# -- how late ------------------------------------------------------------------------------------


def timed(
    plan: FaultPlan, sent: Sequence[float], one: Parcel = PARCEL
) -> tuple[list[tuple[int, float]], FaultyLinks]:
    """(number, time) of what arrives of messages that are sent at these times."""
    loop = SimLoop()
    links = FaultyLinks(plan, "here", 0, SimClock(loop), 0.0)
    came: list[tuple[int, float]] = []

    def take(number: int) -> None:
        came.append((number, round(loop.time(), 9)))

    for number, at in enumerate(sent):
        loop.call_later(at, links.deliver, "there", one, take, number)
    loop.call_later(1000, loop.stop)
    loop.run_forever()
    loop.close()
    return came, links


@settings(max_examples=50)
@given(st.lists(st.floats(0, 20), min_size=1, max_size=30).map(sorted))
def test_a_throttle_lets_no_more_through_than_its_rate_and_in_order(sent: list[float]) -> None:
    came, links = timed(FaultPlan(Throttle(OVERHEAD)), sent)  # one a second
    assert [number for number, _ in came] == list(range(len(sent)))
    free = 0.0
    for (_, at), began in zip(came, sent, strict=True):
        free = max(free, began) + 1.0
        assert at == pytest.approx(free, abs=1e-6)
    assert links.counts["throttle"] == len(sent)


def test_what_waits_when_a_throttle_ends_is_not_overtaken() -> None:
    came, _ = timed(FaultPlan(Throttle(OVERHEAD, before=2.0)), [0.0, 0.0, 0.0, 0.0, 2.5, 6.0])
    assert came == [(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0), (4, 4.0), (5, 6.0)]


def test_a_larger_message_takes_longer_through_a_throttle() -> None:
    small, large = parcel(Clocked("", 0)), parcel(Clocked("x" * 1000, 0))
    (first,), (second,) = (
        timed(FaultPlan(Throttle(100.0)), [0.0], one)[0] for one in (small, large)
    )
    assert second[1] - first[1] == pytest.approx(10.0, abs=0.1)


@pytest.mark.parametrize("turned", [False, True])
def test_delay_and_throttle_add_up_in_either_order(turned: bool) -> None:
    faults = (Throttle(OVERHEAD), Delay(5.0))
    came, _ = timed(FaultPlan(*faults[:: -1 if turned else 1]), [0.0, 0.0])
    assert came == [(0, 6.0), (1, 7.0)]


def test_both_copies_of_a_message_are_delayed_and_jitter_moves_the_second_alone() -> None:
    came, links = timed(FaultPlan(Duplicate(), Delay(5.0)), [0.0])
    assert came == [(0, 5.0), (0, 5.0)]
    assert links.counts == {"duplicate": 1, "delay": 1}
    came, links = timed(FaultPlan(Duplicate(), Jitter(8.0)), [0.0])
    (first, second) = (at for _, at in came)
    assert (first, 0.0 < second <= 8.0) == (0.0, True)
    assert links.counts == {"duplicate": 1, "jitter": 1}


def test_what_is_lost_counts_as_lost_and_as_nothing_else() -> None:
    came, links = timed(FaultPlan(Delay(1.0), Duplicate(), Throttle(1.0), Drop()), [0.0])
    assert (came, links.counts) == ([], {"drop": 1})


def test_a_silent_partition_loses_what_comes_from_the_other_side_until_it_heals() -> None:
    plan = FaultPlan(Partition((("here", "near"),), after=1.0, before=2.0))
    loop = SimLoop()
    links = FaultyLinks(plan, "here", 0, SimClock(loop), 0.0, silent=True)
    came: list[tuple[str, int]] = []
    for number in range(3):
        for source in ("near", "far"):
            what = (source, number)
            loop.call_later(number, links.deliver, source, PARCEL, came.append, what)
    loop.call_later(5, loop.stop)
    loop.run_forever()
    loop.close()
    assert came == [("near", 0), ("far", 0), ("near", 1), ("near", 2), ("far", 2)]
    assert links.counts == {"partition": 1}


# -- what is drawn -------------------------------------------------------------------------------

MANY: tuple[MessageFault | Partition | Cut, ...] = (
    Drop(0.2), Drop(0.3, after=1.0), Cut("there", "*", after=2.0, before=2.2),
    Throttle(1e6, after=3.0), Delay(0.01, p=0.2), Partition((("here",),), after=1.5, before=1.6),
)  # fmt: skip


@settings(max_examples=4)
@given(st.sets(st.sampled_from(MANY)), st.booleans())
def test_faults_more_or_less_move_no_draw_of_another(
    others: set[MessageFault | Partition | Cut], before: bool
) -> None:
    alone, _ = arrivals(FaultPlan(Duplicate(0.3), seed=5), ["there"])
    doubled = {number for number in alone["there"] if alone["there"].count(number) > 1}
    around = sorted(others, key=repr)
    faults = (*around, Duplicate(0.3)) if before else (Duplicate(0.3), *around)
    came, _ = arrivals(FaultPlan(*faults, seed=5), ["there"], silent=True)
    left = set(came["there"])
    assert {n for n in left if came["there"].count(n) > 1} == doubled & left


def test_two_faults_alike_are_drawn_each_for_itself() -> None:
    came, _ = arrivals(FaultPlan(Drop(0.5), Drop(0.5), seed=1), ["there"])
    assert len(came["there"]) == pytest.approx(MESSAGES / 4, rel=0.15)


def test_another_seed_or_start_of_the_node_draws_otherwise() -> None:
    one, again, other = (arrivals(FaultPlan(Drop(0.3), seed=n), ["there"])[0] for n in (1, 1, 2))
    assert one == again != other
