"""The file of a run's events: MessagePack maps one after the other, each whole or not there."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgpack

_BEGINNING: Final = re.compile(rb"(?:[\x80-\x8f]|\xde..|\xdf....)\xa4time\xcb", re.DOTALL)
"""The head of a map, and its first key: a record tells its time first, as a float."""

_LONGEST_BEGINNING: Final = 11
"""Bytes of it."""

_PIECE: Final = 1 << 16
"""Bytes that are looked through at a time."""


class EventFile:
    """Appends records to a file that ends with a whole one, whatever the disk refuses.

    A stream of MessagePack has nothing that a reader could find its place again by: half a record
    would spoil all that follow. What a kill or a full disk left of one is cut off.

    Args:
        path: of the file; made where there is none. Nobody else may write it.

    Raises:
        OSError: it cannot be opened, read or cut.
    """

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            self._end = _end_of_records(path)
            self._file.truncate(self._end)
        except BaseException:
            self._file.close()
            raise

    def append(self, record: bytes) -> None:
        """Append a record, all of it or nothing.

        Raises:
            OSError: the disk refused.
        """
        left = memoryview(record)
        self._file.seek(self._end)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            # What this cannot cut, the next record is written over, or the next start cuts.
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
            raise
        self._end += len(record)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __repr__(self) -> str:
        return f"<EventFile {self._file.name} bytes={self._end}>"


@dataclass(frozen=True)
class Damage:
    """Bytes of a file that are no records.

    Attributes:
        first: offset of the first one.
        end: offset behind the last one: where the next record begins that can be read, or the file
            ends.
        torn: whether it is a record that the file ends within, as a kill may leave one.
    """

    first: int
    end: int
    torn: bool = False

    def __str__(self) -> str:
        if self.torn:
            return f"ends within a record, which begins at byte {self.first}"
        return f"is damaged from byte {self.first} to {self.end}"


def records(path: Path) -> Iterator[dict[str, Any] | Damage]:
    """The records of a file, in order, and what lies between them and is none.

    A record is a map that begins with its time; behind a damage it is looked for byte by byte.

    Raises:
        OSError: it cannot be read.
    """
    size, start = path.stat().st_size, 0
    with path.open("rb") as file:
        while start < size:
            file.seek(start)
            end, torn = start, True
            unpacker = msgpack.Unpacker(file, unicode_errors="replace")
            try:
                for record in unpacker:
                    if not isinstance(record, dict) or not isinstance(record.get("event"), str):
                        torn = False  # zeros, say, are numbers to MessagePack
                        break
                    yield record
                    end = start + unpacker.tell()
            except (ValueError, TypeError, msgpack.UnpackException):
                torn = False
            if end == size:
                return
            start = _next_record(file, end + 1, size)
            yield Damage(end, start, torn=torn and start == size)


def _next_record(file: BinaryIO, start: int, size: int) -> int:
    """Offset at which a record seems to begin, from ``start`` on; ``size`` where none does."""
    file.seek(start)
    tail = b""
    while part := file.read(_PIECE):
        looked_at = tail + part
        found = _BEGINNING.search(looked_at)
        if found is not None:
            return start - len(tail) + found.start()
        start += len(part)
        tail = looked_at[-_LONGEST_BEGINNING + 1 :]
    return size


def _end_of_records(path: Path) -> int:
    """Bytes up to the end of the last record that can be read."""
    end = 0
    with path.open("rb") as file:
        # Raw: what is no UTF-8 is no reason to cut.
        unpacker = msgpack.Unpacker(file, raw=True)
        try:
            for record in unpacker:
                if not isinstance(record, dict):
                    break  # zeros, say, which a power cut leaves, are numbers to MessagePack
                end = unpacker.tell()
        except (ValueError, TypeError, msgpack.UnpackException):
            pass
    return end
