"""Where the nodes of one launcher listen: what differs between machines, LANs and simulations."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Protocol

from transports import NodeId


class Addresses(Protocol):
    """Hands out addresses; injected, so that a simulation can hand out simulated ones."""

    def launcher(self, name: str) -> str:
        """Where a launcher of this name is to listen."""

    def node(self, node: NodeId) -> str:
        """Where a node that is about to be started is to listen."""

    def close(self) -> None:
        """Nobody listens any more; leave nothing behind."""


class TcpAddresses:
    """Ports of the loopback interface that the system chooses."""

    def launcher(self, name: str) -> str:
        """See ``Addresses.launcher``."""
        return "tcp://127.0.0.1:*"

    def node(self, node: NodeId) -> str:
        """See ``Addresses.node``."""
        return "tcp://127.0.0.1:*"

    def close(self) -> None:
        """See ``Addresses.close``."""

    def __repr__(self) -> str:
        return "<TcpAddresses>"


class IpcAddresses:
    """Sockets in a private directory, which is made when the first one is asked for."""

    def __init__(self) -> None:
        self._directory: Path | None = None

    def launcher(self, name: str) -> str:
        """A name with room for the incarnation: a path of a socket has about 100 characters."""
        return f"ipc://{self._made()}/{name[:16]}-*"

    def node(self, node: NodeId) -> str:
        """One per incarnation: a predecessor's socket may still lie there."""
        return f"ipc://{self._made()}/{node.name[:24]}-{node.incarnation:012x}"

    def observers(self) -> str:
        """Where a launcher is to listen for those who look on."""
        return f"ipc://{self._made()}/look"

    def close(self) -> None:
        """Remove the directory."""
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def _made(self) -> Path:
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="actorfl-"))
        return self._directory

    def __repr__(self) -> str:
        return f"<IpcAddresses {self._directory or 'unused'}>"
