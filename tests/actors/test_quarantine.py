"""A node that lives but does not read is given up: it counts as dead, is told, and leaves."""

from __future__ import annotations

import asyncio

import pytest

import actors
from actors import (
    Actor,
    ActorGraph,
    ActorRef,
    ActorRestarted,
    AskError,
    CrashPoint,
    Drop,
    Event,
    FaultPlan,
    Message,
    NodeDied,
    NodeQuarantined,
    Process,
    Processes,
    Simulated,
    Terminated,
    Unreachable,
    one_for_one,
    signalling,
)
from actors.serving import EXIT_CUT_OFF
from actors.signals import NODE_UID, NodeUp, Watch
from actors.sim import Simulation
from actors.system import ActorSystem
from tests.actors.echoes import Add, Adder, Pid
from tests.actors.test_simulation import Count, Counter
from transports import NodeId

BOUND = 50


@pytest.fixture(autouse=True)
def small_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (signalling, actors.router):
        monkeypatch.setattr(module, "MAX_UNACKNOWLEDGED", BOUND)


class Flood(Message[None]):
    """Watch that actor so often that its node has to acknowledge all of it."""

    times: int


class Gone(Message[list[str]]):
    """Why watched actors are gone, as far as was told."""


class Watcher(Actor):
    def __init__(self, peer: ActorRef) -> None:
        self.peer = peer
        self.gone: list[str] = []

    async def on_start(self) -> None:
        self.watch(self.peer)

    def flood(self, message: Flood) -> None:
        for _ in range(message.times):
            self.system.signal(self.peer.parts, Watch(self.ref.parts))

    def terminated(self, message: Terminated) -> None:
        self.gone.append(message.reason)

    def reasons(self, message: Gone) -> list[str]:
        return self.gone


POINT = CrashPoint(point="counted", action="sigstop", at=1, node="p0")
ON = Simulated(2, faults=FaultPlan(POINT))


async def frozen(who: str) -> tuple[list[Event], list[str]]:
    """What is heard after p0 froze and ``who`` sent it more signals than are kept."""
    graph = ActorGraph("frozen")
    with graph.supervisor("root", one_for_one(3), place=Process()):
        counter = graph.actor("counter", Counter, first=0)
        graph.actor("watcher", Watcher, peer=counter)
    events: list[Event] = []
    with Simulation(ON).running() as simulation:
        async with graph.start(
            ON,
            world=simulation.world("frozen"),
            before=lambda system: system.events.subscribe(Event, events.append),
        ) as live:
            with pytest.raises(AskError):
                await live["counter"].ask(Count(), timeout=1.0)
            if who == "launcher":
                for _ in range(BOUND + 5):
                    live.system.router.signal("p0", NODE_UID, NodeUp("p7", 1, "sim://p7"))
            else:
                live["watcher"].tell(Flood(BOUND + 5))
            await asyncio.sleep(2.0)
            # Its successor is there, and an actor that watched the dead one knows it is gone.
            assert await live["counter"].ask(Count(), timeout=1.0) == 1
            told = await live["watcher"].ask(Gone(), timeout=1.0)
    return events, told


@pytest.mark.parametrize("who", ["launcher", "sibling"])
def test_a_node_that_leaves_signals_unacknowledged_is_killed_and_replaced(who: str) -> None:
    events, told = actors.run(frozen(who), on=ON)
    (given_up,) = [event for event in events if isinstance(event, NodeQuarantined)]
    assert given_up.node == "p0"
    assert f"it left {BOUND} system signals unacknowledged" in given_up.reason
    assert ("p1 says that" in given_up.reason) == (who == "sibling")
    (died,) = [event for event in events if isinstance(event, NodeDied)]
    assert died.reason == f"quarantined: {given_up.reason}"
    assert len(told) <= 1


