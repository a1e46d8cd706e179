"""Every ask ends and every actor can be stopped, also where a link is full or a system closes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

import actors
from actors import (
    Actor,
    ActorFailed,
    ActorGraph,
    ActorRef,
    ActorSystem,
    AskError,
    CannotEncode,
    DeadLetter,
    Message,
    Process,
    Simulated,
    Unreachable,
)
from actors.errors import PeerLost
from actors.item import ASK, Item
from actors.signals import Failure, NodeDown
from actors.sim import Simulation
from transports import LinkClosed, LinkFull, NodeId, Weights


class Small(Message[int]):
    text: str = ""


class Bulky(Message[int]):
    text: str = ""
    lane = "bulk"


def fill(ref: ActorRef, message: Message[int]) -> None:
    """Tell until the link takes no more."""
    with contextlib.suppress(LinkFull):
        while True:
            ref.tell(message)


NOWHERE = NodeId("nowhere", 5)


@pytest.fixture
async def unreachable() -> ActorRef:
    """An actor on a node that is known and does not answer."""
    system = ActorSystem("here")
    await system.start()
    system.router.launcher = NOWHERE.name
    system.router.node_up(NOWHERE, "ipc:///nowhere/at/all")
    return system.ref((NOWHERE.name, "/actor", 77))


@pytest.mark.parametrize("kind", [Small, Bulky])
async def test_an_ask_that_finds_no_room_in_time_is_known_not_to_have_left(
    kind: type[Small | Bulky], unreachable: ActorRef
) -> None:
    message = kind("x" * 10_000)
    fill(unreachable, message)
    used = time.process_time()
    async with asyncio.timeout(10):
        with pytest.raises(Unreachable, match=r"stayed full for 0\.5 s"):
            await unreachable.ask(message, timeout=0.5)
    assert time.process_time() - used < 0.25, "it waits, it does not look again and again"
    system = unreachable._system
    assert system.statistics().asks == 0
    await system.close(linger=0.0)


@pytest.mark.parametrize("kind", [Small, Bulky])
async def test_who_waits_for_room_learns_that_the_link_has_ended(
    kind: type[Small | Bulky], unreachable: ActorRef
) -> None:
    message = kind("x" * 10_000)
    fill(unreachable, message)
    drain = asyncio.ensure_future(unreachable.drain())
    ask = asyncio.ensure_future(unreachable.ask(message, timeout=30))
    await asyncio.sleep(0)
    system = unreachable._system
    system.peers.node_died(NOWHERE, "as told", "killed")
    async with asyncio.timeout(10):
        with pytest.raises(Unreachable, match="as told"):
            await ask
        with pytest.raises(LinkClosed, match="as told"):
            await drain
    await system.close(linger=0.0)


class Stubborn(Actor):
    """Does not come back from its handler by itself."""

    def __init__(self, held: asyncio.Event) -> None:
        self.held = held

    async def small(self, message: Small) -> int:
        self.held.set()
        await asyncio.Event().wait()
        return 1


async def test_an_asker_learns_that_the_actor_was_stopped_in_the_middle_of_it() -> None:
    held = asyncio.Event()
    system = ActorSystem("here")
    await system.start()
    ref = system.new_ref("stubborn")
    system.make("stubborn", Stubborn, {"held": held}, ref=ref, stop_timeout=0.1)
    ask = asyncio.ensure_future(ref.ask(Small(), timeout=3600))
    async with asyncio.timeout(10):
        await held.wait()
        await system.stop(ref)
        with pytest.raises(ActorFailed, match=r"/stubborn was stopped 0\.1 s into Small"):
            await ask
    await system.close()


# A reply that finds no room


class Fill(Message[str]):
    """Wait a second, fill the link to that actor, and answer the asker, who is beside it."""

    other: ActorRef


class Begin(Message[None]):
    talker: ActorRef
    timeout: float = 600.0


class Talker(Actor):
    async def fill(self, message: Fill) -> str:
        await asyncio.sleep(1.0)
        fill(message.other, Small("x" * 10_000))
        return "x" * 10_000

    def small(self, message: Small) -> int:
        return 0


class Asker(Actor):
    def small(self, message: Small) -> int:
        return 0

    def begin(self, message: Begin) -> None:
        async def ask() -> str:
            return await message.talker.ask(Fill(self.ref), timeout=message.timeout)

        self.pipe_to_self(ask(), lambda _: Small())


def test_an_actor_whose_answer_finds_no_room_can_be_stopped() -> None:
    on = Simulated(2)

    async def main() -> float:
        graph = ActorGraph("full")
        with graph.supervisor("root"):
            graph.actor("talker", Talker, place=Process("one"), stop_timeout=0.5)
            graph.actor("asker", Asker, place=Process("two"))
        with Simulation(on).running() as simulation:
            async with graph.start(on, world=simulation.world("full")) as live:
                live["asker"].tell(Begin(live["talker"]))
                await asyncio.sleep(0.5)
                simulation.network.freeze("two")
                await asyncio.sleep(1.5)
                began = asyncio.get_running_loop().time()
                async with asyncio.timeout(30):
                    await live.system.stop(live["talker"])
                return asyncio.get_running_loop().time() - began

    assert 0.4 < actors.run(main(), on=on) < 2.0


def test_a_child_that_is_gone_already_holds_up_no_stop() -> None:
    on = Simulated(1)

    async def main() -> float:
        graph = ActorGraph("gone")
        with graph.supervisor("root"):
            graph.actor("cleans", Cleans, place=Process("one"))
        loop = asyncio.get_running_loop()
        with Simulation(on).running() as simulation:
            async with graph.start(on, world=simulation.world("gone")) as live:
                # Its supervisor is about to start it again when all of them are stopped.
                assert await live.system.stop(live["cleans"]) == "stopped"
                began = loop.time()
        return loop.time() - began

    assert actors.run(main(), on=on) < 2.0


# What one message leaves behind for the next


class Cleans(Actor):
    """Ends its handler by itself when the asker gives up."""

    async def small(self, message: Small) -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return 1
        return 2

    async def bulky(self, message: Bulky) -> int:
        other = asyncio.ensure_future(asyncio.sleep(1))
        other.cancel()
        await other
        return 3


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


async def test_a_handler_that_ended_a_cancelled_ask_by_itself_leaves_nothing_of_it() -> None:
    async with ActorSystem("here") as system:
        ref = await system.spawn("cleans", Cleans)
        cell = system.cell(ref)
        assert cell is not None
        ask = asyncio.ensure_future(ref.ask(Small(), timeout=30))
        async with asyncio.timeout(10):
            await until(lambda: cell.busy)
            ask.cancel()
            await until(lambda: not cell.busy)
            assert cell.task is not None
            assert cell.task.cancelling() == 0
            # A cancellation of its own fails the actor, as any other exception would.
            with pytest.raises(ActorFailed, match="CancelledError"):
                await ref.ask(Bulky(), timeout=5)


class Partly(msgspec.Struct):
    number: int


class Broken(Message[None]):
    weights: Weights
    partly: Partly


def test_weights_of_a_message_that_cannot_be_encoded_do_not_travel_with_the_next() -> None:
    async def main() -> None:
        async with ActorSystem("here") as system:
            ref = system.ref(("here", "/nobody", 77))
            partly = Partly(1)
            del partly.number
            broken = Broken(Weights.of({"w": np.ones(3)}), partly)
            for send in (ref.tell, system.codec.encode):
                with pytest.raises(CannotEncode, match="number"):
                    send(broken)
                assert system.codec.encode(Small())[1] == ()

    asyncio.run(main())


class Counts(Actor):
    def __init__(self) -> None:
        self.failed: list[Failure] = []

    def child_failed(self, child: ActorRef, failure: Failure) -> None:
        self.failed.append(failure)


async def test_a_death_that_is_heard_of_twice_counts_once() -> None:
    async with ActorSystem("w0") as system:
        ref = await system.spawn("counts", Counts)
        cell = system.cell(ref)
        assert cell is not None
        assert isinstance(cell.actor, Counts)
        other = NodeId("w1", 5)
        system.router.node_up(other, "ipc:///nowhere/at/all")
        system.router.launcher = "main"
        cell.children.adopt(system.ref(("w1", "/counts/child", 99)), 7.0)
        system.peers.quarantine(other, "it does not read")
        system.signalled(NodeId("main", 1), 0, NodeDown("w1", 5, "quarantined"))
        assert [failure.message for failure in cell.actor.failed] == [
            "quarantined: it does not read"
        ]


# Those that wait for room


class Sized(Message[int]):
    number: int
    text: str = ""


class Taken(Message[list[int]]):
    pass


class Takes(Actor):
    def __init__(self) -> None:
        self.taken: list[int] = []

    def sized(self, message: Sized) -> int:
        self.taken.append(message.number)
        return message.number

    def all(self, message: Taken) -> list[int]:
        return self.taken


@pytest.mark.parametrize("kind", [Small, Bulky])
async def test_who_gives_up_waiting_for_room_is_forgotten(
    kind: type[Small | Bulky], unreachable: ActorRef
) -> None:
    fill(unreachable, kind("x" * 10_000))
    system = unreachable._system
    link = system.router.link_to(NOWHERE.name)
    assert link is not None
    for _ in range(100):
        for waiting in (unreachable.drain(), unreachable.ask(kind("x" * 10_000), timeout=60)):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await waiting
    assert not link._control.waiters
    assert not link._bulk._waiters
    assert not system.router.queues
    await system.close(linger=0.0)


def test_asks_that_wait_for_room_keep_their_order_and_say_what_remains() -> None:
    on = Simulated(2)

    async def main() -> tuple[list[int], list[float]]:
        graph = ActorGraph("order")
        with graph.supervisor("root"):
            graph.actor("takes", Takes, place=Process("one"))
        with Simulation(on).running() as simulation:
            async with graph.start(on, world=simulation.world("order")) as live:
                ref, router = live["takes"], live.system.router
                remaining: list[float] = []
                link = router.link_to("one")
                assert link is not None
                send = link.send

                def noting(item: Item, nbytes: int) -> None:
                    send(item, nbytes)
                    if item.kind == ASK:
                        remaining.append(item.remaining)

                link.send = noting  # type: ignore[method-assign]  # it looks, and hands on
                simulation.network.freeze("one")
                big = "x" * 3_000_000
                asks = [
                    asyncio.ensure_future(ref.ask(Sized(n, big if n < 8 else ""), timeout=60))
                    for n in range(16)
                ]
                await asyncio.sleep(5)
                assert len(link._control.waiters) == 1, "the others queue behind it"
                simulation.network.thaw("one")
                assert await asyncio.gather(*asks) == list(range(16))
                return await ref.ask(Taken(), timeout=5), remaining

    numbers, remaining = actors.run(main(), on=on)
    assert numbers == list(range(16))
    assert remaining[:2] == [60, 60]
    assert all(50 < each <= 55 for each in remaining[2:16]), "they left after five seconds"
    assert remaining[16:] == [5], "that of the last ask"


def test_an_ask_whose_room_a_tell_took_waits_again() -> None:
    on = Simulated(1)

    async def main() -> int:
        graph = ActorGraph("room")
        with graph.supervisor("root"):
            graph.actor("asker", Asker, place=Process("one"), mailbox=100_000)
        with Simulation(on).running() as simulation:
            async with graph.start(on, world=simulation.world("room")) as live:
                ref = live["asker"]
                simulation.network.freeze("one")
                fill(ref, Small("x" * 10_000))
                filled = []

                async def first() -> None:
                    await ref.drain()
                    fill(ref, Small("x" * 10_000))
                    filled.append(ref)

                other = asyncio.ensure_future(first())
                await asyncio.sleep(0.1)
                ask = asyncio.ensure_future(ref.ask(Small("x" * 10_000), timeout=60))
                await asyncio.sleep(0.1)
                assert not filled
                simulation.network.thaw("one")
                await other
                assert not ask.done()
                return await ask

    assert actors.run(main(), on=on) == 0


def test_an_asker_that_does_not_read_its_answers_holds_up_the_others_for_its_timeout_only() -> None:
    on = Simulated(2)

    async def main() -> float:
        graph = ActorGraph("frozen")
        with graph.supervisor("root"):
            graph.actor("talker", Talker, place=Process("one"), stop_timeout=0.5)
            graph.actor("asker", Asker, place=Process("two"))
        loop = asyncio.get_running_loop()
        with Simulation(on).running() as simulation:
            async with graph.start(on, world=simulation.world("frozen")) as live:
                letters: list[DeadLetter] = []
                live.system.events.subscribe(DeadLetter, letters.append)
                live["asker"].tell(Begin(live["talker"], 3.0))
                await asyncio.sleep(0.5)
                simulation.network.freeze("two")
                began = loop.time()
                assert await live["talker"].ask(Small(), timeout=30) == 0
                took = loop.time() - began
                simulation.network.thaw("two")
        return took

    assert 2.0 < actors.run(main(), on=on) < 3.0


# Stops


def test_a_stop_ends_when_the_node_of_its_actor_dies() -> None:
    on = Simulated(1)

    async def main() -> list[str]:
        graph = ActorGraph("killed")
        with graph.supervisor("root"):
            graph.actor("cleans", Cleans, place=Process("one"), stop_timeout=3600)
        with Simulation(on).running() as simulation:
            async with graph.start(on, world=simulation.world("killed")) as live:
                ask = asyncio.ensure_future(live["cleans"].ask(Small(), timeout=50))
                await asyncio.sleep(0.5)
                stop = asyncio.ensure_future(live.system.stop(live["cleans"]))
                await asyncio.sleep(0.5)
                assert not stop.done()
                simulation.network.freeze("one")
                assert live.system.peers.end_node is not None
                live.system.peers.end_node(
                    live.system.router.directory["one"][0], "as told", "killed"
                )
                async with asyncio.timeout(20):
                    reasons = [await stop]
                with contextlib.suppress(AskError):
                    await ask
                nobody = live.system.ref(("elsewhere", "/nobody", 77))
                reasons.append(await live.system.stop(nobody))
                return reasons

    died, unknown = actors.run(main(), on=on)
    assert died.startswith("its node died: ")
    assert unknown == "node elsewhere is not known or dead"


async def test_an_ask_that_is_open_when_its_system_closes_ends_there(
    unreachable: ActorRef,
) -> None:
    ask = asyncio.ensure_future(unreachable.ask(Small(), timeout=3600))
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await unreachable.system.close(linger=0.0)
        with pytest.raises(AskError) as ended:
            await ask
    assert isinstance(ended.value, PeerLost | Unreachable)
