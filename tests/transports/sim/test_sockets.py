"""Simulated sockets one by one: they behave as those of ZeroMQ that they stand for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from transports.sim.errors import RealWorldError
from transports.sim.loop import SimLoop
from transports.sim.net import Net
from transports.sim.network import SimNetwork
from transports.sim.socket import SimSocket
from transports.sim.trace import Trace
from transports.sockets import watch

T = TypeVar("T")


class Sim:
    """A loop and a network on it."""

    def __init__(self, net: Net | None = None, seed: int = 0) -> None:
        self.loop = SimLoop()
        self.trace = Trace(keep=10_000)
        self.network = SimNetwork(self.loop, seed=seed, net=net, trace=self.trace)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            return runner.run(main)

    def pair(self, dialler: str = "a", listener: str = "b") -> tuple[SimSocket, SimSocket]:
        router = self.network.node(listener).socket(zmq.ROUTER)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.bind(f"sim://{listener}")
        dealer = self.network.node(dialler).socket(zmq.DEALER)
        dealer.connect(f"sim://{listener}")
        return dealer, router


def received(socket: SimSocket) -> list[list[bytes]]:
    """All messages that can be read now."""
    messages: list[list[bytes]] = []
    while socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
        parts = [socket.recv(zmq.NOBLOCK)]
        while socket.getsockopt(zmq.RCVMORE):
            parts.append(socket.recv(zmq.NOBLOCK))
        messages.append(parts)
    return messages


def bodies(socket: SimSocket) -> list[bytes]:
    return [parts[-1] for parts in received(socket)]


def check(error: pytest.ExceptionInfo[zmq.ZMQError], number: int) -> None:
    assert error.value.errno == number


nets = st.builds(
    Net,
    delay=st.floats(0, 1),
    jitter=st.floats(0, 1),
    bandwidth=st.floats(1, 1e6) | st.just(float("inf")),
)
sendings = st.lists(st.tuples(st.integers(0, 2000), st.floats(0, 0.5)), min_size=1, max_size=20)


@given(nets, sendings, st.integers(0, 2**32))
def test_a_connection_keeps_the_order_and_each_message_takes_its_time(
    net: Net, sends: list[tuple[int, float]], seed: int
) -> None:
    sim = Sim(net, seed)
    left: list[int] = []

    async def main() -> None:
        dealer, router = sim.pair()
        await asyncio.sleep(5)
        for number, (size, wait) in enumerate(sends):
            left.append(sim.loop.now_ns)
            dealer.send(bytes([number]) + b"\xff" * size)
            await asyncio.sleep(wait)
        await asyncio.sleep(1e6)
        assert [body[0] for body in bodies(router)] == list(range(len(sends)))

    sim.run(main())
    frames = [event for event in sim.trace.events if event.label == "sim frame"]
    assert [frame.number for frame in frames] == list(range(1, len(sends) + 1))
    free = 0
    before = 0
    for frame, ns, (size, _) in zip(frames, left, sends, strict=True):
        free = max(free, ns) + round((size + 1) * 1e9 / net.bandwidth)
        earliest = max(before, free + round(net.delay * 1e9))
        assert earliest <= frame.ns <= max(before, earliest + round(net.jitter * 1e9))
        before = frame.ns


def arrivals(busy: bool, seed: int = 1) -> list[int]:
    """When ten messages from a to b arrive, with or without traffic elsewhere."""
    sim = Sim(Net(0.1, 0.1), seed)

    async def main() -> None:
        if busy:
            other, _ = sim.pair("c", "d")
            third = sim.network.node("a").socket(zmq.DEALER)
            third.connect("sim://d")
        dealer, _ = sim.pair()
        await asyncio.sleep(1)
        for _ in range(10):
            dealer.send(b"x")
            if busy:
                other.send(b"x")
                third.send(b"x")
            await asyncio.sleep(1)

    sim.run(main())
    return [
        e.ns for e in sim.trace.events if (e.source, e.target, e.label) == ("a", "b", "sim frame")
    ]


def test_traffic_elsewhere_changes_no_delay_and_another_seed_changes_all() -> None:
    assert arrivals(busy=True) == arrivals(busy=False)
    assert len(set(arrivals(busy=False)) & set(arrivals(busy=False, seed=2))) == 0


def test_what_is_sent_before_anybody_listens_never_arrives() -> None:
    sim = Sim(Net(0.1))
    ended: list[float] = []

    async def main() -> None:
        dealer = sim.network.node("a").socket(zmq.DEALER)
        dealer.connect("sim://b")
        watch(dealer, lambda: None, lambda: ended.append(sim.loop.time()))
        dealer.send(b"too early")
        await asyncio.sleep(0.15)
        router = sim.network.node("b").socket(zmq.ROUTER)
        router.bind("sim://b")
        await asyncio.sleep(10)
        assert received(router) == []
        with pytest.raises(zmq.Again):
            dealer.send(b"on no connection")
        dealer.connect("sim://b")
        dealer.send(b"in time")
        await asyncio.sleep(10)
        assert bodies(router) == [b"in time"]

    sim.run(main())
    assert ended == [0.2]
    statistics = sim.network.statistics()
    assert (statistics.refused, statistics.connected, statistics.lost) == (1, 1, 1)


def test_a_live_name_cannot_be_listened_at_twice() -> None:
    sim = Sim()

    async def main() -> None:
        _, router = sim.pair()
        for node in ("b", "c"):
            other = sim.network.node(node).socket(zmq.ROUTER)
            with pytest.raises(zmq.ZMQError) as error:
                other.bind("sim://b")
            check(error, zmq.EADDRINUSE)
        router.unbind("sim://b")
        other.bind("sim://b")
        other.close()
        router.bind("sim://b")
        for address in ("tcp://127.0.0.1:1", "ipc:///tmp/x", "sim://", "b"):
            for call in (router.bind, sim.network.node("c").socket(zmq.DEALER).connect):
                with pytest.raises(zmq.ZMQError) as error:
                    call(address)
                check(error, zmq.EPROTONOSUPPORT)

    sim.run(main())


def test_nodes_do_not_see_what_others_listen_at_inside() -> None:
    sim = Sim(Net(0.1))

    async def main() -> None:
        mine, theirs = (sim.network.node(name).socket(zmq.ROUTER) for name in "ab")
        mine.bind("inproc://x")
        theirs.bind("inproc://x")
        dealer = sim.network.node("a").socket(zmq.DEALER)
        dealer.connect("inproc://x")
        dealer.send(b"hello")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (bodies(mine), received(theirs)) == ([b"hello"], [])
        assert sim.loop.time() == 0
        lonely = sim.network.node("c").socket(zmq.DEALER)
        lonely.connect("inproc://x")
        lonely.send(b"into the void")
        await asyncio.sleep(100)

    sim.run(main())
    assert sim.network.statistics().delivered == 1


def test_a_router_answers_by_route_and_knows_who_is_gone() -> None:
    sim = Sim(Net(0.1))
    ended: list[float] = []

    async def main() -> None:
        dealer, router = sim.pair()
        watch(router, lambda: None, lambda: ended.append(sim.loop.time()))
        second = sim.network.node("c").socket(zmq.DEALER)
        second.connect("sim://b")
        dealer.send(b"from a")
        second.send(b"from c")
        await asyncio.sleep(1)
        routes = {body: route for route, body in received(router)}
        for body, route in routes.items():
            router.send(route, zmq.SNDMORE)
            router.send(b"to you, " + body)
        await asyncio.sleep(1)
        assert bodies(dealer) == [b"to you, from a"]
        assert bodies(second) == [b"to you, from c"]
        second.close()
        await asyncio.sleep(1)
        with pytest.raises(zmq.ZMQError) as error:
            router.send(routes[b"from c"], zmq.SNDMORE)
        check(error, zmq.EHOSTUNREACH)
        router.send(routes[b"from a"], zmq.SNDMORE)
        router.send(b"still here")
        await asyncio.sleep(1)
        assert bodies(dealer) == [b"still here"]

    sim.run(main())
    assert ended == [2.1]


def test_parts_arrive_together_and_are_read_into_memory() -> None:
    sim = Sim()

    async def main() -> None:
        dealer, router = sim.pair()
        piece = bytearray(b"0123456789")
        dealer.send(b"header", zmq.SNDMORE)
        await asyncio.sleep(1)
        assert received(router) == []
        dealer.send(memoryview(piece), copy=False)
        await asyncio.sleep(1)
        assert len(router.recv(zmq.NOBLOCK)) == 5
        assert router.recv(zmq.NOBLOCK) == b"header"
        assert router.getsockopt(zmq.RCVMORE) == 1
        memory = bytearray(4)
        assert router.recv_into(memory) == 10, "its true size"
        assert memory == b"0123"
        assert router.getsockopt(zmq.RCVMORE) == 0
        dealer.send(memoryview(piece), copy=True)
        piece[:] = bytes(10)
        await asyncio.sleep(1)
        assert bodies(router) == [b"0123456789"]
        with pytest.raises(zmq.Again):
            router.recv(zmq.NOBLOCK)
        with pytest.raises(RealWorldError, match=r"zmq\.NOBLOCK"):
            router.recv()

    sim.run(main())


def test_the_signal_comes_once_and_a_send_swallows_it() -> None:
    sim = Sim()
    signals: list[float] = []

    async def main() -> None:
        dealer, router = sim.pair()
        dealer.send(b"before anybody watched")
        await asyncio.sleep(1)
        signal = watch(router, lambda: signals.append(sim.loop.time()), None)
        await asyncio.sleep(1)
        assert signals == [1.0]
        dealer.send(b"the reader was told and has not read")
        await asyncio.sleep(1)
        assert signals == [1.0]
        route = received(router)[0][0]  # it reads until nothing is left
        dealer.send(b"again")
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # it arrived, and the signal is about to come
        router.send(route, zmq.SNDMORE)
        router.send(b"swallows what it was about to be told")
        await asyncio.sleep(1)
        assert signals == [1.0]
        assert bodies(router) == [b"again"]
        dealer.send(b"once more")
        await asyncio.sleep(1)
        assert signals == [1.0, 4.0]
        received(router)
        signal.stop()
        dealer.send(b"nobody watches")
        await asyncio.sleep(1)
        assert signals == [1.0, 4.0]

    sim.run(main())


def test_a_message_that_comes_alone_is_handed_over_and_any_other_one_is_told_of() -> None:
    sim = Sim()
    who: ContextVar[str] = ContextVar("who", default="nobody")
    taken: list[tuple[bytes, str]] = []
    signals: list[float] = []

    def take(route: bytes, data: bytes) -> None:
        assert len(route) == 5
        taken.append((data, who.get()))

    async def main() -> None:
        dealer, router = sim.pair()
        who.set("reader")
        watch(router, lambda: signals.append(sim.loop.time()), None, take)
        who.set("sender")
        for data in (b"alone", b"once more"):
            dealer.send(data)
            await asyncio.sleep(1)
        assert taken == [(b"alone", "reader"), (b"once more", "reader")]
        assert not signals
        assert received(router) == []
        dealer.send(b"not the last", zmq.SNDMORE)
        dealer.send(b"part")
        await asyncio.sleep(1)
        assert signals == [2.0]
        dealer.send(b"behind what is unread")
        await asyncio.sleep(1)
        assert signals == [2.0]
        assert [parts[1:] for parts in received(router)] == [
            [b"not the last", b"part"], [b"behind what is unread"]
        ]  # fmt: skip
        dealer.send(b"two")
        dealer.send(b"at once")
        await asyncio.sleep(1)
        assert signals == [2.0, 4.0]
        assert bodies(router) == [b"two", b"at once"]
        dealer.send(b"another callback is due")
        sim.loop.call_at_ns(sim.loop.now_ns, lambda: None)
        await asyncio.sleep(1)
        assert signals == [2.0, 4.0, 5.0]
        assert bodies(router) == [b"another callback is due"]
        assert len(taken) == 2

    sim.run(main())


def test_signals_come_in_the_context_of_who_watches_and_not_of_who_sends() -> None:
    sim = Sim()
    who: ContextVar[str] = ContextVar("who", default="nobody")
    seen: list[str] = []

    async def main() -> None:
        dealer, router = sim.pair()
        who.set("watcher")
        watch(router, lambda: seen.append(who.get()), lambda: seen.append(who.get()))
        who.set("sender")
        dealer.send(b"hello")
        await asyncio.sleep(1)
        dealer.close()
        await asyncio.sleep(1)

    sim.run(main())
    assert seen == ["watcher", "watcher"]


def test_what_had_left_a_frozen_node_arrives_and_what_it_sends_waits() -> None:
    sim = Sim(Net(delay=1))
    ended: list[float] = []

    async def main() -> None:
        dealer, router = sim.pair()
        watch(dealer, lambda: None, lambda: ended.append(sim.loop.time()))
        await asyncio.sleep(10)
        with sim.network.node("a").inside():
            dealer.send(b"has left")
        sim.network.freeze("a")
        dealer.send(b"waits")
        await asyncio.sleep(10)
        assert bodies(router) == [b"has left"]
        sim.network.thaw("a")
        sim.network.freeze("a")
        await asyncio.sleep(10)
        assert bodies(router) == [b"waits"]
        sim.network.cut("a", "b")
        await asyncio.sleep(10)
        assert ended == []
        sim.network.thaw("a")
        await asyncio.sleep(10)
        assert ended == [40.0]

    sim.run(main())


def test_what_is_on_the_way_to_a_socket_that_closes_is_lost() -> None:
    sim = Sim(Net(delay=1))

    async def main() -> None:
        dealer, router = sim.pair()
        dealer.send(b"hello")
        await asyncio.sleep(10)
        route = router.recv(zmq.NOBLOCK)
        for _ in range(3):
            router.send(route, zmq.SNDMORE)
            router.send(b"answer")
        dealer.close()
        await asyncio.sleep(10)

    sim.run(main())
    statistics = sim.network.statistics()
    assert (statistics.sent, statistics.delivered, statistics.lost) == (4, 1, 3)


@pytest.mark.parametrize(
    ("linger", "arrived", "end"), [(0, 0, 110.0), (2500, 2, 112.5), (-1, 4, 114.0)]
)
def test_a_closed_socket_sends_on_as_long_as_it_lingers(
    linger: int, arrived: int, end: float
) -> None:
    sim = Sim(Net(delay=10, bandwidth=1000))
    ended: list[float] = []

    async def main() -> None:
        dealer, router = sim.pair()
        watch(router, lambda: None, lambda: ended.append(sim.loop.time()))
        await asyncio.sleep(100)
        for number in range(4):
            dealer.send(bytes([number]) * 1000)
        dealer.close(linger)
        await asyncio.sleep(100)
        assert [body[0] for body in bodies(router)] == list(range(arrived))
        assert router.connections == ()
        with pytest.raises(zmq.ZMQError) as error:
            dealer.send(b"")
        check(error, zmq.ENOTSOCK)

    sim.run(main())
    assert ended == [end]
    statistics = sim.network.statistics()
    assert (statistics.sent, statistics.delivered, statistics.lost) == (4, arrived, 4 - arrived)
    assert statistics.connections == 0


@pytest.mark.parametrize(("linger", "arrived"), [(0, 0), (15_000, 0), (30_000, 1)])
def test_a_socket_closed_before_it_is_connected_lingers_too(linger: int, arrived: int) -> None:
    sim = Sim(Net(delay=10))

    async def main() -> None:
        dealer, router = sim.pair()
        dealer.send(b"hello")
        dealer.close(linger)
        await asyncio.sleep(100)
        assert len(received(router)) == arrived
        assert router.connections == ()

    sim.run(main())
    assert sim.network.statistics().lost == 1 - arrived
    assert sim.network.statistics().connections == 0


def test_a_frame_over_the_receivers_limit_ends_the_connection() -> None:
    sim = Sim()

    async def main() -> None:
        dealer, router = sim.pair()
        router.setsockopt(zmq.MAXMSGSIZE, 100)
        dealer.send(bytes(100))
        dealer.send(bytes(101))
        dealer.send(bytes(1))
        await asyncio.sleep(1)
        assert list(map(len, bodies(router))) == [100]
        assert dealer.connections == router.connections == ()

    sim.run(main())


def test_only_what_the_transports_use_is_simulated() -> None:
    sim = Sim()
    node = sim.network.node("a")
    with pytest.raises(RealWorldError, match="PUB is not simulated"):
        node.socket(zmq.PUB)
    dealer = node.socket(zmq.DEALER)
    dealer.setsockopt(zmq.SNDHWM, 0)
    assert dealer.getsockopt(zmq.SNDHWM) == 0
    with pytest.raises(zmq.ZMQError) as error:
        dealer.getsockopt(zmq.FD)
    check(error, zmq.EINVAL)
    dealer.connect("sim://b")
    with pytest.raises(zmq.ZMQError) as error:
        dealer.connect("sim://c")
    check(error, zmq.EINVAL)
    assert repr(dealer) == "<SimSocket DEALER of a connections=1 inbox=0>"
    dealer.close()
    dealer.close()
    assert dealer.closed
    assert repr(dealer) == "<SimSocket DEALER of a closed inbox=0>"
    sim.loop.close()


@pytest.mark.parametrize(
    "wrong", [{"delay": -1}, {"jitter": -1}, {"bandwidth": 0}, {"delay": float("nan")}]
)
def test_a_net_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        Net(**wrong)


def test_a_name_is_free_once_who_listened_there_has_closed_or_crashed() -> None:
    sim = Sim()

    async def main() -> None:
        _, router = sim.pair()
        other = sim.network.node("b").socket(zmq.ROUTER)
        other.bind("sim://other")
        router.close()
        sim.network.node("c").socket(zmq.ROUTER).bind("sim://b")
        with pytest.raises(zmq.ZMQError):
            sim.network.node("c").socket(zmq.ROUTER).bind("sim://other")
        sim.network.crash("b")
        sim.network.node("c").socket(zmq.ROUTER).bind("sim://other")

    sim.run(main())
