"""Snapshots of one actor's state: the newest whole one is found again after any kill.

A file holds, in order: a fixed head, the name, the lengths of the arrays, the header, the arrays
each at a multiple of 64 bytes, and a crc32 of all before. All numbers are little-endian.
"""

from __future__ import annotations

import asyncio
import logging
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from actors.errors import StorageError
from actors.storage import Storage

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_log = logging.getLogger(__name__)

MAX_BYTES = 64 << 30
"""Bytes of a whole snapshot file: above any model that fits a machine of today, and what a foreign
file under our name can make us read."""

MAX_HEADER = 64 << 20
MAX_ARRAYS = 1 << 16

KEPT = 2
"""The newest, and the one before should the newest not be whole after a power cut."""

_VERSION = 1
_MAGIC = b"AFLSNAP\n"
# magic, version, length of name, counter, incarnation, length of header, arrays, whole length
_HEAD = struct.Struct("<8sHHQQQQQ")
_CRC = struct.Struct("<I")
_ALIGNMENT = 64  # a cache line, and what torch's kernels want
_CHECKED_AT_ONCE = 4 << 20  # bytes: a few ms of crc32, then the loop gets its turn
_FILE = re.compile(r"([0-9]{20})-([0-9]{20})\.snapshot")
_MAX_NUMBER = 2**63 - 1


class Snapshot(msgspec.Struct, frozen=True):
    """A state that was saved.

    Attributes:
        counter: as given to `Snapshots.save`.
        incarnation: order of the incarnation that saved it.
        header: as given.
        arrays: as given, read-only bytes; they share one buffer, so copy what is kept for long.
    """

    counter: int
    incarnation: int
    header: bytes
    arrays: tuple[memoryview, ...]


class SnapshotStatistics(msgspec.Struct, frozen=True):
    """What a `Snapshots` has done.

    Attributes:
        saved: snapshots saved.
        removed: older ones removed after a save.
        skipped: files passed over by `latest` because they are torn or foreign.
        bytes_saved: bytes of all files saved.
        newest: counter of the last one saved or found; None before.
    """

    saved: int
    removed: int
    skipped: int
    bytes_saved: int
    newest: int | None


