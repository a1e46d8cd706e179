"""A probe takes anything, says what it missed, and answers as it is told."""

from __future__ import annotations

import asyncio
import re

import numpy as np
import pytest

from actors import (
    Actor,
    ActorFailed,
    ActorRef,
    ActorSystem,
    AskTimeout,
    Message,
    Terminated,
    UsageError,
)
from actors.item import TELL, Item
from actors.testing import ActorsRunner, TestProbe, dead_letters
from actors.testing import arrivals as arrivals_of
from actors.testing import probe as probe_of
from transports import Weights

pytest_plugins = ["actors.testing.pytest_plugin"]


class Greet(Message[str]):
    name: str


class Politely(Greet):
    title: str = "Dr"


class Count(Message[int]):
    pass


class Load(Message[float]):
    weights: Weights


class Meet(Message[None]):
    other: ActorRef


class Picky(Message[None]):
    number: int

    def __post_init__(self) -> None:
        if self.number > 1:
            raise ZeroDivisionError("as told")


class Quiet(Actor):
    """Does nothing."""


@pytest.fixture
def probe(system: ActorSystem, actors_runner: ActorsRunner) -> TestProbe:
    return actors_runner.run(TestProbe.on(system))


def says(sentence: str) -> str:
    return f"^{re.escape(sentence)}$"


# -- expecting -------------------------------------------------------------------------------------


async def test_messages_of_every_type_come_in_order_with_all_that_is_in_them(
    probe: TestProbe, system: ActorSystem
) -> None:
    other = await TestProbe.on(system)
    sent = [Greet("a"), Count(), Meet(other.ref), Politely("b", "Prof")]
    for message in sent:
        probe.ref.tell(message)
    assert (await probe.expect_message(Greet)).name == "a"
    await probe.expect_message(Count)
    (await probe.expect_message(Meet)).other.tell(Count())
    await other.expect_message(Count)
    assert (await probe.expect_message(Politely)).title == "Prof"
    assert probe.messages == tuple(sent)
    assert other.ref.name == "probe2"


async def test_weights_come_with_their_message_told_and_asked(probe: TestProbe) -> None:
    weights = Weights.of({"w": np.ones(10_000, np.float32)})
    probe.ref.tell(Load(weights))
    assert float((await probe.expect_message(Load)).weights["w"].sum()) == 10_000.0
    ask = asyncio.ensure_future(probe.ref.ask(Load(weights), timeout=5))
    load = await probe.expect_message(Load)
    probe.asked(load).reply(float(load.weights["w"].sum()))
    assert await ask == 10_000.0


async def test_a_derived_message_is_of_the_type_that_it_is_derived_from(probe: TestProbe) -> None:
    probe.ref.tell(Politely("a"))
    assert await probe.expect_message(Greet) == Politely("a")


async def test_a_class_that_is_defined_again_is_read_as_the_one_that_is_asked_for(
    probe: TestProbe,
) -> None:
    def define() -> type[Count]:
        class Again(Count):
            pass

        return Again

    first, second = define(), define()
    for kind in (first, second):
        probe.ref.tell(first())
        assert type(await probe.expect_message(kind)) is kind
    probe.ref.tell(first())
    assert type(await probe.expect_message(Count)) is second


async def test_another_message_is_told_with_what_is_still_in_the_queue(probe: TestProbe) -> None:
    for message in (Greet("a"), Count(), Count()):
        probe.ref.tell(message)
    await probe.expect_message(Greet, where=lambda greet: greet.name == "a")
    with pytest.raises(
        AssertionError,
        match=says("/probe expected a Greet, but Count() came; still in the queue: Count()"),
    ):
        await probe.expect_message(Greet)


async def test_a_message_that_does_not_satisfy_is_told_with_the_name_of_the_condition(
    probe: TestProbe,
) -> None:
    def short(greet: Greet) -> bool:
        return len(greet.name) < 3

    probe.ref.tell(Greet("abc"))
    sentence = (
        "/probe expected a Greet where short holds, but Greet(name='abc') came; "
        "still in the queue: nothing"
    )
    with pytest.raises(AssertionError, match=says(sentence)):
        await probe.expect_message(Greet, where=short)


async def test_a_message_that_does_not_come_is_told_after_its_time(
    probe: TestProbe, system: ActorSystem
) -> None:
    began = system.world.clock.now()
    sentence = (
        "/probe expected a Greet, but nothing came within 0.05 s; still in the queue: nothing"
    )
    with pytest.raises(AssertionError, match=says(sentence)):
        await probe.expect_message(Greet, timeout=0.05)
    assert system.world.clock.now() - began >= 0.05 - 1e-3
    await probe.stop()
    with pytest.raises(AssertionError, match=r"\(the probe was stopped\)"):
        await probe.expect_message(Greet, timeout=0.0)


