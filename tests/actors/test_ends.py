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
    CannotEncode,
    Message,
    Process,
    Simulated,
    Unreachable,
)
from actors.errors import PeerLost
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
    system.node_died(NOWHERE, "as told")
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


async def test_an_ask_that_is_open_when_its_system_closes_ends_there() -> None:
    held = asyncio.Event()
    system = ActorSystem("here")
    await system.start()
    ref = system.new_ref("stubborn")
    cell = system.make("stubborn", Stubborn, {"held": held}, ref=ref)
    cell.stop_timeout = 0.1
    system._top[cell.uid] = cell.ref
    ask = asyncio.ensure_future(ref.ask(Small(), timeout=3600))
    async with asyncio.timeout(10):
        await held.wait()
        await system.close()
        with pytest.raises(PeerLost, match="here was closed while /stubborn had Small"):
            await ask


# A reply that finds no room


class Fill(Message[str]):
    """Wait a second, fill the link to that actor, and answer the asker, who is beside it."""

    other: ActorRef


class Begin(Message[None]):
    talker: ActorRef


class Talker(Actor):
    async def fill(self, message: Fill) -> str:
        await asyncio.sleep(1.0)
        fill(message.other, Small("x" * 10_000))
        return "x" * 10_000


class Asker(Actor):
    def small(self, message: Small) -> int:
        return 0

    def begin(self, message: Begin) -> None:
        async def ask() -> str:
            return await message.talker.ask(Fill(self.ref), timeout=600)

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
        cell.adopt(system.ref(("w1", "/counts/child", 99)))
        system.quarantine(other, "it does not read")
        system.signalled(NodeId("main", 1), 0, NodeDown("w1", 5, "quarantined"))
        assert [failure.message for failure in cell.actor.failed] == [
            "quarantined: it does not read"
        ]
