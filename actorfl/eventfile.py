"""The file of a run's events: MessagePack maps one after the other, each whole or not there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack


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


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file, in order, up to the end or the first that is not whole.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        unpacker = msgpack.Unpacker(file, unicode_errors="replace")
        try:
            for record in unpacker:
                if not isinstance(record, dict):
                    return
                yield record
        except (ValueError, TypeError, msgpack.UnpackException):
            return


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
