"""How long the oldest message of a mailbox has waited, at no cost for each message.

Pure: now and then it is told the time and how many messages had come by then.
"""

from __future__ import annotations

from typing import Final

_MOST: Final = 32
"""Marks kept. Beyond it every second one goes, so that a backlog of hours stays known roughly."""


class Marks:
    """Times, each with the number of messages that had come by then."""

    __slots__ = ("_marks",)

    def __init__(self) -> None:
        self._marks: list[tuple[float, int]] = []

    def add(self, now: float, come: int) -> None:
        """Note how many messages have ever come; nothing where no other came since the last note.

        Args:
            now: seconds, of a monotonic clock.
            come: number of messages.
        """
        marks = self._marks
        if marks and marks[-1][1] >= come:
            return
        marks.append((now, come))
        if len(marks) > _MOST:
            del marks[::2]

    def since(self, left: int, began: float) -> float:
        """After when the message came that is the oldest one, and forget what lies before.

        Args:
            left: messages that came before it.
            began: when a mailbox that was empty got its first message, seconds; what came then
                may still wait, nothing older does.

        Returns:
            Seconds of the same clock; it came no earlier.
        """
        marks = self._marks
        passed = 0
        while passed < len(marks) and marks[passed][1] <= left:
            passed += 1
        if not passed:
            return began
        latest = marks[passed - 1][0]
        del marks[: passed - 1]
        return max(began, latest)

    def __repr__(self) -> str:
        return f"<Marks {len(self._marks)}/{_MOST}>"
