"""Names that are taken, however many there are."""

from __future__ import annotations


class TakenNames:
    """Counts names; asking for one costs the same among any number."""

    # Every actor has one, most of them empty.
    __slots__ = ("_counts",)

    def __init__(self) -> None:
        # Counted: a child that is replaced and its successor may share a name for a moment.
        self._counts: dict[str, int] = {}

    def add(self, name: str) -> None:
        """One more has this name."""
        self._counts[name] = self._counts.get(name, 0) + 1

    def remove(self, name: str) -> None:
        """One less has this name.

        Raises:
            KeyError: nobody had it.
        """
        self._counts[name] -= 1
        if not self._counts[name]:
            del self._counts[name]

    def __contains__(self, name: object) -> bool:
        return name in self._counts

    def __repr__(self) -> str:
        return f"<TakenNames {len(self._counts)}>"