class Snapshots:
    """Keeps the last snapshots under one name.

    The highest counter is the newest; of equal counters the one of the later incarnation. So an
    old process that wakes up after it was replaced cannot overwrite what its successor saved, nor
    pass for newer at the same counter.

    Args:
        storage: where they lie.
        name: folder in it, one for each actor.
        incarnation: order of this incarnation of the actor, from 0, higher for later ones.
        keep: how many a save leaves, 2 or more; None for all.
    """

    def __init__(
        self, storage: Storage, name: str, incarnation: int, *, keep: int | None = KEPT
    ) -> None:
        if not 0 <= incarnation <= _MAX_NUMBER:
            raise ValueError(f"incarnation must be from 0 to 2**63 - 1, got {incarnation}")
        if keep is not None and keep < KEPT:
            raise ValueError(f"keep must be at least {KEPT}, or None for all, got {keep}")
        self._keep = keep
        self._storage = storage
        self._name = name
        self._incarnation = incarnation
        self._bad: set[str] = set()  # bounded: only what is listed stays in it
        self._saved = self._removed = self._skipped = self._bytes = 0
        self._newest: int | None = None

    async def save(self, counter: int, header: bytes, arrays: Sequence[ReadableBuffer]) -> None:
        """Save a state; when this returns it survives what the storage's durability says.

        Then all but this one and the newest whole ones of the others, as many as are kept, are
        removed, except files that claim to be newer than this one.

        Args:
            counter: from 0 to 2**63 - 1; for learning the clock. The same again replaces it.
            header: small data of any form, at most 64 MiB.
            arrays: C-contiguous buffers, at most 65536; they must not change before this returns.

        Raises:
            ValueError: a number or size is out of its range.
            StorageError: the storage refused; what was saved before is untouched.
        """
        views = [_as_bytes(array, number) for number, array in enumerate(arrays)]
        file = self._file(counter)
        head = _head(self._name, counter, self._incarnation, header, views)
        await self._storage.write(file, _parts(head, header, views))
        self._saved += 1
        self._bytes += _whole_length(head)
        self._newest = counter
        try:
            await self._remove_older(file)
        except StorageError as error:
            # The state is safe; only space is lost, and the next save tries again.
            _log.warning("old snapshots of %s stay: %s", self._name, error)

    async def counters(self) -> tuple[int, ...]:
        """The counters of all that is there, whole or not, in order.

        Raises:
            StorageError: the storage could not be read.
        """
        return tuple(sorted({_numbers(file)[0] for file in await self._listed()}))

    async def latest(self, upto: int | None = None) -> Snapshot | None:
        """Read the newest snapshot that is whole; None where there is none.

        One that is torn or foreign is passed over with a warning and counted.

        Args:
            upto: the highest counter that counts; None for any.

        Raises:
            StorageError: the storage could not be read: falling back to an older state because of
                a missing permission would go unnoticed.
        """
        listed = await self._listed()
        self._bad.intersection_update(listed)
        for file in reversed(listed):
            if upto is not None and _numbers(file)[0] > upto:
                continue
            content = await self._storage.read(file, limit=MAX_BYTES)
            if content is None:
                continue
            try:
                snapshot = await _decode(content, self._name, *_numbers(file))
            except _NotWhole as error:
                self._skipped += 1
                self._bad.add(file)
                _log.warning("snapshot %s is passed over: %s", file, error)
                continue
            self._newest = snapshot.counter
            return snapshot
        return None

    @property
    def damaged(self) -> Mapping[int, str]:
        """The files that `latest` has passed over, by their counters; less those that are gone."""
        return {_numbers(file)[0]: file for file in sorted(self._bad)}

    def named(self, counter: int) -> str:
        """What the files of a counter are called, whichever incarnation saved them: a pattern."""
        return f"{self._name}/{counter:020d}-*.snapshot"

    async def remove_newer(self, counter: int) -> None:
        """Remove all of higher counters: what was saved of a future that did not come.

        Args:
            counter: the highest that stays.

        Raises:
            StorageError: the storage refused; some may be gone.
        """
        for file in reversed(await self._listed()):
            if _numbers(file)[0] <= counter:
                break
            await self._storage.remove(file)
            self._removed += 1

    def statistics(self) -> SnapshotStatistics:
        """Counts since this was made."""
        return SnapshotStatistics(
            saved=self._saved,
            removed=self._removed,
            skipped=self._skipped,
            bytes_saved=self._bytes,
            newest=self._newest,
        )

    def __repr__(self) -> str:
        return (
            f"<Snapshots {self._name} incarnation={self._incarnation} newest={self._newest} "
            f"saved={self._saved} skipped={self._skipped}>"
        )

    def _file(self, counter: int) -> str:
        if not 0 <= counter <= _MAX_NUMBER:
            raise ValueError(f"counter must be from 0 to 2**63 - 1, got {counter}")
        return f"{self._name}/{counter:020d}-{self._incarnation:020d}.snapshot"

    async def _listed(self) -> list[str]:
        """Our files, oldest first; their names sort as their numbers do."""
        prefix = f"{self._name}/"
        return _ours(prefix, await self._storage.list(prefix))

    async def _remove_older(self, saved: str) -> None:
        keep = self._keep
        if keep is None:
            return
        self._bad.discard(saved)
        prefix, bad = f"{self._name}/", frozenset(self._bad)

        def older(names: tuple[str, ...]) -> list[str]:
            listed = _ours(prefix, names)
            others = [file for file in listed if file != saved and file not in bad]
            kept = {saved, *others[1 - keep :]}
            return [file for file in listed if file < saved and file not in kept]

        self._removed += await self._storage.tidy(prefix, older)


def _ours(prefix: str, names: Iterable[str]) -> list[str]:
    """The snapshots among files, oldest first; their names sort as their numbers do."""
    return sorted(name for name in names if _FILE.fullmatch(name.removeprefix(prefix)))


class _NotWhole(Exception):  # noqa: N818  (never leaves this module)
    """Why a file is no whole snapshot."""


def _numbers(file: str) -> tuple[int, int]:
    match = _FILE.fullmatch(file.rpartition("/")[2])
    assert match is not None  # only listed files come here
    return int(match[1]), int(match[2])


