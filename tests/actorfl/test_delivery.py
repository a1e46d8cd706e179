"""What nodes send each other arrives once: the two state machines, played under any disturbance."""

from __future__ import annotations

import asyncio
import random
from asyncio import Future
from dataclasses import dataclass, field

import pytest

from actorfl.delivery import Inbox, Kept, Known, Outbox, Tag, Ways


@dataclass
class World:
    """A sender, a receiver, and a network that loses, doubles, keeps and reorders.

    The sender sends ``each`` things between two saves; the receiver receives them in order, and
    saves now and then. Either dies at any time and goes on from its last save.
    """

    draw: random.Random
    each: int
    saved_out: tuple[tuple[Kept[int], ...], int] = ((), 0)
    saved_in: tuple[dict[str, Known], tuple[int, ...]] = field(default_factory=lambda: ({}, ()))
    on_the_way: list[tuple[str, Tag, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sender_dies()
        self.receiver_dies()

    def sender_dies(self) -> None:
        self.outbox: Outbox[int] = Outbox(*self.saved_out)
        self.sent = 0  # since the save

    def receiver_dies(self) -> None:
        self.inbox: Inbox[int] = Inbox(self.saved_in[0])
        self.received = list(self.saved_in[1])

    def send(self) -> None:
        if self.sent < self.each:
            number = self.outbox.epoch * self.each + self.sent
            self.sent += 1
            self.outbox.put("b", number, number)
            self.post(number)
        else:
            self.saved_out = (self.outbox.kept, self.outbox.epoch + 1)
            self.outbox.saved()
            self.sent = 0

    def post(self, tag: Tag) -> None:
        kept = self.outbox.get("b", tag)
        if kept is not None:
            self.on_the_way.append(("letter", tag, kept.epoch, self.outbox.floor("b")))

    def offer(self) -> None:
        for kept in self.outbox.for_("b"):
            self.on_the_way.append(("offer", kept.tag, kept.epoch, self.outbox.floor("b")))

    def network(self) -> None:
        if not self.on_the_way:
            return
        at = self.draw.randrange(len(self.on_the_way))
        kind, tag, epoch, floor = self.on_the_way[at]
        if self.draw.random() < 0.7:  # else it is delivered once more, some time
            del self.on_the_way[at]
        if self.draw.random() < 0.2:
            return
        if kind in {"taken", "missing"}:
            if kind == "taken":
                self.outbox.taken("b", [tag])
            else:
                self.post(tag)
            return
        self.inbox.forget("a", floor)
        state = self.inbox.state("a", tag, epoch)
        if kind == "letter":
            assert isinstance(tag, int)
            self.inbox.arrived("a", tag, epoch, tag)
        if state == "taken" or (kind == "offer" and state == "missing"):
            self.on_the_way.append((state, tag, 0, 0))

    def receive(self) -> None:
        found = self.inbox.receive(len(self.received), "a")
        if found is not None:
            self.received.append(found[1])
        # None of those that were received before is ever there again.
        assert all(self.inbox.receive(tag) is None for tag in range(len(self.received)))

    def save(self) -> None:
        known = self.inbox.to_save()
        self.saved_in = (known, tuple(self.received))
        for tags in self.inbox.saved(known).values():
            self.on_the_way += [("taken", tag, 0, 0) for tag in tags]


@pytest.mark.parametrize("each", [1, 3])
def test_all_that_is_sent_is_received_once_and_in_the_end_nothing_is_kept(each: int) -> None:
    for seed in range(6):
        draw = random.Random(seed)
        world = World(draw, each)
        steps = {
            world.send: 3, world.offer: 0.3, world.network: 12, world.receive: 4, world.save: 1,
            world.sender_dies: 0.3, world.receiver_dies: 0.3,
        }  # fmt: skip
        for step in draw.choices(list(steps), list(steps.values()), k=1500):
            step()
        world.send()  # once more what a sender had sent that died
        while world.sent:
            world.send()
        for _ in range(500):  # an end without deaths
            world.offer()
            while world.on_the_way:
                world.network()
            world.receive()
            world.save()
            if not world.outbox.kept:
                break
        assert world.received == list(range(world.outbox.epoch * each)), seed
        assert len(world.received) > 20
        assert world.outbox.kept == ()
        # The next letter says that all before it is over, and none of it is remembered any more.
        world.inbox.forget("a", world.outbox.floor("b"))
        assert world.inbox.to_save()["a"].received == {}


def test_what_is_kept_under_a_tag_is_not_replaced() -> None:
    outbox: Outbox[str] = Outbox()
    assert outbox.put("b", 1, "one") is not None
    assert outbox.put("b", 1, "two") is None
    assert outbox.put("c", 1, "three") is not None
    assert [kept.content for kept in outbox.kept] == ["one", "three"]


def test_the_floor_is_the_oldest_epoch_of_what_is_kept() -> None:
    outbox: Outbox[str] = Outbox()
    outbox.put("b", "old", "")
    outbox.saved()
    outbox.put("b", "new", "")
    assert (outbox.floor("b"), outbox.floor("c")) == (0, 1)
    outbox.taken("b", ["old"])
    assert outbox.floor("b") == 1


def test_how_much_waits_for_a_receiver_is_what_is_kept_and_held_for_it() -> None:
    outbox: Outbox[str] = Outbox([Kept("b", 0, 0, "of the save")])
    outbox.put("c", 1, "one")
    outbox.put("b", 1, "two")
    outbox.hold("b", 2, "three")
    assert [outbox.waiting(to) for to in "abc"] == [0, 3, 1]
    assert [kept.tag for kept in outbox.for_("b")] == [0, 1]
    outbox.saved(outbox.to_save())
    assert [kept.tag for kept in outbox.for_("b")] == [0, 1, 2]
    outbox.taken("b", [1, 1, 7])
    assert [outbox.waiting(to) for to in "abc"] == [0, 2, 1]
    assert [kept.content for kept in outbox.to_save()] == ["of the save", "one", "three"]


def asked(ways: Ways, looks: int) -> list[int]:
    """At which of the next looks the letter 1 to b is asked after."""
    found = []
    for number in range(1, looks + 1):
        ways.look()
        if ways.is_due("b", 1):
            found.append(number)
    return found


def sent(ways: Ways, looks: int) -> Future[None]:
    """The transfer of the letter 1 to b, which is still under way after so many looks."""
    done: Future[None] = asyncio.get_running_loop().create_future()
    ways.leaves("b", 1, done)
    assert asked(ways, looks) == []
    assert ways.under_way("b", 1)
    return done


async def test_what_came_before_the_first_look_is_asked_after_at_each() -> None:
    ways = Ways()
    sent(ways, 0).set_result(None)
    assert not ways.under_way("b", 1)
    assert asked(ways, 4) == [1, 2, 3, 4]


async def test_what_took_long_is_asked_after_as_seldom() -> None:
    ways = Ways()
    sent(ways, 4).set_result(None)
    assert asked(ways, 18) == [6, 11, 16]  # seen at the fifth look


async def test_what_a_cut_held_up_for_hours_is_not_asked_after_as_seldom() -> None:
    ways = Ways()
    sent(ways, 50 * Ways.LONGEST).set_result(None)
    assert asked(ways, 3 * Ways.LONGEST) == [Ways.LONGEST + 1, 2 * Ways.LONGEST + 1]


@pytest.mark.parametrize("how", ["fails", "is given up"])
async def test_what_did_not_come_is_asked_after_at_once(how: str) -> None:
    ways = Ways()
    done = sent(ways, 9)
    if how == "fails":
        done.set_exception(ConnectionError("the link is gone"))
    else:
        done.cancel()
    assert asked(ways, 3) == [1, 2, 3]


async def test_what_was_never_sent_or_is_forgotten_is_asked_after_at_each_look() -> None:
    ways = Ways()
    assert asked(ways, 3) == [1, 2, 3]
    sent(ways, 5).set_result(None)
    ways.forget("b", [1, 2])
    assert asked(ways, 3) == [1, 2, 3]


def test_a_save_makes_safe_what_was_received_before_it_and_nothing_later() -> None:
    inbox: Inbox[str] = Inbox()
    for tag in (1, 2):
        assert inbox.arrived("a", tag, 0, f"letter {tag}")
    assert inbox.receive(1) == ("a", "letter 1")
    known = inbox.to_save()
    assert inbox.receive(2, "a") == ("a", "letter 2")
    assert {name: list(tags) for name, tags in inbox.saved(known).items()} == {"a": [1]}
    assert [inbox.state("a", tag, 0) for tag in (1, 2, 3)] == ["taken", "here", "missing"]
    again: Inbox[str] = Inbox(known)
    assert [again.state("a", tag, 0) for tag in (1, 2, 3)] == ["taken", "missing", "missing"]


def test_what_belongs_to_a_time_that_is_over_is_forgotten_and_not_received() -> None:
    inbox: Inbox[str] = Inbox({"a": Known(0, {1: 0, 2: 1})})
    inbox.arrived("a", 3, 0, "a copy of long ago")
    inbox.forget("a", 1)
    assert inbox.receive(3) is None
    assert inbox.to_save()["a"] == Known(1, {2: 1})
    assert inbox.state("a", 1, 0) == "taken"
    inbox.forget("a", 0)  # what overtook it
    assert inbox.to_save()["a"].floor == 1
