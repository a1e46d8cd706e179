"""Supervisors at work: deciders, children that come later, ends in order, and what is told."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import actors
from actors import (
    ActorFailed,
    ActorGraph,
    ActorSystem,
    Backoff,
    Children,
    GaveUp,
    Inline,
    Live,
    NoSuchActor,
    Process,
    Processes,
    Simulated,
    SpawnFailed,
    Supervisor,
    SupervisorGaveUp,
    Unreachable,
    UsageError,
    one_for_all,
    one_for_one,
    rest_for_one,
)
from actors.errors import GraphError
from actors.sim import Simulation
from tests.actors.supervision.family import (
    Boom,
    Causes,
    Deaf,
    Hang,
    Look,
    Member,
    Name,
    Scribe,
    Story,
    Told,
    Watcher,
)

WORLDS: list[Any] = [
    pytest.param(Simulated(1), id="simulated"),
    pytest.param(Processes(1), id="processes"),
    pytest.param(Inline(), id="inline"),
]
APART = WORLDS[:2]
LIMIT = 60.0


def run(main: Callable[[Any], Awaitable[None]], on: Inline | Processes | Simulated) -> None:
    async def limited() -> None:
        async with asyncio.timeout(LIMIT):
            await main(on)

    actors.run(limited(), on=on)


@asynccontextmanager
async def family(
    on: Any, strategy: actors.Strategy, *restarts: actors.Strategy, **options: Any
) -> AsyncIterator[Live]:
    """A scribe and a watcher in the launcher, and three members in a process where there is one."""
    graph = ActorGraph("house")
    with graph.supervisor("outside"):
        scribe = graph.actor("scribe", Scribe)
        graph.actor("watcher", Watcher)
    top = graph.supervisor("top", restarts[0] if restarts else None)
    with top, graph.supervisor("pool", strategy, place=Process()):
        for label in ("a", "b", "c"):
            graph.actor(label, Member, scribe=scribe, label=label)
    async with graph.start(on, **options) as live:
        yield live


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():
        await asyncio.sleep(0.01)


async def settled(children: Children, count: int) -> None:
    async def all_up() -> bool:
        known = await children.list()
        return len(known) == count and all(child.stage == "up" for child in known)

    await until(all_up)


@pytest.mark.parametrize("on", WORLDS)
def test_the_class_of_an_exception_decides_between_restart_stop_and_escalation(on: Any) -> None:
    rule = one_for_one(3, backoff=Backoff(0.0), decide={LookupError: "stop", KeyError: "restart"})

    async def main(on: Any) -> None:
        async with family(on, rule) as live:
            for child, kind in (("a", "index"), ("b", "key")):
                with pytest.raises(ActorFailed):
                    await live[child].ask(Boom(kind), timeout=10)
            await settled(live.children("pool"), 2)
            assert [c.name for c in await live.children("pool").list()] == ["b", "c"]
            assert await live["b"].ask(Name(), timeout=10) == "b"
            with pytest.raises(NoSuchActor):
                await live["a"].ask(Name(), timeout=10)

    run(main, on)


@pytest.mark.parametrize("on", WORLDS)
def test_what_is_beyond_help_goes_up_to_the_guardian_and_is_told_with_its_cause(on: Any) -> None:
    rule = one_for_one(3, decide={OSError: "escalate"})

    async def main(on: Any) -> None:
        async with family(on, rule) as live:
            gave_up: list[SupervisorGaveUp] = []
            live.system.events.subscribe(SupervisorGaveUp, gave_up.append)
            with pytest.raises(ActorFailed):
                await live["a"].ask(Boom("os"), timeout=10)
            with pytest.raises(GaveUp, match="a failed beyond help: OSError"):
                await live.until(asyncio.get_running_loop().create_future())
            assert [event.supervisor for event in gave_up] == ["/top/pool"]

    run(main, on)


@pytest.mark.parametrize("on", WORLDS)
def test_a_subtree_that_gave_up_is_started_anew_where_its_supervisor_says_so(on: Any) -> None:
    top = one_for_one(1, backoff=Backoff(0.0), decide={GaveUp: "restart"})

    async def main(on: Any) -> None:
        async with family(on, one_for_all(0), top) as live:
            with pytest.raises(ActorFailed):
                await live["b"].ask(Boom("key"), timeout=10)
            await until(lambda: _restarted(live.children("top"), 1))
            await settled(live.children("pool"), 3)
            assert await live["a"].ask(Name(), timeout=10) == "a"
            assert await live["scribe"].ask(Story(), timeout=10) == ["stop c", "stop b", "stop a"]
            with pytest.raises(ActorFailed):
                await live["b"].ask(Boom("key"), timeout=10)
            with pytest.raises(GaveUp, match="pool failed again after 1 restart") as raised:
                await live.until(asyncio.get_running_loop().create_future())
            assert (raised.value.child, raised.value.restarts) == ("/top/pool", 1)

    run(main, on)


async def _restarted(children: Children, count: int) -> bool:
    (child,) = await children.list()
    return child.restarts == count and child.stage == "up"


@pytest.mark.parametrize("on", WORLDS)
@pytest.mark.parametrize("strategy", [one_for_one, one_for_all, rest_for_one])
def test_children_are_started_listed_restarted_and_terminated_later(
    on: Any, strategy: Callable[..., actors.Strategy]
) -> None:
    async def main(on: Any) -> None:
        async with family(on, strategy(5, backoff=Backoff(0.0))) as live:
            pool = live.children("pool")
            await settled(pool, 3)
            node = live["a"].node
            ref = await pool.start("d", Member, node=node, scribe=live["scribe"], label="d")
            assert await ref.ask(Name(), timeout=10) == "d"
            assert ref.node == node
            assert [c.name for c in await pool.list()] == ["a", "b", "c", "d"]
            with pytest.raises(SpawnFailed, match="has a child named 'd' already"):
                await pool.start("d", Member, scribe=live["scribe"], label="d")
            with pytest.raises(SpawnFailed, match="ValueError: as told"):
                await pool.start(
                    "e", Member, node=node, scribe=live["scribe"], label="e", start="fails"
                )
            with pytest.raises(SpawnFailed, match=r"no process named 'nowhere'|no processes"):
                await pool.start("e", Member, node="nowhere", scribe=live["scribe"], label="e")
            await pool.restart("d")
            await settled(pool, 4)
            restarted = {c.name: c.restarts for c in await pool.list()}
            assert restarted["d"] == 1
            await pool.terminate("d")
            assert [c.name for c in await pool.list()] == ["a", "b", "c"]
            with pytest.raises(NoSuchActor):
                await ref.ask(Name(), timeout=10)
            for request in (pool.terminate("d"), pool.restart("d")):
                with pytest.raises(UsageError, match="no child named 'd'"):
                    await request
            with pytest.raises(GraphError, match="no supervisor 'pond'; there are"):
                live.children("pond")

    run(main, on)


@pytest.mark.parametrize("on", APART)
def test_a_pool_that_begins_empty_places_its_children_in_the_workers(on: Any) -> None:
    async def main(on: Any) -> None:
        graph = ActorGraph("house")
        with graph.supervisor("root"):
            scribe = graph.actor("scribe", Scribe)
            with graph.supervisor("pool"):
                pass
        async with graph.start(on) as live:
            pool = live.children("pool")
            ref = await pool.start("m", Member, node="p0", scribe=live[scribe], label="m")
            assert ref.node == "p0"
            assert await ref.ask(Name(), timeout=10) == "m"

    run(main, on)


async def test_a_supervisor_without_children_supervises_whom_it_is_given() -> None:
    async with asyncio.timeout(LIMIT), ActorSystem("alone") as system:
        rule = one_for_one(1, backoff=Backoff(0.0))
        scribe = await system.spawn("scribe", Scribe)
        pool = Children(await system.spawn("pool", Supervisor, strategy=rule))
        ref = await pool.start("m", Member, scribe=scribe, label="m")
        with pytest.raises(ActorFailed):
            await ref.ask(Boom("key"), timeout=10)
        assert await ref.ask(Name(), timeout=10) == "m"
        with pytest.raises(SpawnFailed, match="no processes"):
            await pool.start("n", Member, node="p0", scribe=scribe, label="n")
        assert repr(pool) == "<Children of /pool>"


@pytest.mark.parametrize("on", WORLDS)
@pytest.mark.parametrize("strategy", [one_for_one, rest_for_one])
def test_a_shutdown_stops_the_last_first_and_waits_for_each(
    on: Any, strategy: Callable[..., actors.Strategy]
) -> None:
    async def main(on: Any) -> None:
        async with family(on, strategy()) as live:
            await settled(live.children("pool"), 3)
            await live.children("top").terminate("pool")
            assert await live["scribe"].ask(Story(), timeout=10) == ["stop c", "stop b", "stop a"]

    run(main, on)


def test_a_child_elsewhere_that_does_not_stop_in_time_loses_its_process() -> None:
    async def main(on: Any) -> None:
        graph = ActorGraph("house")
        with graph.supervisor("outside"):
            scribe = graph.actor("scribe", Scribe)
            graph.actor("watcher", Watcher)
        with graph.supervisor("pool", place=Process()):
            graph.actor("deaf", Deaf, scribe=scribe, label="deaf", stop_timeout=0.2)
        async with graph.start(on) as live:
            await live["deaf"].ask(Name(), timeout=30)
            await live["watcher"].ask(Look(live["deaf"]), timeout=10)
            await live.children("pool").terminate("deaf")
            assert await live["watcher"].ask(Causes(), timeout=10) == ["killed"]

    run(main, Processes(1))


@pytest.mark.parametrize("on", APART)
def test_restarting_with_a_sibling_that_does_not_halt_ends_its_process_and_makes_it_anew(
    on: Any,
) -> None:
    async def frozen(on: Any) -> None:
        graph = ActorGraph("house")
        with graph.supervisor("outside"):
            scribe = graph.actor("scribe", Scribe)
            graph.actor("watcher", Watcher)
        with graph.supervisor("pool", one_for_all(3, backoff=Backoff(0.0))):
            graph.actor("a", Member, scribe=scribe, label="a")
            graph.actor(
                "b", Member, place=Process("far"), scribe=scribe, label="b", stop_timeout=0.2
            )
        if isinstance(on, Simulated):
            with Simulation(on).running() as simulation:
                world = simulation.world("house")
                async with graph.start(on, world=world) as live:
                    await halts(live, lambda: simulation.network.freeze("far"))
        else:
            async with graph.start(on) as live:
                await halts(live, lambda: _stop(live, "far"))

    async def halts(live: Live, freeze: Callable[[], None]) -> None:
        await settled(live.children("pool"), 2)
        await live["watcher"].ask(Look(live["b"]), timeout=10)
        freeze()
        with pytest.raises(ActorFailed):
            await live["a"].ask(Boom("key"), timeout=10)
        await until(lambda: _both_restarted(live.children("pool")))
        assert await live["b"].ask(Name(), timeout=10) == "b"
        assert await live["watcher"].ask(Causes(), timeout=10) == ["killed"]

    run(frozen, on)


def _stop(live: Live, node: str) -> None:
    assert live.processes is not None
    pid = live.processes.pid(node)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)


async def _both_restarted(children: Children) -> bool:
    return all(c.restarts == 1 and c.stage == "up" for c in await children.list())


@pytest.mark.parametrize("on", WORLDS)
def test_an_actor_can_be_held_and_looked_into_wherever_it_is(on: Any) -> None:
    async def main(on: Any) -> None:
        async with family(on, one_for_one()) as live:
            debug, ref = live.system.debug, live["a"]
            assert await ref.ask(Name(), timeout=10) == "a"
            debug.suspend(ref)
            ask = asyncio.ensure_future(ref.ask(Name(), timeout=20))
            await until(lambda: _waits(live))
            state = await debug.get_state(ref)
            assert (state.path, state.kind) == ("/top/pool/a", "Member")
            assert (state.state, state.handling, state.mailbox) == ("suspended", "", ("Name",))
            assert state.attributes["secret"] == "{'answer': 42}"
            debug.resume(ref)
            assert await ask == "a"
            hang = asyncio.ensure_future(ref.ask(Hang(), timeout=20))
            await until(lambda: _hangs(live))
            hang.cancel()
            await live.children("pool").terminate("a")
            with pytest.raises(NoSuchActor):
                await debug.get_state(ref)

    run(main, on)


async def _waits(live: Live) -> bool:
    return bool((await live.system.debug.get_state(live["a"])).mailbox)


async def _hangs(live: Live) -> bool:
    return (await live.system.debug.get_state(live["a"])).handling == "Hang"


def test_the_state_of_an_actor_on_a_frozen_node_is_not_waited_for() -> None:
    on = Simulated(1)

    async def main() -> None:
        with Simulation(on).running() as simulation:
            async with family(on, one_for_one(), world=simulation.world("house")) as live:
                await live["a"].ask(Name(), timeout=10)
                simulation.network.freeze("p0")
                with pytest.raises(Unreachable, match="did not tell the state of /top/pool/a"):
                    await live.system.debug.get_state(live["a"], timeout=2)
                simulation.network.thaw("p0")

    actors.run(main(), on=on)


def test_a_node_without_a_connection_for_too_long_is_unreachable_and_made_anew() -> None:
    on = Simulated(1)

    async def main() -> None:
        with Simulation(on).running() as simulation:
            world = simulation.world("house")
            rule = one_for_one(0, outside=1)
            async with family(on, rule, world=world, unreachable_after=20) as live:
                await live["a"].ask(Name(), timeout=10)
                await live["watcher"].ask(Look(live["a"]), timeout=10)
                loop = asyncio.get_running_loop()
                simulation.network.cut("house", "p0")
                cut = loop.time()
                await until(lambda: _seen(live))
                assert 20 <= loop.time() - cut < 60
                assert await live["watcher"].ask(Causes(), timeout=10) == ["unreachable"]
                simulation.network.uncut("house", "p0")
                await settled(live.children("pool"), 3)
                assert await live["a"].ask(Name(), timeout=10) == "a"

    actors.run(main(), on=on)


async def _seen(live: Live) -> bool:
    return bool(await live["watcher"].ask(Causes(), timeout=10))


def test_a_connection_that_comes_back_in_time_is_no_death() -> None:
    on = Simulated(1)

    async def main() -> None:
        with Simulation(on).running() as simulation:
            world = simulation.world("house")
            async with family(on, one_for_one(), world=world, unreachable_after=20) as live:
                await live["a"].ask(Name(), timeout=10)
                await live["watcher"].ask(Look(live["a"]), timeout=10)
                simulation.network.cut("house", "p0")
                await asyncio.sleep(15)
                simulation.network.uncut("house", "p0")
                await asyncio.sleep(60)
                assert await live["a"].ask(Name(), timeout=10) == "a"
                assert await live["watcher"].ask(Causes(), timeout=10) == []

    actors.run(main(), on=on)


async def test_a_limit_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match=r"unreachable_after=0 is not above 0 s"):
        ActorSystem("here", unreachable_after=0)


class Slow(Member):
    async def on_start(self) -> None:
        await asyncio.sleep(100)


def test_a_start_that_is_not_through_is_told_of_and_can_be_stopped_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(on: Any) -> None:
        graph = ActorGraph("house")
        with graph.supervisor("root"):
            scribe = graph.actor("scribe", Scribe)
            graph.actor("slow", Slow, scribe=scribe, label="slow", stop_timeout=0.5)
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(40), graph.start(on):
                pass
        assert 40 <= loop.time() < 43

    actors.run(main(Simulated(1)), on=Simulated(1))
    assert "/root still waits for /root/slow to start" in caplog.text


def test_a_full_mailbox_does_as_the_graph_says() -> None:
    async def main(on: Any) -> None:
        graph = ActorGraph("house")
        with graph.supervisor("root"):
            graph.actor("scribe", Scribe, mailbox=2, overflow="drop_oldest")
        refused = pytest.raises(GraphError, match="overflow='drop'; there are reject, drop_oldest")
        with refused, graph.supervisor("more"):
            graph.actor("other", Scribe, overflow="drop")  # type: ignore[arg-type]
        async with graph.start(on) as live:
            live.system.debug.suspend(live["scribe"])
            for what in ("one", "two", "three"):
                live["scribe"].tell(Told(what))
            await asyncio.sleep(1)
            live.system.debug.resume(live["scribe"])
            assert await live["scribe"].ask(Story(), timeout=10) == ["two", "three"]

    actors.run(main(Simulated(1)), on=Simulated(1))
