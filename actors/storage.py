"""Durable files of a node: written whole or not at all, and never on the loop.

`FileStorage` keeps them in a folder, `MemoryStorage` in a dictionary for tests and simulations;
both behave alike, and one suite tests both.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, TypeVar, get_args

import msgspec

from actors.crashpoints import crash_point
from actors.errors import StorageError
from actors.memorydisk import MemoryDisk

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

T = TypeVar("T")

Durability = Literal["process", "machine"]
"""What a finished write survives: the death of the process (the kernel has it), or of the machine
(fsync of the file and of its folder)."""

Unwanted: TypeAlias = Callable[[tuple[str, ...]], Iterable[str]]

_MAX_NAME = 1000  # bytes of a whole name: PATH_MAX is 4096 with the root in front
_MAX_PART = 160  # bytes between slashes: the usual NAME_MAX of 255 less what a temporary name adds
_BUFFER = 1 << 20  # bytes: many small parts become few system calls; larger ones pass untouched

# Temporary names tell whose they are: machine, process, and a token since process ids come back.
_MACHINE = f"{zlib.crc32(os.fsencode(os.uname().nodename)):08x}"
_TOKEN = os.urandom(4).hex()
_numbers = itertools.count()
_SUFFIX = ".tmp"


class Storage(Protocol):
    """Named byte strings that outlive a process.

    Names are relative paths such as ``snapshots/agg-0/12``: parts between slashes that are not
    empty, do not start with a dot, and take at most 160 bytes each, 1000 together. Operations
    happen in the order in which they were called. Each raises StorageError where the storage
    refuses, with a sentence that names the path, and for a bad name.
    """

    async def read(self, name: str, *, limit: int | None = None) -> bytes | None:
        """Everything under this name; None where there is nothing.

        Args:
            name: what to read.
            limit: bytes; a longer content is refused, so that a foreign file cannot fill memory.
        """

    async def write(self, name: str, parts: Iterable[ReadableBuffer]) -> None:
        """Replace the content by the parts joined: after a kill it is the old or the new.

        Args:
            name: what to replace.
            parts: C-contiguous buffers. They are iterated where the writing happens, maybe in
                another thread, and must not change before this returns or raises; also when it is
                cancelled, it does so only after it has let go of them.
        """

    async def append(self, name: str, data: ReadableBuffer, at: int) -> None:
        """Cut the content to ``at`` bytes, then append: writing again after a kill is harmless.

        Raises:
            StorageError: there are fewer than ``at`` bytes, so something before is missing.
        """

    async def claim(self, name: str) -> None:
        """Take over a name that is appended to, from whoever had it before.

        From then on appends of earlier owners (a process that was frozen and wakes up after it was
        replaced) go nowhere, and those of this storage go on where the content ends.
        """

    async def size(self, name: str) -> int | None:
        """Bytes under this name; None where there is nothing."""

    async def list(self, prefix: str = "") -> tuple[str, ...]:
        """All names that start with this text, sorted."""

    async def remove(self, name: str) -> None:
        """Remove it; nothing if there is nothing."""

    async def tidy(self, prefix: str, unwanted: Unwanted) -> int:
        """Remove what is no longer wanted, in one operation where that is less work.

        Args:
            prefix: as for ``list``.
            unwanted: given all names that start with it, sorted, says which are to go. It is called
                where the removing happens, maybe in another thread.

        Returns:
            How many were removed.
        """

    async def close(self) -> None:
        """Finish what was called before, then refuse everything."""


class StorageStatistics(msgspec.Struct, frozen=True):
    """What a storage has done.

    Attributes:
        reads: contents read.
        writes: contents replaced.
        appends: appended to.
        removes: remove calls.
        bytes_read: bytes read.
        bytes_written: bytes written and appended.
        syncs: fsync calls, of files and folders.
        failures: operations that were refused by the system.
        waiting: operations called and not finished.
    """

    reads: int = 0
    writes: int = 0
    appends: int = 0
    removes: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    syncs: int = 0
    failures: int = 0
    waiting: int = 0


class FileStorage:
    """Files below one folder, touched by one thread only, so that no fsync runs on the loop.

    One for each node; several nodes may share the folder as long as they write different names.
    The folder is made, and temporary files that dead processes left are removed, with the first
    operation.

    Args:
        root: the folder.
        durability: what a finished write survives.

    Raises:
        StorageError: there is no such durability.
    """

    def __init__(self, root: str | os.PathLike[str], *, durability: Durability = "process") -> None:
        self._root = Path(os.path.abspath(root))  # noqa: PTH100  (a link stays a link)
        if durability not in get_args(Durability):
            raise StorageError(
                f"durability must be one of {', '.join(get_args(Durability))}, got {durability!r}"
            )
        self._sync = durability == "machine"
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="storage")
        self._opened = self._closed = False
        self._claimed: dict[Path, int] = {}
        # Written by the writer thread only, but for waiting and closed.
        self._counts = dict.fromkeys(StorageStatistics.__struct_fields__, 0)

    @property
    def root(self) -> Path:
        """The folder, absolute."""
        return self._root

    async def read(self, name: str, *, limit: int | None = None) -> bytes | None:
        """See `Storage.read`."""
        path = self._path(name)
        return await self._run("read", path, lambda: self._read(path, limit))

    async def write(self, name: str, parts: Iterable[ReadableBuffer]) -> None:
        """See `Storage.write`."""
        path = self._path(name)
        await self._run("write", path, lambda: self._write(path, parts))

    async def append(self, name: str, data: ReadableBuffer, at: int) -> None:
        """See `Storage.append`."""
        path = self._path(name)
        await self._run("append to", path, lambda: self._append(path, data, at))

    async def claim(self, name: str) -> None:
        """See `Storage.claim`: a copy of the file takes its place, and stays open here."""
        path = self._path(name)
        await self._run("claim", path, lambda: self._claim(path))

    async def size(self, name: str) -> int | None:
        """See `Storage.size`."""
        path = self._path(name)
        return await self._run("look at", path, lambda: _size(path))

    async def list(self, prefix: str = "") -> tuple[str, ...]:
        """See `Storage.list`."""
        return await self._run("list", self._root, lambda: self._list(prefix))

    async def remove(self, name: str) -> None:
        """See `Storage.remove`."""
        path = self._path(name)
        await self._run("remove", path, lambda: self._remove(path))

    async def tidy(self, prefix: str, unwanted: Unwanted) -> int:
        """See `Storage.tidy`."""
        return await self._run("tidy", self._root, lambda: self._tidy(prefix, unwanted))

    async def close(self) -> None:
        """Finish what was called before, end the thread, then refuse everything."""
        if self._closed:
            return
        self._closed = True
        await asyncio.wrap_future(self._writer.submit(self._let_go))
        self._writer.shutdown(wait=True)  # idle by now: returns at once

    def statistics(self) -> StorageStatistics:
        """Counts since this storage was made."""
        return StorageStatistics(**self._counts)

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self._counts['waiting']} waiting"
        kind = "machine" if self._sync else "process"
        return f"<FileStorage {self._root} durability={kind} {state}>"

    def _path(self, name: str) -> Path:
        return self._root.joinpath(*_parts(name))

    async def _run(self, verb: str, path: Path, job: Callable[[], T]) -> T:
        if self._closed:
            raise StorageError(f"cannot {verb} {path}: this storage is closed")
        self._counts["waiting"] += 1
        work = self._writer.submit(self._guarded, verb, path, job)
        result = asyncio.wrap_future(work)
        try:
            return await asyncio.shield(result)
        except asyncio.CancelledError:
            # What has begun is finished first: it reads buffers that the caller will reuse.
            if not work.cancel():
                while not result.done():
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.wait([result])
                result.exception()  # its outcome is nobody's any more
            raise
        finally:
            self._counts["waiting"] -= 1

    def _guarded(self, verb: str, path: Path, job: Callable[[], T]) -> T:
        try:
            if not self._opened:
                self._open()
            return job()
        except OSError as error:
            self._counts["failures"] += 1
            raise StorageError(_sentence(verb, path, error)) from error

    def _open(self) -> None:
        self._make_folder(self._root)
        for path in self._root.rglob(f".*{_SUFFIX}"):
            if _abandoned(path.name):
                path.unlink(missing_ok=True)
        self._opened = True

    def _read(self, path: Path, limit: int | None) -> bytes | None:
        try:
            file = path.open("rb", buffering=0)
        except (FileNotFoundError, NotADirectoryError):
            return None
        with file:
            size = os.fstat(file.fileno()).st_size
            if limit is not None and size > limit:
                raise StorageError(
                    f"{path} has {size} bytes, more than the {limit} expected here; "
                    "it is not what this program wrote"
                )
            content = file.readall()
        self._counts["reads"] += 1
        self._counts["bytes_read"] += len(content)
        return content

    def _write(self, path: Path, parts: Iterable[ReadableBuffer]) -> None:
        crash_point("storage.begin")
        self._make_folder(path.parent)
        owner = f"{_MACHINE}-{os.getpid()}-{_TOKEN}-{next(_numbers)}"
        temporary = path.with_name(f".{path.name}~{owner}{_SUFFIX}")
        written = 0
        try:
            with temporary.open("xb", buffering=_BUFFER) as file:
                for number, part in enumerate(parts):
                    written += file.write(part)
                    if number == 0:
                        crash_point("storage.part")
                file.flush()
                self._fsync(file.fileno())
            crash_point("storage.write")
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        self._sync_folder(path.parent)
        crash_point("storage.placed")
        self._counts["writes"] += 1
        self._counts["bytes_written"] += written

    def _claim(self, path: Path) -> None:
        content = path.read_bytes() if path.exists() else b""
        self._write(path, [content])
        before = self._claimed.pop(path, None)
        if before is not None:
            os.close(before)
        # Held open: a later owner puts another file in the place of this one.
        self._claimed[path] = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def _let_go(self) -> None:
        while self._claimed:
            os.close(self._claimed.popitem()[1])

    def _append(self, path: Path, data: ReadableBuffer, at: int) -> None:
        claimed = self._claimed.get(path)
        new = claimed is None and not path.exists()
        if new and at != 0:
            raise StorageError(_too_short(str(path), at, 0))
        self._make_folder(path.parent)
        # Unbuffered: a buffer would be flushed once more while the file closes after a failure.
        with (
            path.open("xb" if new else "r+b", buffering=0)
            if claimed is None
            else os.fdopen(os.dup(claimed), "r+b", buffering=0)
        ) as file:
            size = os.fstat(file.fileno()).st_size
            if not 0 <= at <= size:
                raise StorageError(_too_short(str(path), at, size))
            file.truncate(at)
            file.seek(at)
            crash_point("storage.append")
            left = memoryview(data)
            if written := left.nbytes:
                left = left.cast("B")  # refuses a shape with a zero in it
            try:
                while left.nbytes:
                    left = left[file.write(left) :]
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(at)
                raise
            self._fsync(file.fileno())
        if new:
            self._sync_folder(path.parent)
        self._counts["appends"] += 1
        self._counts["bytes_written"] += written

    def _list(self, prefix: str) -> tuple[str, ...]:
        # Only the folder that the prefix points into is walked.
        start = self._root
        if "/" in prefix:
            start = self._path(prefix.rpartition("/")[0])
        skipped = len(str(self._root)) + 1
        found = []
        folders = [str(start)]
        while folders:
            try:
                entries = os.scandir(folders.pop())
            except (FileNotFoundError, NotADirectoryError):
                continue
            with entries:
                for entry in entries:
                    name = entry.path[skipped:]
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif name.startswith(prefix) and entry.is_file():
                        found.append(name)
        return tuple(sorted(found))

    def _remove(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
            self._sync_folder(path.parent)
        self._counts["removes"] += 1

    def _tidy(self, prefix: str, unwanted: Unwanted) -> int:
        removed = 0
        for name in unwanted(self._list(prefix)):
            self._remove(self._path(name))
            removed += 1
        return removed

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        self._sync_folder(folder.parent)

    def _sync_folder(self, folder: Path) -> None:
        if not self._sync:
            return
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._fsync(descriptor)
        finally:
            os.close(descriptor)

    def _fsync(self, descriptor: int) -> None:
        if self._sync:
            os.fsync(descriptor)
            self._counts["syncs"] += 1


class MemoryStorage:
    """The same in memory, for tests and simulations: everything happens within the call.

    Args:
        disk: name to content; hand the same to the next storage to let it survive a simulated
            crash.
        owners: the same for who claimed which name.
        capacity: bytes over all contents; what exceeds them is refused as a full disk would.
    """

    def __init__(
        self,
        disk: MemoryDisk | None = None,
        *,
        capacity: int | None = None,
        owners: dict[str, MemoryStorage] | None = None,
    ) -> None:
        self.disk = disk if disk is not None else MemoryDisk()
        #: Who claimed which name of the disk; share it like the disk.
        self.owners: dict[str, MemoryStorage] = owners if owners is not None else {}
        self._capacity = capacity
        self._closed = False
        self._counts = dict.fromkeys(StorageStatistics.__struct_fields__, 0)

    async def read(self, name: str, *, limit: int | None = None) -> bytes | None:
        """See `Storage.read`."""
        content = self.disk.get(self._check("read", name))
        if content is None:
            return None
        if limit is not None and len(content) > limit:
            raise StorageError(
                f"{name} has {len(content)} bytes, more than the {limit} expected here; "
                "it is not what this program wrote"
            )
        self._counts["reads"] += 1
        self._counts["bytes_read"] += len(content)
        return content

    async def write(self, name: str, parts: Iterable[ReadableBuffer]) -> None:
        """See `Storage.write`."""
        self._check("write", name)
        content = b"".join(parts)
        self._put("write", name, content)
        self._counts["writes"] += 1
        self._counts["bytes_written"] += len(content)

    async def append(self, name: str, data: ReadableBuffer, at: int) -> None:
        """See `Storage.append`."""
        old = self.disk.get(self._check("append to", name), b"")
        if self.owners.get(name, self) is not self:
            return  # a later owner's content is another one
        if not 0 <= at <= len(old):
            raise StorageError(_too_short(name, at, len(old)))
        added = bytes(data)
        self._put("append to", name, old[:at] + added)
        self._counts["appends"] += 1
        self._counts["bytes_written"] += len(added)

    async def claim(self, name: str) -> None:
        """See `Storage.claim`."""
        self.owners[self._check("claim", name)] = self

    async def size(self, name: str) -> int | None:
        """See `Storage.size`."""
        content = self.disk.get(self._check("look at", name))
        return None if content is None else len(content)

    async def list(self, prefix: str = "") -> tuple[str, ...]:
        """See `Storage.list`."""
        self._refuse_if_closed("list", prefix)
        if "/" in prefix:
            _parts(prefix.rpartition("/")[0])
        return self.disk.beginning(prefix)

    async def remove(self, name: str) -> None:
        """See `Storage.remove`."""
        self.disk.pop(self._check("remove", name), None)
        self._counts["removes"] += 1

    async def tidy(self, prefix: str, unwanted: Unwanted) -> int:
        """See `Storage.tidy`."""
        removed = 0
        for name in unwanted(await self.list(prefix)):
            await self.remove(name)
            removed += 1
        return removed

    async def close(self) -> None:
        """Refuse everything from now on; `disk` keeps its contents."""
        self._closed = True

    def statistics(self) -> StorageStatistics:
        """Counts since this storage was made."""
        return StorageStatistics(**self._counts)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<MemoryStorage {len(self.disk)} names {state}>"

    def _check(self, verb: str, name: str) -> str:
        self._refuse_if_closed(verb, name)
        _parts(name)
        return name

    def _refuse_if_closed(self, verb: str, name: str) -> None:
        if self._closed:
            raise StorageError(f"cannot {verb} {name}: this storage is closed")

    def _put(self, verb: str, name: str, content: bytes) -> None:
        if self._capacity is not None:
            others = sum(len(kept) for other, kept in self.disk.items() if other != name)
            if others + len(content) > self._capacity:
                self._counts["failures"] += 1
                raise StorageError(_sentence(verb, name, OSError(errno.ENOSPC, "")))
        self.disk[name] = content


def _parts(name: str) -> list[str]:
    """Split a name, refusing one that could leave the root or that a file system would refuse."""
    parts = name.split("/")
    if (
        len(os.fsencode(name)) > _MAX_NAME
        or "\0" in name
        or any(
            not part or part.startswith(".") or len(os.fsencode(part)) > _MAX_PART for part in parts
        )
    ):
        shown = name if len(name) <= 80 else name[:77] + "..."
        raise StorageError(
            f"{shown!r} is no name for a storage: a relative path is needed, of parts that do not "
            f"start with a dot and take at most {_MAX_PART} bytes each"
        )
    return parts


def _abandoned(name: str) -> bool:
    """Whether a temporary file belongs to a process of this machine that is gone."""
    machine, _, rest = name.removesuffix(_SUFFIX).rpartition("~")[2].partition("-")
    pid, _, rest = rest.partition("-")
    token = rest.partition("-")[0]
    if machine != _MACHINE or not pid.isdecimal() or token == _TOKEN:
        return False
    if int(pid) == os.getpid():
        return True  # ours by number only: after a restart of a container ids repeat
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def _too_short(where: str, at: int, size: int) -> str:
    return (
        f"cannot append to {where} at byte {at}: it has {size}, so something before is missing; "
        "the file was changed by somebody else"
    )


_WHAT_TO_DO = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space or raise the quota",
    errno.EROFS: "choose a folder on a file system that is not read-only",
    errno.EACCES: "choose a folder that this user may write",
    errno.EPERM: "choose a folder that this user may write",
    errno.ENOTDIR: "a file stands where a folder is needed: move it away",
    errno.EEXIST: "a file stands where a folder is needed: move it away",
    errno.EISDIR: "a folder stands where a file is needed: move it away",
    errno.EIO: "check the disk",
}


def _sentence(verb: str, path: Path | str, error: OSError) -> str:
    number = error.errno or 0
    reason = os.strerror(number).lower() if number else str(error)
    advice = _WHAT_TO_DO.get(number)
    return f"cannot {verb} {path}: {reason}" + (f"; {advice}" if advice else "")
