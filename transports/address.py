"""Addresses of listeners: what may be listened at, and the sockets of the lanes behind it."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from transports.errors import AddressError, AddressInUse
from transports.identity import NodeId

Lane = Literal["control", "bulk"]
LANES: Final[tuple[Lane, Lane]] = ("control", "bulk")

# Short, because an ipc path has to fit with it into MAX_PATH_BYTES.
_SUFFIX: Final[dict[Lane, str]] = {"control": ".c", "bulk": ".b"}

MAX_PATH_BYTES: Final = 107
"""Bytes of an AF_UNIX path on Linux: 108 with its terminator. libzmq cuts a longer one in
silence."""

_LAST_PORT: Final = 65535

MAX_ADDRESS_BYTES: Final = 512
"""Bytes of any address; nothing longer is ever connected to."""


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed address.

    Attributes:
        scheme: "inproc", "ipc", "tcp" or "sim".
        rest: the name after inproc:// or sim://, the absolute path after ipc:// without lane
            suffix, or host and ports after tcp://, "127.0.0.1:5001,5002": control, bulk.
    """

    scheme: Literal["inproc", "ipc", "tcp", "sim"]
    rest: str

    @staticmethod
    def parse(text: str, node: NodeId | None = None) -> Address:
        """Read "inproc://name", "ipc:///directory/base", "tcp://host:port,port" or "sim://name".

        Of tcp the second port, that of the bulk lane, is the next one where it is not given; "*"
        for both lets the system choose them, for a listener only.

        Args:
            text: the address. A base that ends in "*" gets the incarnation of ``node`` there.
            node: who listens; None where the address is only dialled.

        Raises:
            AddressError: another scheme, an empty name, a relative or too long path, no port, a
                host that is not this machine.
        """
        scheme, separator, rest = text.partition("://")
        shown = text if len(text) <= MAX_ADDRESS_BYTES else text[:64] + "..."
        if not separator or scheme not in {"inproc", "ipc", "tcp", "sim"}:
            raise AddressError(
                f"address {shown!r} is none of inproc://name, ipc:///directory/base, "
                "tcp://127.0.0.1:port, and sim://name in a simulation"
            )
        if scheme == "tcp":
            return Address("tcp", _tcp(rest, shown, listening=node is not None))
        if node is not None and rest.endswith("*"):
            rest = f"{rest[:-1]}{node.incarnation:06x}"
        if not rest or not rest.isprintable() or len(text.encode()) > MAX_ADDRESS_BYTES:
            raise AddressError(
                f"address {shown!r} has no name, one that cannot be printed, or more than "
                f"{MAX_ADDRESS_BYTES} bytes"
            )
        if scheme == "inproc":
            return Address("inproc", rest)
        if scheme == "sim":
            return Address("sim", rest)
        length = len(os.fsencode(rest)) + max(map(len, _SUFFIX.values()))
        if not rest.startswith("/"):
            raise AddressError(f"address {shown!r} needs an absolute path: ipc:///directory/base")
        if length > MAX_PATH_BYTES:
            raise AddressError(
                f"ipc path {rest!r} takes {length} bytes with its lane suffix and the system "
                f"allows {MAX_PATH_BYTES}: choose a shorter directory"
            )
        return Address("ipc", rest)

    def endpoint(self, lane: Lane) -> str:
        """What the socket of one lane binds or connects to."""
        if self.scheme == "tcp":
            host, _, ports = self.rest.rpartition(":")
            port = ports.split(",")[LANES.index(lane)]
            return f"tcp://{host}:{port}"
        return f"{self.scheme}://{self.rest}{_SUFFIX[lane]}"

    def with_ports(self, ports: Sequence[str]) -> Address:
        """The same with the ports that the system chose, one per lane."""
        host, _, _ = self.rest.rpartition(":")
        return Address(self.scheme, f"{host}:{','.join(ports)}")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.rest}"


def _tcp(rest: str, shown: str, *, listening: bool) -> str:
    """Host and ports of both lanes, checked.

    Raises:
        AddressError: no loopback address of this machine, or no port.
    """
    host, separator, ports = rest.rpartition(":")
    try:
        loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not separator or not loopback:
        raise AddressError(
            f"address {shown!r} is not on this machine: without encryption only 127.0.0.1, [::1] "
            "and localhost are allowed"
        )
    if ports == "*" and listening:
        return f"{host}:*,*"
    numbers = ports.split(",")
    valid = [n.isascii() and n.isdigit() and 0 < int(n[:6]) <= _LAST_PORT for n in numbers]
    if all(valid) and len(numbers) == 1 and int(numbers[0]) < _LAST_PORT:
        numbers.append(str(int(numbers[0]) + 1))
    if not all(valid) or len(numbers) != len(LANES) or numbers[0] == numbers[1]:
        raise AddressError(
            f"address {shown!r} needs two different ports from 1 to {_LAST_PORT}, such as "
            "tcp://127.0.0.1:5001,5002"
        )
    return f"{host}:{','.join(numbers)}"


def prepare(address: Address) -> None:
    """Make an ipc address ready to be bound: a private directory and no stale socket in it.

    libzmq unlinks what is there and binds, so a second bind on a live path takes its traffic over
    in silence: a live one is found by connecting to it.

    Raises:
        AddressError: the directory cannot be made, is not private, or a file is in the way.
        AddressInUse: somebody listens there.
    """
    if address.scheme != "ipc":
        return
    directory = Path(address.rest).parent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.stat()
    except OSError as error:
        raise AddressError(
            f"directory {str(directory)!r} for {address} cannot be made: {error.strerror}"
        ) from error
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise AddressError(
            f"directory {str(directory)!r} of {address} must belong to this user alone (mode 700): "
            "other users could connect"
        )
    for lane in LANES:
        _remove_stale(address, address.endpoint(lane).removeprefix("ipc://"))


def clear(address: Address) -> None:
    """Remove the sockets of an address that this node listens at; libzmq leaves them behind."""
    if address.scheme == "ipc":
        for lane in LANES:
            Path(address.endpoint(lane).removeprefix("ipc://")).unlink(missing_ok=True)


def _remove_stale(address: Address, path: str) -> None:
    try:
        mode = Path(path).lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise AddressError(f"{path!r} exists and is no socket: {address} cannot listen there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A live listener with a full backlog answers EAGAIN at once instead of holding us.
        probe.setblocking(False)
        code = probe.connect_ex(path)
    if code not in {errno.ECONNREFUSED, errno.ENOENT}:
        raise AddressInUse(f"{address} is in use by a live listener: choose another path")
    Path(path).unlink(missing_ok=True)
