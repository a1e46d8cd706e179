"""Events and dead letters are recorded, expected, and excluded by what a test says."""

from __future__ import annotations

import re

import pytest

from actors import (
    Actor,
    ActorFailure,
    ActorStopped,
    ActorSystem,
    DeadLetter,
    Event,
    Message,
    NoSuchActor,
)
from actors.testing import TestProbe, dead_letters, record

pytest_plugins = ["actors.testing.pytest_plugin"]


class Boom(Message[None]):
    text: str


class Other(Message[int]):
    pass


class Bomb(Actor):
    def boom(self, message: Boom) -> None:
        raise ValueError(message.text)


async def test_an_event_is_returned_once_and_in_order_and_others_stay(system: ActorSystem) -> None:
    everything = record(system, Event)
    with record(system, ActorFailure) as failures:
        for name in ("one", "two"):
            (await system.spawn(name, Bomb)).tell(Boom(name))
        by_two = await failures.next(where=lambda failure: failure.path == "/two")
        assert by_two.error == "ValueError: two"
        assert (await failures.next()).path == "/one"
        assert [failure.path for failure in failures.events] == ["/one", "/two"]
        await failures.expect_none(for_=0.05)
        assert repr(failures) == "<Recorded ActorFailure of test left=0/2>"
    (await system.spawn("three", Bomb)).tell(Boom("three"))
    await everything.next(
        where=lambda event: isinstance(event, ActorStopped) and "three" in event.path
    )
    assert not failures.left, "it has ended"
    assert len(everything.events) == 6


async def test_an_event_that_does_not_come_is_told_with_those_that_did(system: ActorSystem) -> None:
    failures = record(system, ActorFailure)
    (await system.spawn("one", Bomb)).tell(Boom("x"))

    def another(failure: ActorFailure) -> bool:
        return failure.path == "/two"

    sentence = "node test expected ActorFailure where another holds within 0.05 s; it had ActorFailure(path='/one'"
    with pytest.raises(AssertionError, match=re.escape(sentence)):
        await failures.next(timeout=0.05, where=another)
    await failures.expect_none(where=another)
    with pytest.raises(AssertionError, match="expected no ActorFailure, but had ActorFailure"):
        await failures.expect_none()


async def test_an_event_that_comes_in_the_time_of_none_is_told(system: ActorSystem) -> None:
    failures = record(system, ActorFailure)
    ref = await system.spawn("one", Bomb)
    system.world.clock.call_later(0.02, ref.tell, Boom("late"))
    with pytest.raises(AssertionError, match="late"):
        await failures.expect_none(for_=5.0)


async def test_a_dead_letter_is_expected_by_its_type_its_reason_and_its_receiver(
    system: ActorSystem,
) -> None:
    one, two, tw = [await system.spawn(name, Bomb) for name in ("one", "two", "tw")]
    await system.stop(one)
    with dead_letters(system) as letters:
        await letters.expect_none(for_=0.05)
        one.tell(Boom("x"))
        with pytest.raises(NoSuchActor):
            await one.ask(Other(), timeout=5)
        two.tell(Other())
        await letters.expect_none(for_=0.05, where=lambda letter: letter.to == tw.path)
        with pytest.raises(AssertionError, match="expected a Other to /tw to be"):
            await letters.expect(Other, to=tw, timeout=0.0)  # which is not /two
        found = await letters.expect(Other, reason="handles only Boom")
        assert found == DeadLetter(to="/two", message="Other", reason="it handles only Boom")
        with pytest.raises(
            AssertionError,
            match=r"expected a Other to /two to be a dead letter within 0 s; it had Dead.*Boom.*Other",
        ):
            await letters.expect(Other, to=two, timeout=0.0)
        await letters.expect(Other, to=one)
        assert [letter.message for letter in letters.unexpected()] == ["Boom"]
        await letters.expect(reason="no such actor")
        await letters.expect_none()


async def test_what_one_recorder_expected_another_does_not_miss(system: ActorSystem) -> None:
    outer, outer_came = dead_letters(system), record(system, DeadLetter)
    ref = await system.spawn("one", Bomb)
    for _ in range(2):
        ref.tell(Other())
    with dead_letters(system) as inner:
        for _ in range(2):
            await outer_came.next()
        await inner.expect(Other)
        assert len(outer.unexpected()) == 1, "equal letters are two"
        await inner.expect(Other)
        assert outer.unexpected() == ()


async def test_a_probe_that_stopped_is_a_receiver_that_is_gone(system: ActorSystem) -> None:
    probe = await TestProbe.on(system)
    await probe.stop()
    with dead_letters(system) as letters:
        probe.ref.tell(Other())
        await letters.expect(Other, to=probe.ref, reason="no such actor")
