"""Endpoints on a simulated network that is slow, cut, frozen and loses nodes."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
import zmq

from tests.transports.sim.world import SimWorld
from tests.transports.world import Note, arrays, finished
from transports.address import Address
from transports.errors import AddressError, AddressInUse, LinkClosed
from transports.identity import NodeId
from transports.limits import Limits
from transports.link import Link
from transports.sim.errors import SimulationError
from transports.sim.net import Net
from transports.sim.network import NetworkStatistics
from transports.sockets import check_scheme

SMALL = Limits(chunk=4096, chunk_window=2, inline=256)
LONG = 60.0
"""Virtual seconds in which everything has happened that will."""


def echo(link: Link[Note], items: list[Note]) -> None:
    for item in items:
        link.send(item, 10)


def epochs(link: Link[Note]) -> tuple[int, int]:
    statistics = link.statistics()
    return statistics.control.epoch, statistics.bulk.epoch


def accounts(statistics: NetworkStatistics) -> None:
    """Every message is delivered or lost, once nothing is on the way."""
    assert statistics.sent == statistics.delivered + statistics.lost


@pytest.fixture
def net() -> Net:
    return Net(delay=0.01)


@pytest.fixture
def world(net: Net, sim_world: SimWorld) -> SimWorld:
    return sim_world


# Slow


async def test_a_message_takes_the_delay_and_its_answer_too(world: SimWorld) -> None:
    one, two, there, _ = await world.pair()
    two.recorder.react = echo
    start = world.loop.now_ns
    there.send(Note(1), 10)
    await one.recorder.until(lambda: one.recorder.items)
    assert world.loop.now_ns - start == 20_000_000


@pytest.mark.parametrize(
    ("net", "seconds"),
    [
        # Three round trips: opened and credited, a window of four pieces, the rest and the end.
        (Net(delay=1.0), 6.0),
        # A window fills the pipe for longer than a round trip, so only bandwidth counts.
        (Net(delay=0.01, bandwidth=50e6), 0.04 + 5 * 2**20 / 50e6),
    ],
)
async def test_a_transfer_of_5_mib_takes_the_time_it_should(
    world: SimWorld, net: Net, seconds: float
) -> None:
    _, two, there, _ = await world.pair()
    model = arrays(5 * 2**20)
    start = world.loop.time()
    await finished(there.transfer(Note(1), [model], 10, pair=0).done)
    assert world.loop.time() - start == pytest.approx(seconds, rel=0.01)
    ((_, (got,)),) = two.recorder.transfers
    assert got == model


async def test_lanes_do_not_slow_each_other_and_a_link_can_be_made_slow(world: SimWorld) -> None:
    one, two, there, _ = await world.pair()
    two.recorder.react = echo
    world.network.shape("a", "b", Net(delay=0.1, bandwidth=1e6))
    transfer = there.transfer(Note(0), [arrays(10**6)], 10, pair=0)
    start = world.loop.time()
    there.send(Note(1), 10)
    await one.recorder.until(lambda: one.recorder.items)
    assert world.loop.time() - start == pytest.approx(0.2, rel=0.01)
    await finished(transfer.done)
    assert world.loop.time() - start == pytest.approx(1.4, rel=0.01)


async def test_the_net_may_be_a_function_of_the_two_nodes(sim_world: SimWorld) -> None:
    def far(source: str, target: str) -> Net:
        return Net(1.0) if "far" in (source, target) else Net()

    world = SimWorld(net=far)
    hub = await world.node("hub")
    address = await hub.endpoint.listen("sim://hub")
    for name, seconds in (("near", 0.0), ("far", 4.0)):
        node = await world.node(name)
        start = world.loop.time()
        node.endpoint.dial(hub.id, address)
        await node.recorder.until(lambda n=node: n.recorder.ups)  # type: ignore[misc]  # a default binds it
        assert world.loop.time() - start == seconds
    await world.close()


# Cut


async def test_a_cut_link_comes_up_again_with_a_new_epoch_when_it_heals(world: SimWorld) -> None:
    one, two, there, back = await world.pair()
    before = epochs(there)
    there.send(Note(1), 10)
    await asyncio.sleep(1)
    there.send(Note(2), 10)
    world.network.cut("b", "a")
    await one.recorder.until(lambda: one.recorder.downs)
    assert there.state == "down"
    there.send(Note(3), 10)
    await asyncio.sleep(LONG)
    assert (there.state, back.state, two.recorder.numbers) == ("down", "down", [1])
    world.network.uncut("a", "b")
    await two.recorder.until(lambda: two.recorder.numbers == [1, 3])
    assert (there.state, back.state) == ("up", "up")
    assert epochs(there) > before
    assert [down[0] for down in one.recorder.downs] == ["down"]
    assert one.recorder.downs[0][2].control == ((2, 2),)
    statistics = world.network.statistics()
    assert (statistics.cuts, statistics.cut) == (1, 2)
    assert statistics.refused > 5


async def test_a_partition_separates_the_groups_and_nobody_else(world: SimWorld) -> None:
    hub = await world.node("hub")
    address = await hub.endpoint.listen("sim://hub")
    others = {name: await world.node(name) for name in ("a", "b", "c")}
    links = {name: node.endpoint.dial(hub.id, address) for name, node in others.items()}
    await asyncio.sleep(1)
    world.network.partition(["hub", "a"], ["b"])
    await asyncio.sleep(LONG)
    assert {name: link.state for name, link in links.items()} == {
        "a": "up",
        "b": "down",
        "c": "down",
    }
    assert world.network.separated("b", "c")
    assert not world.network.separated("c", "d"), "who is not named is together"
    world.network.partition(["hub", "b"])
    await asyncio.sleep(LONG)
    assert {name: link.state for name, link in links.items()} == {
        "a": "down",
        "b": "up",
        "c": "down",
    }
    world.network.heal()
    await asyncio.sleep(LONG)
    assert {link.state for link in links.values()} == {"up"}
    with pytest.raises(ValueError, match="'a' is in two groups"):
        world.network.partition(["a"], ["b", "a"])
    assert world.network.statistics().partitions == 2


async def test_every_message_is_received_once_or_counted_lost(world: SimWorld) -> None:
    one, two, there, _ = await world.pair()
    number = 0
    for _ in range(5):
        for _ in range(100):
            number += 1
            there.send(Note(number), 10)
            await asyncio.sleep(0.001)
        world.network.cut("a", "b")
        world.network.uncut("a", "b")
    await asyncio.sleep(LONG)
    lost = {
        n
        for _, _, lost in one.recorder.downs
        for first, last in lost.control
        for n in range(first, last + 1)
    }
    missing = set(range(1, number + 1)) - set(two.recorder.numbers)
    assert two.recorder.numbers == sorted(set(two.recorder.numbers))
    assert 0 < len(missing) <= len(lost)
    assert missing <= lost
    accounts(world.network.statistics())


async def test_a_transfer_that_is_cut_goes_on_where_it_was(world: SimWorld) -> None:
    _, two, there, _ = await world.pair(SMALL)
    model = arrays(300_000)
    transfer = there.transfer(Note(1), [model], 10, pair=0)
    before = world.network.statistics().nbytes
    progress = 0
    for _ in range(4):
        await asyncio.sleep(0.1)
        assert progress < transfer.progress < transfer.total
        progress = transfer.progress
        world.network.cut("a", "b")
        world.network.uncut("a", "b")
    await finished(transfer.done)
    ((_, (got,)),) = two.recorder.transfers
    assert got == model
    assert world.network.statistics().nbytes - before < 350_000


# Crash


async def test_nothing_leaves_a_crashed_node_and_its_peers_see_the_end(world: SimWorld) -> None:
    one, two, there, back = await world.pair()
    there.send(Note(1), 10)
    node = world.network.node("a")
    world.network.crash("a")
    there.send(Note(2), 10)
    assert await one.endpoint.close(), "its goodbye is heard by nobody"
    await two.recorder.until(lambda: two.recorder.downs)
    assert two.recorder.numbers == [1], "what had left arrives"
    assert two.recorder.downs[0][0] == "down"
    assert "gone" in two.recorder.downs[0][1] or "unreachable" in two.recorder.downs[0][1]
    assert back.state == "down"
    assert node.state == "crashed"
    assert world.network.node("a") is not node
    assert world.network.statistics().crashes == 1
    with pytest.raises(KeyError, match="no node 'c' lives on this network; there are: b, a"):
        world.network.crash("c")


async def test_a_meter_hears_of_every_byte_that_arrives_and_of_both_ends(world: SimWorld) -> None:
    heard: Counter[tuple[str, str]] = Counter()

    def meter(source: str, target: str, nbytes: int) -> None:
        heard[source, target] += nbytes

    world.network.metered_by(meter)
    _, two, there, _ = await world.pair()
    there.send(Note(1), 10)
    await two.recorder.until(lambda: two.recorder.numbers)
    assert heard["a", "b"] > 0 < heard["b", "a"]
    assert heard.total() == world.network.statistics().nbytes


async def test_the_successor_of_a_crashed_node_listens_at_its_address_and_is_another(
    world: SimWorld,
) -> None:
    one, two, there, _ = await world.pair()
    with pytest.raises(AddressInUse):
        await one.endpoint.listen("sim://b")
    world.network.crash("b")
    there.send(Note(1), 10)
    transfer = there.transfer(Note(2), [arrays(1000)], 10, pair=0)
    await one.recorder.until(lambda: one.recorder.downs)
    there.send(Note(3), 10)
    successor = await world.node("b")
    address = await successor.endpoint.listen("sim://b")
    with pytest.raises(LinkClosed):
        await transfer.done
    assert one.recorder.downs[-1][0] == "closed"
    assert f"{successor.id} listens here, not {two.id}" in one.recorder.downs[-1][1]
    assert one.recorder.downs[-1][2].unsent == 1
    again = one.endpoint.dial(successor.id, address)
    again.send(Note(4), 10)
    await successor.recorder.until(lambda: successor.recorder.items)
    assert (two.recorder.items, successor.recorder.numbers) == ([], [4])


async def test_reaping_a_crashed_node_ends_its_tasks_and_leaves_no_timer(world: SimWorld) -> None:
    _, two, there, _ = await world.pair()
    last_words: list[str] = []

    async def speak() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            last_words.append(asyncio.current_task().get_name())  # type: ignore[union-attr]  # a task runs this
            there.send(Note(9), 10)

    async def hang() -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(20)

    node = world.network.node("a")
    with node.inside():
        tasks = [world.loop.create_task(speak(), name=f"{n}") for n in range(3)]
        hung = world.loop.create_task(hang(), name="hung")
        world.clock().call_later(1000, last_words.append, "of a timer")
    with pytest.raises(RuntimeError, match="after it has crashed"):
        await node.reap()
    assert node.tasks == [*tasks, hung]
    await asyncio.sleep(1)
    world.network.crash("a")
    with pytest.raises(SimulationError, match="node 'a' do not end when cancelled: hung"):
        await node.reap()
    assert last_words == ["0", "1", "2"]
    await asyncio.sleep(20)
    waiting = world.loop.statistics().waiting
    await node.reap()
    assert node.tasks == []
    assert world.loop.statistics().waiting < waiting
    await asyncio.sleep(1000)
    assert last_words == ["0", "1", "2"]
    assert two.recorder.items == []


# Frozen


async def test_what_is_sent_to_a_frozen_node_waits_and_so_does_what_it_sends(
    world: SimWorld,
) -> None:
    one, two, there, back = await world.pair()
    beats: list[float] = []

    async def beat() -> None:
        for _ in range(20):
            beats.append(world.loop.time())
            await asyncio.sleep(1)

    with world.network.node("b").inside():
        world.loop.create_task(beat())
    await asyncio.sleep(0.5)
    world.network.freeze("b")
    world.network.freeze("b")
    for number in range(10):
        there.send(Note(number), 10)
        back.send(Note(number), 10)
        await asyncio.sleep(1)
    assert (one.recorder.items, two.recorder.items) == ([], [])
    assert (there.state, back.state) == ("up", "up"), "nobody can tell it from a slow one"
    assert world.network.node("b").state == "frozen"
    thawed = world.loop.time()
    world.network.thaw("b")
    world.network.thaw("b")
    await two.recorder.until(lambda: two.recorder.numbers == list(range(10)))
    assert world.loop.time() == thawed
    await one.recorder.until(lambda: one.recorder.numbers == list(range(10)))
    assert world.loop.time() == pytest.approx(thawed + 0.01)
    await asyncio.sleep(20)
    assert len(beats) == 20
    assert beats[1] - beats[0] > 10, "it did not run meanwhile"
    statistics = world.network.statistics()
    assert statistics.freezes == 1
    assert statistics.held >= 20


async def test_a_frozen_node_is_connected_to_but_does_not_answer(world: SimWorld) -> None:
    one, two = await world.node("a", Limits(hello_timeout=5.0)), await world.node("b")
    await two.endpoint.listen("sim://b")
    world.network.freeze("b")
    link = one.endpoint.dial(two.id, "sim://b")
    await asyncio.sleep(12)
    assert link.state == "connecting"
    assert world.network.statistics().refused == 0
    assert link.channel("control").state in {"greeting", "down"}
    world.network.thaw("b")
    await one.recorder.until(lambda: one.recorder.ups)
    link.send(Note(1), 10)
    await two.recorder.until(lambda: two.recorder.numbers == [1])


async def test_a_peer_that_is_away_for_long_is_dialled_less_often(world: SimWorld) -> None:
    one, two, there, _ = await world.pair()

    async def hellos(seconds: float) -> float:
        before = world.network.statistics().sent
        await asyncio.sleep(seconds)
        return (
            world.network.statistics().sent - before
        ) / 2  # who dialled says hello on both lanes

    world.network.cut("a", "b")
    assert 60 <= await hellos(60.0) <= 130, "a second apart at most in the first minute"
    await asyncio.sleep(3600.0)
    assert 3600 / 30 <= await hellos(3600.0) <= 2 * 3600 / 30 + 1
    world.network.uncut("a", "b")
    await asyncio.sleep(30.0 + LONG)
    assert there.state == "up"
    world.network.cut("a", "b")
    assert 60 <= await hellos(60.0) <= 130, "an outage of its own begins at the start"
    world.network.uncut("a", "b")
    await asyncio.sleep(LONG)
    assert {len(one.recorder.ups), len(two.recorder.ups)} == {3}


async def test_a_node_that_was_frozen_learns_late_that_its_connection_ended(
    world: SimWorld,
) -> None:
    one, two, there, back = await world.pair()
    world.network.freeze("b")
    world.network.cut("a", "b")
    await asyncio.sleep(LONG)
    assert (there.state, back.state) == ("down", "up")
    world.network.thaw("b")
    await two.recorder.until(lambda: two.recorder.downs)
    world.network.uncut("a", "b")
    await one.recorder.until(lambda: len(one.recorder.ups) == 2)
    assert (there.state, back.state) == ("up", "up")


async def test_representations_tell_the_state(world: SimWorld) -> None:
    await world.pair()
    network = world.network
    assert repr(network).startswith("<SimNetwork at 0.04 s nodes=2 connections=6 delivered=")
    assert repr(network.node("a")) == "<SimNode a live>"
    network.freeze("a")
    assert repr(network.node("a")) == "<SimNode a frozen>"
    node = network.node("a")
    network.crash("a")
    assert repr(node) == "<SimNode a crashed>"
    network.cut("a", "b")


async def test_real_and_simulated_addresses_do_not_mix(world: SimWorld) -> None:
    node = await world.node("a")
    with pytest.raises(AddressError, match=r"ipc:///nowhere/x is real .* use sim://name"):
        await node.endpoint.listen("ipc:///nowhere/x")
    with pytest.raises(AddressError, match="use sim://name"):
        node.endpoint.dial(NodeId("b", 1), "ipc:///nowhere/x")
    with pytest.raises(AddressError, match="sim://b needs a simulated network"):
        check_scheme(zmq.Context.instance(), Address.parse("sim://b"))