async def test_a_burst_to_a_node_that_reads_is_delivered_whole_and_costs_nobody_his_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More than a link holds at once: the rest follows as acknowledgements come."""
    for module in (signalling, actors.router):
        monkeypatch.setattr(module, "MAX_UNACKNOWLEDGED", 1_000_000)
    graph = ActorGraph("burst")
    with graph.supervisor("root", place=Process()):
        graph.actor("adder", Adder, start=1)
    async with graph.start(Processes(1)) as live:
        link = live.system.router.link_to("p0")
        assert link is not None
        peer = link.peer
        filler = NodeUp("p7", 1, "x" * 5000)
        while link.statistics().control.held < link.statistics().control.window // 2:
            live.system.router.signal("p0", NODE_UID, filler)
        for _ in range(3 * link.statistics().control.window // 5000):
            live.system.router.signal("p0", NODE_UID, filler)
        channel = live.system.router._channel(peer)
        assert channel.wired < channel._next, "the link was full"
        async with asyncio.timeout(20):
            while channel.waits:
                await asyncio.sleep(0)
        assert await live["adder"].ask(Add(1), timeout=10) == 2


async def test_a_process_that_counts_as_dead_is_told_and_exits_by_itself() -> None:
    graph = ActorGraph("fenced")
    with graph.supervisor("root", place=Process()):
        graph.actor("adder", Adder, start=1)
    async with graph.start(Processes(1)) as live:
        died: list[NodeDied] = []
        back = asyncio.Event()
        live.system.events.subscribe(NodeDied, died.append)
        live.system.events.subscribe(ActorRestarted, lambda _: back.set())
        first = await live["adder"].ask(Pid(), timeout=10)
        link = live.system.router.link_to("p0")
        assert link is not None
        # Its answer comes when it counts as dead: one that says nothing is not told.
        ask = asyncio.ensure_future(live["adder"].ask(Pid(), timeout=10))
        await asyncio.sleep(0)
        live.system.router.endpoint.fence(link.peer, "as told")
        with pytest.raises(AskError):
            await ask
        async with asyncio.timeout(30):
            # To look again and again would take the processor from the process that is to come.
            await back.wait()
            while True:
                try:
                    second = await live["adder"].ask(Pid(), timeout=10)
                    break
                except (AskError, Unreachable):
                    await asyncio.sleep(0.01)
    assert second != first
    assert died[0].reason == f"exit code {EXIT_CUT_OFF}"
    assert any("node p0 leaves: " in line for line in died[0].lines)
    assert any("was declared dead" in line for line in died[0].lines)


async def test_a_node_whose_launcher_does_not_read_leaves() -> None:
    async with ActorSystem("child") as system:
        system.router.launcher = "launcher"
        launcher = NodeId("launcher", 1)
        system.router.node_up(launcher, "ipc:///nowhere")
        for _ in range(BOUND + 1):
            system.router.signal("launcher", NODE_UID, NodeUp("p7", 1, "sim://p7"))
        reason = await asyncio.wait_for(system.peers.cut_off, 10)
    assert reason == f"it left {BOUND} system signals unacknowledged"


def test_a_signal_that_is_lost_holds_up_the_others_for_one_round_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (signalling, actors.router):
        monkeypatch.setattr(module, "MAX_UNACKNOWLEDGED", 1_000_000)
    on = Simulated(1, faults=FaultPlan(Drop(0.0005), seed=3))

    async def main() -> tuple[float, int]:
        graph = ActorGraph("lossy")
        with graph.supervisor("root", place=Process()):
            graph.actor("counter", Counter, first=0)
        loop = asyncio.get_running_loop()
        with Simulation(on).running() as simulation:
            async with graph.start(on, world=simulation.world("lossy")) as live:
                link = live.system.router.link_to("p0")
                assert link is not None
                channel = live.system.router._channel(link.peer)
                began = loop.time()
                for _ in range(10_000):
                    live.system.router.signal("p0", NODE_UID, NodeUp("p7", 1, "sim://p7"))
                async with asyncio.timeout(120):
                    while channel.waits:
                        await asyncio.sleep(0.05)
                return loop.time() - began, simulation.statistics().faults["drop"]

    took, dropped = actors.run(main(), on=on)
    assert dropped >= 3
    assert took < 2.0 * dropped