async def test_a_message_that_comes_while_it_is_awaited_ends_the_wait(
    probe: TestProbe, system: ActorSystem
) -> None:
    system.world.clock.call_later(0.05, probe.ref.tell, Count())
    began = system.world.clock.now()
    await probe.expect_message(Count, timeout=float("inf"))
    assert system.world.clock.now() - began < 2.0


async def test_fishing_drops_what_comes_before(probe: TestProbe) -> None:
    for message in (Count(), Greet("a"), Greet("b"), Count()):
        probe.ref.tell(message)
    assert (await probe.fish_for_message(Greet, where=lambda greet: greet.name == "b")).name == "b"
    with pytest.raises(AssertionError, match=r"fished for a Greet, .* there came Count\(\)$"):
        await probe.fish_for_message(Greet, timeout=0.05)


async def test_no_message_is_expected_for_a_time(probe: TestProbe, system: ActorSystem) -> None:
    await probe.expect_no_message(for_=0.05)
    system.world.clock.call_later(0.02, probe.ref.tell, Greet("late"))
    with pytest.raises(
        AssertionError, match=r"no message for 5 s, but Greet\(name='late'\) came; still .* nothing"
    ):
        await probe.expect_no_message(for_=5.0)


@pytest.mark.parametrize("timeout", [float("nan"), -1.0])
async def test_a_time_that_is_none_is_refused(probe: TestProbe, timeout: float) -> None:
    with pytest.raises(UsageError, match="a number of seconds from 0"):
        await probe.expect_message(Greet, timeout=timeout)


async def test_what_cannot_be_read_is_told_when_it_is_expected_and_costs_the_probe_nothing(
    probe: TestProbe, system: ActorSystem
) -> None:
    def send(body: bytes) -> None:
        link = system.router.link_to(system.name)
        assert link is not None
        link.send(Item(probe.ref.uid, 0, TELL, body), len(body))

    send(system.codec.encode(Picky(1))[0].replace(b"\x01", b"\x02"))
    with pytest.raises(AssertionError, match="a Picky came that cannot be read: as told"):
        await probe.expect_message(Picky)
    with pytest.raises(AssertionError, match="expected a Greet, but <Picky, which cannot be read"):
        await probe.expect_message(Greet)
    with dead_letters(system) as letters:
        for body in (b"\x91\xa3x:Y", b"\x92", b"", b"\x90", b"\x91\x01"):
            send(body)
        probe.ref.tell(Count())
        await probe.fish_for_message(Count)
        for _ in range(2):
            await letters.expect(reason="not understood")
        await letters.expect_none()
    assert probe.messages == (Count(),)


async def test_a_flood_is_bounded_and_the_rest_are_dead_letters(
    probe: TestProbe, system: ActorSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_of, "KEPT", 20)
    with dead_letters(system) as letters:
        for _ in range(21):
            probe.ref.tell(Count())
        await letters.expect(Count, reason="the test did not expect the 20 before it")
    sentence = f"still in the queue: {', '.join(['Count()'] * 10)} and 9 more"
    with pytest.raises(
        AssertionError, match=says(f"/probe expected a Greet, but Count() came; {sentence}")
    ):
        await probe.expect_message(Greet)


def test_values_in_a_sentence_are_cut() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise KeyError("no")

    assert len(arrivals_of.shown("x" * 1000)) == 200
    assert "whose repr raised KeyError" in arrivals_of.shown(Odd())


# -- watching --------------------------------------------------------------------------------------


async def test_an_actor_that_goes_is_expected_in_any_order_with_its_reason(
    probe: TestProbe, system: ActorSystem
) -> None:
    one, two = [await system.spawn(name, Quiet) for name in ("one", "two")]
    for ref in (one, two):
        probe.watch(ref)
    probe.ref.tell(Count())
    await system.stop(one)
    await system.stop(two)
    gone = await probe.expect_terminated(two)
    assert (gone.path, gone.reason) == ("/two", "stopped")
    await probe.expect_terminated(one)
    await probe.expect_message(Count)
    await probe.expect_no_message(for_=0.05)
    gone = await probe.expect_terminated(one)
    assert gone.path == "/one", "it is heard of when it is dead already, too"