def _as_bytes(array: ReadableBuffer, number: int) -> memoryview:
    view = memoryview(array)
    if view.nbytes == 0:
        return memoryview(b"")  # cast() refuses a shape with a zero in it
    try:
        return view.cast("B")
    except TypeError as error:
        raise ValueError(f"array {number} cannot be saved: {error}; copy it first") from error


def _padded(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT


def _head(
    name: str, counter: int, incarnation: int, header: bytes, views: Sequence[memoryview]
) -> bytes:
    if len(header) > MAX_HEADER or len(views) > MAX_ARRAYS:
        raise ValueError(
            f"a snapshot takes a header of at most {MAX_HEADER} bytes and {MAX_ARRAYS} arrays, got "
            f"{len(header)} and {len(views)}"
        )
    encoded = name.encode()
    lengths = b"".join(view.nbytes.to_bytes(8, "little") for view in views)
    whole = _HEAD.size + len(encoded) + len(lengths) + len(header)
    for view in views:
        whole = _padded(whole) + view.nbytes
    whole += _CRC.size
    if whole > MAX_BYTES:
        raise ValueError(f"a snapshot takes at most {MAX_BYTES} bytes, got {whole}")
    fixed = _HEAD.pack(
        _MAGIC, _VERSION, len(encoded), counter, incarnation, len(header), len(views), whole
    )
    return fixed + encoded + lengths


def _whole_length(head: bytes) -> int:
    return int(_HEAD.unpack_from(head)[-1])


def _parts(head: bytes, header: bytes, views: Sequence[memoryview]) -> Iterator[ReadableBuffer]:
    """What the file consists of; iterated in the storage's thread, so the loop pays no crc."""
    crc = 0
    for part in _body(head, header, views):
        crc = zlib.crc32(part, crc)
        yield part
    yield _CRC.pack(crc)


def _body(head: bytes, header: bytes, views: Sequence[memoryview]) -> Iterator[bytes | memoryview]:
    yield head
    yield header
    offset = len(head) + len(header)
    for view in views:
        yield bytes(_padded(offset) - offset)
        yield view
        offset = _padded(offset) + view.nbytes


async def _decode(content: bytes, name: str, counter: int, incarnation: int) -> Snapshot:
    """Check and take apart a file.

    Raises:
        _NotWhole: any check fails.
    """
    size = len(content)
    if size < _HEAD.size + _CRC.size:
        raise _NotWhole(f"{size} bytes are too few")
    magic, version, name_length, *numbers, header_length, count, whole = _HEAD.unpack_from(content)
    if magic != _MAGIC:
        raise _NotWhole("it does not start as a snapshot does")
    if version != _VERSION:
        raise _NotWhole(f"it has version {version}, this program reads {_VERSION}")
    if whole != size:
        raise _NotWhole(f"it has {size} of {whole} bytes")
    if header_length > MAX_HEADER or count > MAX_ARRAYS:
        raise _NotWhole(f"{header_length} bytes of header and {count} arrays exceed the bounds")
    view = memoryview(content)
    crc = 0
    for start in range(0, size - _CRC.size, _CHECKED_AT_ONCE):
        crc = zlib.crc32(view[start : min(start + _CHECKED_AT_ONCE, size - _CRC.size)], crc)
        await asyncio.sleep(0)
    if crc != _CRC.unpack_from(content, size - _CRC.size)[0]:
        raise _NotWhole("its checksum is wrong")
    position = _HEAD.size
    if content[position : position + name_length] != name.encode():
        raise _NotWhole("it belongs to another name")
    if numbers != [counter, incarnation]:
        raise _NotWhole(f"it holds counter and incarnation {numbers}, its file name says otherwise")
    position += name_length
    if position + 8 * count + header_length > size:
        raise _NotWhole("its lengths do not add up")
    lengths = struct.unpack_from(f"<{count}Q", content, position)
    position += 8 * count
    header = content[position : position + header_length]
    position += header_length
    arrays = []
    for length in lengths:
        position = _padded(position)
        arrays.append(view[position : position + length])
        position += length
    if position + _CRC.size != size:
        raise _NotWhole("its lengths do not add up")
    return Snapshot(counter, incarnation, header, tuple(arrays))
