"""What a disk in memory holds."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import UserDict
from collections.abc import Mapping


class MemoryDisk(UserDict[str, bytes]):
    """Content by name, of which those that begin alike are found without a look at all others.

    Thousands of simulated nodes list their own folders of one disk, each after each save.

    Args:
        of: names and contents to begin with.
    """

    def __init__(self, of: Mapping[str, bytes] | None = None) -> None:
        self._names: list[str] = []  # sorted
        super().__init__(of)

    def __setitem__(self, name: str, content: bytes) -> None:
        if name not in self.data:
            insort(self._names, name)
        self.data[name] = content

    def __delitem__(self, name: str) -> None:
        del self.data[name]
        del self._names[bisect_left(self._names, name)]

    def beginning(self, prefix: str) -> tuple[str, ...]:
        """The names that begin with this, sorted."""
        names = self._names
        first = after = bisect_left(names, prefix)
        while after < len(names) and names[after].startswith(prefix):
            after += 1
        return tuple(names[first:after])
