"""A process that is started ahead: all is loaded in it, and it waits to be told who it is.

Its lifeline stands from the start, as in any child. Who it is comes over a pair of sockets of its
own: standard input is closed when the configuration has been read.

    spare                                launcher
    imports, then "L"            ->      it may be taken
                                 <-      length and configuration
    "T", the socket is closed    ->      it is that process from now on
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import socket
from typing import TYPE_CHECKING, Protocol

import msgspec

from actors import lifeline
from actors.errors import NodeError
from actors.exits import Exit
from actors.surroundings import Surroundings

if TYPE_CHECKING:
    from actors.spawner import Child, PopenChild, ProcessSpec

ANSWER_LIMIT = 0.5
"""Seconds for a spare to answer that it was taken. It takes 0.4 ms, and took 56 at most beside
eight processes that kept two cores busy. One that is frozen holds up whom it was to replace for so
long, which is less than a start takes."""

_LOADED = b"L"
_TAKEN = b"T"
_LENGTH = 4


class SpareConfig(msgspec.Struct, frozen=True, tag="spare"):
    """What a spare is told at its start.

    Attributes:
        channel: descriptor over which it is told who it is.
        preload: modules that it imports first.
    """

    channel: int
    preload: tuple[str, ...] = ()


class SpareLost(NodeError):  # noqa: N818  (the sentence is the name, as in the field's APIs)
    """A spare died or froze before it was anybody; a process has to be started instead."""


class Spare(Protocol):
    """A process that waits to be told who it is."""

    @property
    def pid(self) -> int:
        """Process id."""

    @property
    def loaded(self) -> asyncio.Event:
        """Set once it has imported everything; not before is it worth taking."""

    def fits(self, spec: ProcessSpec) -> bool:
        """Whether it runs in the very surroundings that this process would be started in."""

    async def take(self, spec: ProcessSpec) -> Child:
        """Make it that process; to be called once.

        Raises:
            SpareLost: it died or did not answer; it is dead and reaped.
        """

    async def wait(self) -> Exit:
        """Wait until it has ended and is reaped."""

    def kill(self) -> None:
        """SIGKILL it; nothing if it has ended."""

    def last_lines(self, n: int = 20) -> list[str]:
        """The last lines of its standard output and error, oldest first."""


def await_identity(config: SpareConfig) -> bytes:
    """In the spare: load everything, say so, and wait for as long as it takes.

    Returns:
        The configuration of the process that this one is from now on.
    """
    os.set_inheritable(config.channel, False)
    with socket.socket(fileno=config.channel) as channel:
        for name in config.preload:
            importlib.import_module(name)
        try:
            channel.sendall(_LOADED)
            raw = _exactly(channel, int.from_bytes(_exactly(channel, _LENGTH), "big"))
            channel.sendall(_TAKEN)
        except OSError:  # the launcher wants it no more, or is gone
            os._exit(lifeline.ORPHANED)
    return raw


def _exactly(channel: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        piece = channel.recv(min(count - len(received), 1 << 16))
        if not piece:
            raise ConnectionResetError
        received += piece
    return bytes(received)


class PopenSpare:
    """A spare of a ``PopenSpawner``.

    Args:
        child: its process.
        channel: over which it is told who it is.
        surroundings: in which it was started.
    """

    def __init__(
        self, child: PopenChild, channel: socket.socket, surroundings: Surroundings
    ) -> None:
        self._child = child
        self._channel = channel
        self._surroundings = surroundings
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[bool] = self._loop.create_future()
        self.loaded = asyncio.Event()
        channel.setblocking(False)
        self._loop.add_reader(channel, self._on_word)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    def fits(self, spec: ProcessSpec) -> bool:
        """See ``Spare.fits``."""
        return (
            len(spec.config) <= lifeline.MAX_CONFIG and Surroundings.of(spec) == self._surroundings
        )

    async def take(self, spec: ProcessSpec) -> PopenChild:
        """See ``Spare.take``."""
        # Before it knows: what it prints as that process may be read before its answer.
        self._child.become(spec)
        how = ""
        try:
            # In this order: that it took too long is an OSError, too.
            async with asyncio.timeout(ANSWER_LIMIT):
                with contextlib.suppress(OSError):
                    length = len(spec.config).to_bytes(_LENGTH, "big")
                    await self._loop.sock_sendall(self._channel, length + spec.config)
                    if await self._answer:
                        return self._child
        except TimeoutError:
            how = f"it did not answer within {ANSWER_LIMIT:g} s"
        finally:
            self._hang_up()
        self._child.kill()
        ended = await self._child.wait()
        how = how or ended.describe()
        raise SpareLost(f"the spare process {self.pid} could not become {spec.name}: {how}")

    async def wait(self) -> Exit:
        """See ``Spare.wait``."""
        return await self._child.wait()

    def kill(self) -> None:
        """See ``Spare.kill``."""
        self._child.kill()
        self._hang_up()

    def last_lines(self, n: int = 20) -> list[str]:
        """See ``Spare.last_lines``."""
        return self._child.last_lines(n)

    def _on_word(self) -> None:
        try:
            word = self._channel.recv(1)
        except BlockingIOError:
            return
        except OSError:
            word = b""
        if word == _LOADED:
            self.loaded.set()
            return
        self._hang_up(taken=word == _TAKEN)

    def _hang_up(self, *, taken: bool = False) -> None:
        if not self._answer.done():
            self._answer.set_result(taken)
        if self._channel.fileno() >= 0:
            self._loop.remove_reader(self._channel)
            self._channel.close()

    def __repr__(self) -> str:
        return f"<PopenSpare {'loaded' if self.loaded.is_set() else 'loading'} {self._child!r}>"
