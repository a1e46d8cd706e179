from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.transports.world import World
from transports.address import Address, prepare
from transports.errors import AddressError, AddressInUse
from transports.identity import NodeId

NODE = NodeId("a", 0xABCDEF)


def test_each_lane_has_a_suffix_of_its_own() -> None:
    address = Address.parse("ipc:///run/x/node")
    assert address.endpoint("control") == "ipc:///run/x/node.c"
    assert address.endpoint("bulk") == "ipc:///run/x/node.b"
    assert str(address) == "ipc:///run/x/node"


def test_a_star_becomes_the_incarnation_of_who_listens() -> None:
    assert str(Address.parse("ipc:///run/a-*", NODE)) == "ipc:///run/a-abcdef"
    assert str(Address.parse("inproc://a-*", NODE)) == "inproc://a-abcdef"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tcp://1.2.3.4:5", "not on this machine"),
        ("nonsense", "none of inproc"),
        ("tcp://nowhere.example:5", "not on this machine"),
        ("tcp://127.0.0.1", "not on this machine"),
        ("tcp://127.0.0.1:x", "two different ports"),
        ("tcp://127.0.0.1:5,5", "two different ports"),
        ("tcp://127.0.0.1:5,6,7", "two different ports"),
        ("tcp://127.0.0.1:65535", "two different ports"),
        ("tcp://127.0.0.1:99999,5", "two different ports"),
        ("tcp://127.0.0.1:*", "two different ports"),
        ("ipc://relative/path", "absolute path"),
        ("inproc://", "no name"),
        ("inproc://a\nb", "cannot be printed"),
        ("inproc://" + "x" * 600, "512 bytes"),
        ("ipc:///" + "x" * 105, "takes 108 bytes with its lane suffix and the system allows 107"),
    ],
)
def test_addresses_that_cannot_work_are_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(AddressError, match=why):
        Address.parse(text)


def test_the_longest_path_is_taken() -> None:
    assert len(Address.parse("ipc:///" + "x" * 104).endpoint("control")) == len("ipc://") + 107


def test_a_directory_that_others_may_enter_is_refused(private_directory: Path) -> None:
    directory = private_directory / "open"
    directory.mkdir(mode=0o755)
    with pytest.raises(AddressError, match="mode 700"):
        prepare(Address.parse(f"ipc://{directory}/n"))


def test_a_missing_directory_is_made_private(private_directory: Path) -> None:
    prepare(Address.parse(f"ipc://{private_directory}/new/n"))
    assert (private_directory / "new").stat().st_mode & 0o777 == 0o700


def test_a_file_in_the_way_is_left_alone(private_directory: Path) -> None:
    (private_directory / "n.b").write_text("precious")
    with pytest.raises(AddressError, match="is no socket"):
        prepare(Address.parse(f"ipc://{private_directory}/n"))
    assert (private_directory / "n.b").read_text() == "precious"


def test_a_stale_socket_is_removed_and_a_live_one_refused(private_directory: Path) -> None:
    path = str(private_directory / "n.c")
    address = Address.parse(f"ipc://{private_directory}/n")
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(path)
        live.listen()
        with pytest.raises(AddressInUse, match="live listener"):
            prepare(address)
    assert Path(path).exists()
    prepare(address)
    assert not Path(path).exists()


async def test_a_second_listener_on_a_live_address_is_refused(world: World) -> None:
    one, two = await world.node("a"), await world.node("b")
    address = await one.endpoint.listen(world.address("here"))
    with pytest.raises(AddressInUse):
        await two.endpoint.listen(address)
    assert len(two.endpoint.addresses) == 1
    await one.endpoint.close()
    assert await two.endpoint.listen(address) == address


async def test_sockets_are_gone_after_close(ipc_world: World) -> None:
    node = await ipc_world.node("a")
    await node.endpoint.listen(ipc_world.address("here"))
    assert sorted(path.name for path in ipc_world.directory.iterdir()) == ["here.b", "here.c"]
    await node.endpoint.close()
    assert not list(ipc_world.directory.iterdir())


def test_each_lane_of_tcp_has_a_port_of_its_own() -> None:
    address = Address.parse("tcp://127.0.0.1:5001")
    assert str(address) == "tcp://127.0.0.1:5001,5002"
    assert address.endpoint("control") == "tcp://127.0.0.1:5001"
    assert address.endpoint("bulk") == "tcp://127.0.0.1:5002"
    assert str(Address.parse("tcp://[::1]:7,9")) == "tcp://[::1]:7,9"
    assert Address.parse("tcp://localhost:*", NODE).endpoint("bulk") == "tcp://localhost:*"


@pytest.fixture
async def tcp_world(private_directory: Path) -> AsyncIterator[World]:
    world = World(private_directory, "tcp")
    yield world
    await world.close()


async def test_the_system_chooses_ports_and_they_are_told(tcp_world: World) -> None:
    world = tcp_world
    one = await world.node("a")
    address = await one.endpoint.listen("tcp://127.0.0.1:*")
    ports = [int(port) for port in address.rpartition(":")[2].split(",")]
    assert len(set(ports)) == 2
    assert address in one.endpoint.addresses
    other = await world.node("b")
    with pytest.raises(AddressInUse, match="is in use by a live listener"):
        await other.endpoint.listen(address)
    free = await other.endpoint.listen("tcp://127.0.0.1:*")
    assert free != address


async def test_a_port_in_use_for_one_lane_frees_the_other(tcp_world: World) -> None:
    one = await tcp_world.node("a")
    with socket.socket() as taken, socket.socket() as free:
        for each in (taken, free):
            each.bind(("127.0.0.1", 0))
        taken.listen()
        busy, control = taken.getsockname()[1], free.getsockname()[1]
        free.close()
        with pytest.raises(AddressInUse):
            await one.endpoint.listen(f"tcp://127.0.0.1:{control},{busy}")
    await one.endpoint.listen(f"tcp://127.0.0.1:{control},{busy}")
