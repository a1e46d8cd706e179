"""The disk of a simulation: writes take time, and a crash in the middle of one shows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from actors.crashpoints import crash_point
from actors.errors import StorageError
from actors.faults.disks import DiskFaults
from actors.memorydisk import MemoryDisk
from actors.storage import MemoryStorage
from transports import Clock

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_NEW: Final = ".new"


@dataclass
class Disk:
    """Contents that outlive the nodes which write them, as a machine's disk does.

    Attributes:
        contents: by name.
        seconds: of virtual time that each operation takes.
        owners: of names that are appended to.
        touched: names that a node wrote or removed.
        unplugged: whether nothing more reaches it, whoever writes.
    """

    contents: MemoryDisk = field(default_factory=MemoryDisk)
    seconds: float = 1e-3
    owners: dict[str, MemoryStorage] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    unplugged: bool = False

    @classmethod
    def of(cls, root: Path, *names: str) -> Disk:
        """A disk that holds what lies in a real folder under these names and below them.

        Raises:
            StorageError: the real disk refused.
        """
        try:
            found = [path for name in names for path in [root / name, *(root / name).rglob("*")]]
            files = sorted(path for path in found if path.is_file())
            read = {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
            return cls(MemoryDisk(read))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise StorageError(f"cannot read {root}: {reason}") from error

    def write_to(self, root: Path) -> None:
        """Lay what the disk holds into a real folder, and remove what it holds no more.

        Only names that the nodes wrote are touched. All is written before any of it takes its
        place: a disk that becomes full would leave the end of one node beside the start of another.

        Raises:
            StorageError: the real disk refused.
        """
        written: list[Path] = []
        try:
            for name in sorted(self.touched & self.contents.keys()):
                path = root / f"{name}{_NEW}"
                path.parent.mkdir(parents=True, exist_ok=True)
                written.append(path)
                path.write_bytes(self.contents[name])
            while written:
                path = written.pop()
                path.replace(path.with_name(path.name.removesuffix(_NEW)))
            for name in sorted(self.touched - self.contents.keys()):
                (root / name).unlink(missing_ok=True)
        except OSError as error:
            for path in written:
                path.unlink(missing_ok=True)
            reason = (error.strerror or str(error)).lower()
            raise StorageError(f"cannot write {root}: {reason}") from error


class SimStorage(MemoryStorage):
    """One node's way to the disk.

    A write replaces a file whole: a crash before its end leaves the old one. With the fault "torn"
    a part of the new one may lie there instead, as after a power cut on a file system that renames
    before it writes. An append that a crash interrupts leaves a part.

    Args:
        disk: where everything goes.
        clock: of the node.
        faults: decides which writes go wrong; None where none does.
    """

    def __init__(self, disk: Disk, clock: Clock, faults: DiskFaults | None = None) -> None:
        super().__init__(disk.contents, owners=disk.owners)
        self._disk_of_all = disk
        self._clock = clock
        self._faults = faults
        self._unplugged = False

    def unplug(self) -> None:
        """The node has crashed: nothing that it still does reaches the disk."""
        self._unplugged = True

    async def read(self, name: str, *, limit: int | None = None) -> bytes | None:
        """See `Storage.read`."""
        await self._turn("read", name)
        return await super().read(name, limit=limit)

    async def write(self, name: str, parts: Iterable[ReadableBuffer]) -> None:
        """See `Storage.write`."""
        content = b"".join(parts)
        self._refuse_if_full("write", name)
        crash_point("storage.begin")
        self._refuse_if_crashed("write", name)
        half = self._disk_of_all.seconds / 2
        try:
            await self._turn("write", name, half)
            crash_point("storage.part")
            await self._turn("write", name, half)
            crash_point("storage.write")
            self._refuse_if_crashed("write", name)
        except (asyncio.CancelledError, StorageError):
            if self._unplugged and self._faults is not None:
                left = self._faults.tears(len(content))
                if left is not None:
                    self._leave(name, content[:left])
            raise
        self._disk_of_all.touched.add(name)
        await super().write(name, [content])
        crash_point("storage.placed")
        self._refuse_if_crashed("write", name)

    async def append(self, name: str, data: ReadableBuffer, at: int) -> None:
        """See `Storage.append`."""
        added = bytes(data)
        self._refuse_if_full("append to", name)
        old = self.disk.get(name, b"")[:at]
        try:
            crash_point("storage.append")
            await self._turn("append to", name)
        except asyncio.CancelledError:
            # The end of a file that is appended to is torn by any crash; the draw says where.
            if self._unplugged and len(old) == at:
                left = self._faults.tears(len(added)) if self._faults is not None else None
                self._leave(name, old + added[: len(added) // 2 if left is None else left])
            raise
        self._disk_of_all.touched.add(name)
        await super().append(name, added, at)

    async def remove(self, name: str) -> None:
        """See `Storage.remove`."""
        await self._turn("remove", name)
        self._disk_of_all.touched.add(name)
        await super().remove(name)

    async def _turn(self, verb: str, name: str, seconds: float | None = None) -> None:
        await self._clock.sleep(self._disk_of_all.seconds if seconds is None else seconds)
        self._refuse_if_crashed(verb, name)

    def _refuse_if_crashed(self, verb: str, name: str) -> None:
        if self._unplugged or self._disk_of_all.unplugged:
            raise StorageError(f"cannot {verb} {name}: the node has crashed")

    def _refuse_if_full(self, verb: str, name: str) -> None:
        if self._faults is not None and self._faults.refuses():
            raise StorageError(f"cannot {verb} {name}: no space left on device")

    def _leave(self, name: str, content: bytes) -> None:
        self._disk_of_all.touched.add(name)
        self.disk[name] = content