async def test_an_actor_that_lives_is_told_and_nothing_is_heard_of_one_that_is_not_watched(
    probe: TestProbe, system: ActorSystem
) -> None:
    ref = await system.spawn("quiet", Quiet)
    with pytest.raises(AssertionError, match=r"expected <ActorRef .*/quiet running .* to be gone"):
        await probe.expect_terminated(ref, timeout=0.05)
    probe.unwatch(ref)
    await system.stop(ref)
    await probe.expect_no_message(for_=0.05)
    assert not any(isinstance(message, Terminated) for message in probe.messages)


# -- answering -------------------------------------------------------------------------------------


async def test_asks_wait_until_each_is_answered_by_itself(probe: TestProbe) -> None:
    asks = [asyncio.ensure_future(probe.ref.ask(Greet(name), timeout=5)) for name in "abc"]
    greets = [await probe.expect_message(Greet) for _ in asks]
    for greet in reversed(greets):
        probe.asked(greet).reply(f"hello {greet.name}")
    assert await asyncio.gather(*asks) == ["hello a", "hello b", "hello c"]
    with pytest.raises(UsageError, match="nobody waits for an answer of /probe to Greet"):
        probe.asked(greets[0])


async def test_a_message_that_was_told_has_no_asker(probe: TestProbe) -> None:
    probe.ref.tell(Greet("a"))
    with pytest.raises(UsageError, match="it was told"):
        probe.asked(await probe.expect_message(Greet))


async def test_an_ask_that_is_failed_is_failed_at_the_asker_and_the_probe_lives(
    probe: TestProbe,
) -> None:
    ask = asyncio.ensure_future(probe.ref.ask(Greet("a"), timeout=5))
    probe.asked(await probe.expect_message(Greet)).fail(ValueError("as told"))
    with pytest.raises(ActorFailed, match="/probe failed on Greet: ValueError: as told"):
        await ask
    probe.when(Count).fail(ValueError("always"))
    for _ in range(2):
        with pytest.raises(ActorFailed, match="always"):
            await probe.ref.ask(Count(), timeout=5)


async def test_what_is_declared_answers_at_once_and_is_still_expected(probe: TestProbe) -> None:
    probe.when(Greet).reply("hello")
    probe.when(Politely).reply_with(lambda politely: f"{politely.title} {politely.name}")
    assert await probe.ref.ask(Greet("a"), timeout=5) == "hello"
    assert await probe.ref.ask(Politely("a"), timeout=5) == "Dr a"
    await probe.expect_message(Greet)
    await probe.expect_message(Politely)
    probe.when(Greet).wait()
    with pytest.raises(AskTimeout):
        await probe.ref.ask(Greet("a"), timeout=0.05)


async def test_an_answer_of_another_type_is_refused_by_the_checker_and_at_run_time(
    probe: TestProbe,
) -> None:
    with pytest.raises(UsageError, match=r"cannot answer Greet, a Message\[str\], by 5"):
        probe.when(Greet).reply(5)  # type: ignore[arg-type]  # which is what is tested
    probe.when(Count).reply_with(lambda _: "five")  # type: ignore[arg-type,return-value]  # as above
    with pytest.raises(ActorFailed, match=r"cannot answer Count, a Message\[int\], by 'five'"):
        await probe.ref.ask(Count(), timeout=5)
    ask = asyncio.ensure_future(probe.ref.ask(Greet("a"), timeout=5))
    greet = await probe.fish_for_message(Greet)
    with pytest.raises(UsageError, match="by None"):
        probe.asked(greet).reply(None)  # type: ignore[arg-type]  # as above
    probe.asked(greet).reply("right")
    assert await ask == "right"


async def test_who_waits_for_a_probe_that_is_stopped_is_told(probe: TestProbe) -> None:
    ask = asyncio.ensure_future(probe.ref.ask(Greet("a"), timeout=60))
    await probe.expect_message(Greet)
    await probe.stop()
    with pytest.raises(ActorFailed, match="stopped before it answered"):
        await ask


async def test_a_probe_says_how_it_stands(probe: TestProbe) -> None:
    ask = asyncio.ensure_future(probe.ref.ask(Greet("a"), timeout=60))
    greet = await probe.expect_message(Greet)
    probe.ref.tell(Count())
    with pytest.raises(AssertionError):
        await probe.expect_no_message()
    assert repr(probe) == "<TestProbe test/probe queue=1 asks=1>"
    assert repr(probe.asked(greet)) == "<Asked Greet(name='a')>"
    probe.asked(greet).reply("")
    await ask
