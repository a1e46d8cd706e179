"""Failures of actors leave a trace where nobody subscribes to events, each once, and no flood."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import actors
from actors import (
    Actor,
    ActorFailed,
    ActorGraph,
    ActorSystem,
    AskError,
    Backoff,
    GaveUp,
    Inline,
    Message,
    NodeDied,
    NodeStarted,
    Process,
    Processes,
    Simulated,
    SpawnFailed,
    one_for_one,
)
from actors.deploy import Deployment
from actors.failurelog import NAME, OF_ALL, OF_ONE, PERIOD, FailureLog
from actors.signals import Failure
from actors.sim import Simulation
from transports.sim import SimClock, SimLoop

WORLDS: list[Any] = [
    pytest.param(Simulated(1), id="simulated"),
    pytest.param(Processes(1), id="processes"),
    pytest.param(Inline(), id="inline"),
]
LIMIT = 60.0
AT_ONCE = Backoff(0.0)


class Do(Message[None]):
    what: str


class Doer(Actor):
    async def do(self, message: Do) -> None:
        if message.what == "fail":
            raise ValueError("as told")
        if message.what == "have a child":
            await self.spawn("child", Doer)
        if message.what == "fail as a child":
            child = await self.spawn("child", Doer)
            child.tell(Do("fail"))


class BadStart(Actor):
    async def on_start(self) -> None:
        raise OSError("no disk")


class BadStop(Actor):
    async def on_stop(self) -> None:
        raise OSError("no disk")


def run(main: Callable[[], Awaitable[None]], on: Deployment) -> None:
    async def limited() -> None:
        async with asyncio.timeout(LIMIT):
            await main()

    actors.run(limited(), on=on)


def doing(on: Deployment, strategy: actors.Strategy) -> ActorGraph:
    graph = ActorGraph("doing")
    with graph.supervisor("root"), graph.supervisor("pool", strategy):
        graph.actor("doer", Doer, place=None if isinstance(on, Inline) else Process())
    return graph


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(r.levelno, r.getMessage()) for r in caplog.records if r.name == NAME]


@pytest.mark.parametrize("on", WORLDS)
def test_a_restart_is_a_warning_with_path_message_exception_and_traceback(
    on: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with doing(on, one_for_one(3, backoff=AT_ONCE)).start(on) as live:
            with pytest.raises(ActorFailed):
                await live["doer"].ask(Do("fail"), timeout=10)
            await live["doer"].ask(Do("nothing"), timeout=10)

    run(main, on)
    ((level, text),) = told(caplog)
    assert level == logging.WARNING
    first, *rest = text.splitlines()
    assert first == "/root/pool/doer failed on Do: ValueError: as told; it is restarted"
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-1] == "ValueError: as told"


@pytest.mark.parametrize("on", WORLDS)
def test_what_is_given_up_is_one_error_with_the_cause_whatever_lies_above(
    on: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with doing(on, one_for_one(0)).start(on) as live:
            live["doer"].tell(Do("fail"))
            await live.failed()

    run(main, on)
    ((level, text),) = told(caplog)
    assert level == logging.ERROR
    assert text.splitlines()[0] == (
        "/root gave up: /root/pool/doer failed and may not be restarted (intensity=0), /root/pool "
        "gives up: ValueError: as told (it was on Do); /root is stopped"
    )
    assert text.count("Traceback") == 1


@pytest.mark.parametrize("on", WORLDS[:2])
def test_a_death_of_a_process_is_a_warning_without_what_was_shown_already(
    on: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        again = asyncio.Event()

        def heard(event: NodeStarted) -> None:
            if event.starts == 2:
                again.set()

        graph = doing(on, one_for_one(0, backoff=AT_ONCE))
        async with graph.start(
            on, before=lambda system: system.events.subscribe(NodeStarted, heard)
        ) as live:
            assert live.processes is not None
            live.processes.kill("p0")
            await again.wait()

    run(main, on)
    assert told(caplog) == [
        (
            logging.WARNING,
            "/root/pool/doer lost its process: killed by signal 9 (SIGKILL); it is restarted",
        )
    ]


@pytest.mark.parametrize("on", [Simulated(1), Inline()], ids=["simulated", "real"])
@pytest.mark.parametrize(
    ("cls", "what", "sentence"),
    [
        (Doer, "fail", "/it failed on Do: ValueError: as told; it is stopped"),
        (Doer, "fail as a child", "/it/child failed on Do: ValueError: as told; it is stopped"),
        (BadStart, "", "/it failed at its start: OSError: no disk; it is stopped"),
        (BadStop, "", "/it failed in on_stop: OSError: no disk; it ends all the same"),
    ],
)
def test_without_a_supervisor_failures_are_told_too(
    on: Deployment, cls: type[Actor], what: str, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def in_system(system: ActorSystem) -> None:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def stopped(event: actors.ActorStopped) -> None:
            if not ended.done():
                ended.set_result(None)

        system.events.subscribe(actors.ActorStopped, stopped)
        try:
            ref = await system.spawn("it", cls)
        except SpawnFailed:
            pass
        else:
            if what:
                ref.tell(Do(what))
            else:
                await system.stop(ref)
        await ended

    async def main() -> None:
        if isinstance(on, Simulated):
            with Simulation(on).running() as simulation:
                async with ActorSystem("alone", world=simulation.world("alone")) as system:
                    await in_system(system)
        else:
            async with ActorSystem("alone") as system:
                await in_system(system)

    run(main, on)
    ((level, text),) = told(caplog)
    assert level == (logging.WARNING if cls is BadStop else logging.ERROR)
    assert text.splitlines()[0] == sentence
    assert "Traceback" in text


@pytest.mark.parametrize("on", WORLDS)
def test_a_crash_loop_is_told_a_few_times_and_counted(
    on: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with doing(on, one_for_one(100, backoff=AT_ONCE)).start(on) as live:
            for _ in range(20):
                with pytest.raises(AskError):
                    await live["doer"].ask(Do("fail"), timeout=10)
            await live["doer"].ask(Do("nothing"), timeout=10)

    run(main, on)
    texts = [text for _, text in told(caplog)]
    assert len(texts) == OF_ONE + 1
    assert "it is restarted (its further failures are only counted for " in texts[OF_ONE - 1]
    assert texts[-1] == (
        f"{20 - OF_ONE} more failures were not logged; subscribe to ActorFailure on system.events "
        "to see each"
    )


def test_many_that_fail_are_told_within_a_limit_and_again_when_its_period_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = SimLoop()
    try:
        log = FailureLog(SimClock(loop))
        for number in range(OF_ALL + 5):
            log.tell(f"/{number}", Failure("E", "x"), "is restarted")
        # What is final has room of its own.
        log.tell("/last", Failure("E", "x"), "is stopped", final=True)
        loop.run_until_complete(asyncio.sleep(PERIOD))
        log.tell("/0", Failure("E", "y"), "is restarted")
    finally:
        loop.close()
    levels = [level for level, _ in told(caplog)]
    assert levels == [logging.WARNING] * OF_ALL + [logging.ERROR] + [logging.WARNING] * 2
    assert [text for _, text in told(caplog)][-2:] == [
        "5 more failures were not logged; subscribe to ActorFailure on system.events to see each",
        "/0 failed: E: y; it is restarted",
    ]


async def unheard(on: Deployment) -> None:
    async with doing(on, one_for_one(0)).start(on) as live:
        with pytest.raises(ActorFailed):
            await live["doer"].ask(Do("fail"), timeout=10)
        await live.system.failure


async def until(on: Deployment) -> None:
    async with doing(on, one_for_one(0)).start(on) as live:
        live["doer"].tell(Do("fail"))
        with pytest.raises(GaveUp):
            await live.until(asyncio.get_running_loop().create_future())


async def asked_why(on: Deployment) -> None:
    async with doing(on, one_for_one(0)).start(on) as live:
        live["doer"].tell(Do("fail"))
        assert (await live.failed()).kind == "GaveUp"


async def waits_no_longer(on: Deployment) -> None:
    async with doing(on, one_for_one(0)).start(on) as live:
        waiting = asyncio.ensure_future(live.failed())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        live["doer"].tell(Do("fail"))
        await live.system.failure


@pytest.mark.parametrize("on", WORLDS)
@pytest.mark.parametrize("block", [unheard, waits_no_longer])
def test_a_graph_that_gave_up_unheard_is_raised_at_the_end_of_its_block(
    on: Deployment, block: Callable[[Deployment], Awaitable[None]]
) -> None:
    with pytest.raises(GaveUp, match=r"doer failed and may not be restarted") as caught:
        run(lambda: block(on), on)
    assert "ValueError: as told" in caught.value.remote_traceback


@pytest.mark.parametrize("on", WORLDS)
@pytest.mark.parametrize("block", [until, asked_why])
def test_whoever_was_told_that_a_graph_gave_up_is_not_told_again(
    on: Deployment, block: Callable[[Deployment], Awaitable[None]]
) -> None:
    run(lambda: block(on), on)


@pytest.mark.parametrize("on", WORLDS)
def test_what_a_block_raises_itself_goes_on_as_it_is_with_a_note(on: Deployment) -> None:
    async def fails(live: actors.Live) -> None:
        with pytest.raises(AskError):
            await live["doer"].ask(Do("fail"), timeout=10)
        await live.system.failure
        raise KeyError("of mine")

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            async with doing(on, one_for_one(0)).start(on) as live, asyncio.TaskGroup() as group:
                group.create_task(fails(live))
        assert [repr(error) for error in caught.value.exceptions] == ["KeyError('of mine')"]
        (note,) = caught.value.__notes__
        assert note.startswith("graph 'doing' had failed before: /root/pool/doer failed and may")

    run(main, on)


@pytest.mark.parametrize("on", WORLDS)
@pytest.mark.parametrize(
    ("intensity", "sentence"),
    [
        (0, "failed and may not be restarted (intensity=0), "),
        (1, "failed again after 1 restart within 60 s (intensity=1), "),
        (2, "failed again after 2 restarts within 60 s (intensity=2), "),
    ],
)
def test_who_gives_up_says_how_often_it_has_tried(
    on: Deployment, intensity: int, sentence: str
) -> None:
    async def main() -> None:
        async with doing(on, one_for_one(intensity, backoff=AT_ONCE)).start(on) as live:
            for _ in range(intensity + 1):
                live["doer"].tell(Do("fail"))
            failure = await live.failed()
            assert failure.message == (
                f"/root/pool/doer {sentence}/root/pool gives up: ValueError: as told"
            )

    run(main, on)


@pytest.mark.parametrize("on", WORLDS[:2])
def test_who_may_not_lose_its_process_says_which_limit_that_was(on: Deployment) -> None:
    async def main() -> None:
        died: list[NodeDied] = []
        async with doing(on, one_for_one(3, outside=0)).start(
            on, before=lambda system: system.events.subscribe(NodeDied, died.append)
        ) as live:
            assert live.processes is not None
            live.processes.kill("p0")
            assert "may not be restarted (outside=0)" in (await live.failed()).message
        assert len(died) == 1

    run(main, on)
