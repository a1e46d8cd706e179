"""How whoever looks on finds a run: what its launcher leaves in the run directory while it runs."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from actorfl.errors import NotRunning, RunDirectoryError
from actors import Deployment, Simulated
from actors.addresses import IpcAddresses
from transports import AddressError
from transports.address import Address

# A line; what is longer is none of ours.
_MOST_BYTES = 4096


class _Notice(msgspec.Struct, frozen=True):
    """What ``observe.json`` holds.

    Attributes:
        pid: of the launcher.
        address: where it can be observed; "" where it cannot, being simulated.
    """

    pid: int
    address: str


class Attachable:
    """The place where a run can be observed: sockets in a private directory, and a notice of it.

    Args:
        directory: of the run.
        on: where it runs; a simulation's time is its own, and nobody outside can look on.
    """

    def __init__(self, directory: Path, on: Deployment) -> None:
        self._file = directory / "observe.json"
        self._addresses = IpcAddresses()
        self._remove_old()
        #: To be given to ``ActorGraph.start``; None where there is none.
        self.address = None if isinstance(on, Simulated) else _address(self._addresses)

    def announce(self) -> None:
        """Leave the notice; the run goes on without where the disk refuses."""
        notice = msgspec.json.encode(_Notice(os.getpid(), self.address or ""))
        beside = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        try:
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:  # noqa: PTH123  (a descriptor, not a path)
                file.write(notice)
            beside.replace(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)

    def _remove_old(self) -> None:
        """Remove what a run left that was killed: its process id may be another's by now."""
        with contextlib.suppress(OSError):
            for file in (self._file, *self._file.parent.glob(f".{self._file.name}.*")):
                file.unlink(missing_ok=True)

    def close(self) -> None:
        """Take the notice back, and the private directory."""
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)
        self._addresses.close()


def _address(addresses: IpcAddresses) -> str | None:
    address = addresses.observers()
    try:
        Address.parse(address)
    except AddressError:  # a TMPDIR too long for a socket is no reason not to train
        return None
    return address


def address_of(run: Path) -> str:
    """Where a run that is under way can be observed.

    Raises:
        NotRunning: it is not under way, or cannot be observed.
        RunDirectoryError: what its launcher left cannot be read.
    """
    file = run / "observe.json"
    try:
        with file.open("rb") as opened:
            notice = msgspec.json.decode(opened.read(_MOST_BYTES), type=_Notice)
    except FileNotFoundError:
        raise NotRunning(run, "it has ended, or has just begun") from None
    except (OSError, msgspec.DecodeError) as error:
        raise RunDirectoryError(f"cannot read {file}: {error}") from error
    try:
        os.kill(notice.pid, 0)
    except (ProcessLookupError, OverflowError):
        raise NotRunning(run, f"its launcher, process {notice.pid}, was killed") from None
    except PermissionError:
        pass  # alive, and another user's
    if not notice.address:
        raise NotRunning(run, "it is a simulation, or TMPDIR is too long for a socket", ended=False)
    return notice.address
