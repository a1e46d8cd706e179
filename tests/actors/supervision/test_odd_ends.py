"""Ends that go another way: texts that cannot travel, ends amid ends, starts that never come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest

import actors
from actors import (
    Actor,
    ActorFailed,
    ActorFailure,
    ActorGraph,
    ActorRestarted,
    ActorSystem,
    Backoff,
    Children,
    Message,
    NodeDied,
    Process,
    Processes,
    Simulated,
    SpawnFailed,
    Supervisor,
    Terminated,
    one_for_all,
    one_for_one,
)
from actors.errors import AskError
from actors.sim import Simulation
from tests.actors.supervision.family import Name

APART = [pytest.param(Simulated(1), id="simulated"), pytest.param(Processes(1), id="processes")]


class Odd(Message[str]):
    pass


class Large(Message[None]):
    size: int


class Wait(Message[str]):
    seconds: float
    deaf: bool = False
    fails: bool = False


class Strange(Actor):
    """Fails with a text that no encoding takes, publishes too much, ends slowly."""

    stops: ClassVar[list[str]] = []

    def __init__(self, ending: float = 0.0) -> None:
        self.ending = ending

    def odd(self, message: Odd) -> str:
        raise ValueError("file \udcff")

    def large(self, message: Large) -> None:
        self.publish("large", data="x" * message.size)

    def name(self, message: Name) -> str:
        return f"restarts {self.restarts}"

    async def wait(self, message: Wait) -> str:
        loop = asyncio.get_running_loop()
        until = loop.time() + message.seconds
        while loop.time() < until:
            try:
                await asyncio.sleep(until - loop.time())
            except asyncio.CancelledError:
                if not message.deaf:
                    raise
        if message.fails:
            raise KeyError("at the end")
        return "waited"

    async def on_stop(self) -> None:
        self.stops.append(self.ref.name)
        await asyncio.sleep(self.ending)


class Hangs(Actor):
    async def on_start(self) -> None:
        await asyncio.Event().wait()


class Selfless(Actor):
    async def on_start(self) -> None:
        self.stop()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():
        await asyncio.sleep(0.01)


def in_virtual_time(main: Callable[[ActorSystem], Awaitable[None]]) -> None:
    on = Simulated(1)

    async def within() -> None:
        with Simulation(on).running() as simulation:
            world = simulation.world("alone")
            async with asyncio.timeout(120), ActorSystem("alone", world=world) as system:
                await main(system)

    actors.run(within(), on=on)


@pytest.mark.parametrize("on", APART)
@pytest.mark.parametrize("restart", ["permanent", "transient"])
def test_a_failure_whose_text_cannot_be_encoded_is_a_failure_like_others(
    on: Any, restart: Any
) -> None:
    async def main() -> None:
        graph = ActorGraph("odd")
        with graph.supervisor("root", one_for_one(3, backoff=Backoff(0.0)), place=Process()):
            graph.actor("strange", Strange, restart=restart)
        async with asyncio.timeout(60), graph.start(on) as live:
            with pytest.raises(ActorFailed, match=r"ValueError: file \\udcff"):
                await live["strange"].ask(Odd(), timeout=10)
            assert await live["strange"].ask(Name(), timeout=10) == "restarts 1"

    actors.run(main(), on=on)


@pytest.mark.parametrize("on", APART)
def test_a_signal_that_is_too_large_fails_its_sender_and_holds_up_no_other(on: Any) -> None:
    async def main() -> None:
        graph = ActorGraph("large")
        with graph.supervisor("root", one_for_one(3, backoff=Backoff(0.0)), place=Process()):
            graph.actor("strange", Strange)
        async with asyncio.timeout(60), graph.start(on) as live:
            with pytest.raises(ActorFailed, match="exceeds the"):
                await live["strange"].ask(Large(5_000_000), timeout=10)
            assert await live["strange"].ask(Name(), timeout=10) == "restarts 1"

    actors.run(main(), on=on)


def test_a_child_that_hangs_in_its_start_holds_up_no_other_request() -> None:
    async def main(system: ActorSystem) -> None:
        pool = await system.spawn("pool", Supervisor, strategy=one_for_one())
        short, long = Children(pool, timeout=1), Children(pool, timeout=30)
        with pytest.raises(AskError):
            await short.start("hangs", Hangs)
        assert [child.stage for child in await short.list()] == ["starting"]
        start = asyncio.ensure_future(long.start("more", Hangs, stop_timeout=0.1))
        await asyncio.sleep(0.1)
        await long.terminate("more")
        with pytest.raises(SpawnFailed, match="it was terminated"):
            await start
        await long.terminate("hangs")
        assert await short.list() == ()

    in_virtual_time(main)


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_a_child_that_stops_itself_in_its_start_is_none(restart: Any) -> None:
    async def main(system: ActorSystem) -> None:
        pool = Children(await system.spawn("pool", Supervisor, strategy=one_for_one()))
        with pytest.raises(SpawnFailed, match="it is gone"):
            await pool.start("selfless", Selfless, restart=restart)
        assert await pool.list() == ()

    in_virtual_time(main)


def test_each_end_of_a_child_elsewhere_has_a_limit_of_its_own() -> None:
    on = Simulated(1)
    deaths: list[NodeDied] = []

    async def main() -> None:
        graph = ActorGraph("ends")
        with graph.supervisor("root", one_for_one(9, backoff=Backoff(0.0)), place=Process()):
            graph.actor("slow", Strange, ending=0.5, stop_timeout=1.0)
        async with graph.start(on) as live:
            live.system.events.subscribe(NodeDied, deaths.append)
            for pause in (2.75, 2.0):
                with pytest.raises(ActorFailed):
                    await live["slow"].ask(Odd(), timeout=10)
                await asyncio.sleep(pause)
            assert not deaths, "the first limit is not that of the second end"
            assert await live["slow"].ask(Name(), timeout=10) == "restarts 2"

    actors.run(main(), on=on)


@pytest.mark.parametrize("restart", ["permanent", "transient"])
def test_a_sibling_that_does_not_end_is_left_replaced_and_does_nothing_more(restart: Any) -> None:
    Strange.stops.clear()

    async def main(system: ActorSystem) -> None:
        rule = one_for_all(3, backoff=Backoff(0.0))
        pool = Children(await system.spawn("pool", Supervisor, strategy=rule))
        first = await pool.start("first", Strange)
        deaf = await pool.start("deaf", Strange, restart=restart, stop_timeout=0.2)
        old = system.cell(deaf)
        assert old is not None
        ask = asyncio.ensure_future(deaf.ask(Wait(20.0, deaf=True), timeout=30))
        await asyncio.sleep(0.1)
        with pytest.raises(ActorFailed):
            await first.ask(Odd(), timeout=10)
        await until(lambda: _up(pool, 2))
        with pytest.raises(ActorFailed, match="caught 5 cancellations"):
            await ask
        assert await deaf.ask(Name(), timeout=10) == "restarts 0"
        new = system.cell(deaf)
        assert new is not old
        assert old.task is not None
        async with asyncio.timeout(30):
            await asyncio.wait({old.task})
        assert await deaf.ask(Name(), timeout=10) == "restarts 0"
        assert "deaf" not in Strange.stops, "the old one said nothing more"

    in_virtual_time(main)


async def _up(pool: Children, count: int) -> bool:
    known = await pool.list()
    return len(known) == count and all(c.stage == "up" and c.restarts for c in known)


def test_what_the_last_message_raises_after_a_stop_is_told() -> None:
    failures: list[ActorFailure] = []

    async def main(system: ActorSystem) -> None:
        system.events.subscribe(ActorFailure, failures.append)
        ref = await system.spawn("last", Strange)
        ref.tell(Wait(0.3, fails=True))
        await asyncio.sleep(0.1)
        assert await system.stop(ref) == "stopped"

    in_virtual_time(main)
    assert ["at the end" in failure.error for failure in failures] == [True]


def test_a_hold_lasts_over_a_start_and_a_restart() -> None:
    restarts: list[ActorRestarted] = []

    async def main(system: ActorSystem) -> None:
        system.events.subscribe(ActorRestarted, restarts.append)
        rule = one_for_one(3, backoff=Backoff(0.0))
        pool = Children(await system.spawn("pool", Supervisor, strategy=rule))
        ref = await pool.start("held", Strange)
        system.debug.suspend(ref)
        await pool.restart("held")
        ask = asyncio.ensure_future(ref.ask(Name(), timeout=30))
        await asyncio.sleep(5)
        assert restarts
        assert (await system.debug.get_state(ref)).state == "suspended"
        assert not ask.done()
        system.debug.resume(ref)
        assert await ask == "restarts 1"

    in_virtual_time(main)


class Opened(Message[None]):
    pass


class Later(Actor):
    """Puts aside what comes before it is open."""

    def __init__(self) -> None:
        self.open = False
        self.seen: list[str] = []

    def look(self, message: Odd) -> str:
        return ", ".join(self.seen)

    def gone(self, message: Terminated) -> None:
        if not self.open:
            return self.stash.stash(message)
        self.seen.append(message.path)
        return None

    def opened(self, message: Opened) -> None:
        if not self.open:
            self.open = True
            self.timers.cancel("again")
            self.stash.unstash_all()

    def tick(self, message: Wait) -> str:
        if not self.open:
            return self.stash.stash(message)
        self.seen.append("tick")
        return ""


def test_news_of_an_end_and_the_ticks_of_a_timer_can_be_put_aside() -> None:
    async def main(system: ActorSystem) -> None:
        other = await system.spawn("other", Strange)
        later = await system.spawn("later", Later)
        cell = system.cell(later)
        assert cell is not None
        assert cell.actor is not None
        cell.actor.watch(other)
        await system.stop(other)
        cell.timers.start("again", Wait(0.0), after=0.1, every=0.1)
        await asyncio.sleep(0.35)
        later.tell(Opened())
        assert await later.ask(Odd(), timeout=10) == "/other, tick, tick, tick"

    in_virtual_time(main)


def test_a_task_of_the_shutdown_that_exits_skips_nothing_of_what_follows() -> None:
    Strange.stops.clear()

    async def main() -> None:
        async with ActorSystem("here") as system:

            async def flush() -> None:
                raise SystemExit("cannot flush")

            system.shutdown.add_task("before_stop", "flush", flush)
            await system.spawn("strange", Strange)

    with contextlib.suppress(SystemExit):
        actors.run(main())
    assert Strange.stops == ["strange"]


class Plain(Actor):
    """Its hooks are no coroutines."""

    told: ClassVar[list[str]] = []

    def on_start(self) -> None:  # type: ignore[override]  # as many write it
        self.told.append("started")

    def on_stop(self) -> None:  # type: ignore[override]
        self.told.append("stopped")


def test_hooks_may_be_plain_functions_like_handlers() -> None:
    Plain.told.clear()

    async def main(system: ActorSystem) -> None:
        await system.stop(await system.spawn("plain", Plain))

    in_virtual_time(main)
    assert Plain.told == ["started", "stopped"]


def test_waiting_beside_a_graph_takes_a_coroutine_and_ends_it_when_the_graph_fails() -> None:
    on = Simulated(1)

    async def main() -> None:
        graph = ActorGraph("odd")
        with graph.supervisor("root", one_for_one(0)):
            graph.actor("strange", Strange)
        async with graph.start(on) as live:
            assert await live.until(asyncio.sleep(1, "slept")) == "slept"
            live["strange"].tell(Odd())
            with pytest.raises(actors.GaveUp, match="strange failed and may not be restarted"):
                await live.until(asyncio.sleep(1000))

    actors.run(main(), on=on)


def test_nothing_is_restarted_while_all_is_stopped_and_what_comes_later_is() -> None:
    restarts: list[ActorRestarted] = []

    async def main(system: ActorSystem) -> None:
        system.events.subscribe(ActorRestarted, restarts.append)
        rule = one_for_one(3, backoff=Backoff(0.0))
        pool = Children(await system.spawn("pool", Supervisor, strategy=rule))
        first = await pool.start("first", Strange)
        await system.spawn("slow", Strange, ending=2.0)
        stop = asyncio.ensure_future(system.stop_all())
        await asyncio.sleep(1)  # the last is being stopped, and the pool is not yet
        with pytest.raises(ActorFailed):
            await first.ask(Odd(), timeout=10)
        await stop
        assert not restarts
        later = Children(await system.spawn("later", Supervisor, strategy=rule))
        again = await later.start("again", Strange)
        with pytest.raises(ActorFailed):
            await again.ask(Odd(), timeout=10)
        assert await again.ask(Name(), timeout=10) == "restarts 1"

    in_virtual_time(main)
