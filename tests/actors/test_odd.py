"""What cannot be read costs itself: no other message, no ask, no actor."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from actors import (
    Actor,
    ActorFailed,
    ActorSystem,
    Message,
    NotStarted,
    UsageError,
)
from actors.item import TELL, Item
from actors.testing import dead_letters

pytest_plugins = ["actors.testing.pytest_plugin"]


class Odd(msgspec.Struct):
    """A value that only its maker can read."""

    number: int

    def __post_init__(self) -> None:
        if self.number > 1:
            raise KeyError(self.number)


class GiveOdd(Message[Odd]):
    pass


class Give(Message[int]):
    pass


class Picky(Message[int]):
    number: int

    def __post_init__(self) -> None:
        if self.number > 1:
            raise ZeroDivisionError("as told")


class Unhandled(Message[int]):
    pass


class Giver(Actor):
    def give(self, message: Give) -> int:
        return 1

    def odd(self, message: GiveOdd) -> Odd:
        odd = Odd(1)
        odd.number = 2
        return odd

    def picky(self, message: Picky) -> int:
        return message.number


def two() -> Picky:
    """One that its receiver cannot make."""
    picky = Picky(1)
    msgspec.structs.force_setattr(picky, "number", 2)
    return picky


async def test_a_reply_that_cannot_be_read_ends_its_ask_and_no_other(system: ActorSystem) -> None:
    ref = await system.spawn("giver", Giver)
    asks = [ref.ask(message, timeout=5) for message in (Give(), GiveOdd(), Give(), Give())]
    first, odd, *others = await asyncio.gather(*asks, return_exceptions=True)
    assert [first, *others] == [1, 1, 1]
    assert isinstance(odd, ActorFailed)
    assert "the reply of /giver to GiveOdd is not a" in str(odd)
    assert system.statistics().asks == 0


async def test_a_message_that_cannot_be_read_is_a_dead_letter_and_its_actor_lives(
    system: ActorSystem,
) -> None:
    letters = dead_letters(system)
    ref = await system.spawn("giver", Giver)
    ref.tell(two())
    with pytest.raises(NotStarted, match="not understood: as told"):
        await ref.ask(two(), timeout=5)
    link = system.router.link_to(system.name)
    assert link is not None
    bodies = [
        b"\x91" * 100_000,  # too deep
        b"\x81\x01" * 100_000,
        b"\x92\xa4\xff\xff\xff\xff\x01",  # text that is none
        b"\x92\xaetest_odd:Picky\xa1\xff",
        b"",
        b"\xc1",
    ]
    for body in bodies:
        for uid in (ref.uid, 4711):  # the second is nobody
            link.send(Item(uid, 0, TELL, body), len(body))
    assert await ref.ask(Give(), timeout=5) == 1
    for _ in range(2):
        await letters.expect(Picky, to=ref, reason="not understood: as told")
    for _ in bodies:
        await letters.expect(to=system.ref(("here", "/nobody", 4711)), reason="no such actor")
        await letters.expect(to=ref)
    await letters.expect_none()


async def test_a_message_that_is_not_handled_is_told_what_is(system: ActorSystem) -> None:
    ref = await system.spawn("giver", Giver)
    with dead_letters(system) as letters:
        with pytest.raises(NotStarted, match="it handles only Give, GiveOdd, Picky"):
            await ref.ask(Unhandled(), timeout=5)
        await letters.expect(Unhandled)


@pytest.mark.parametrize("timeout", [float("nan"), -1.0])
async def test_a_timeout_that_is_none_is_refused(system: ActorSystem, timeout: float) -> None:
    ref = await system.spawn("giver", Giver)
    with pytest.raises(UsageError, match="no time to wait; give a number of seconds from 0"):
        await ref.ask(Give(), timeout=timeout)
    assert await ref.ask(Give(), timeout=float("inf")) == 1
