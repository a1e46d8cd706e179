"""How many messages and bytes went somewhere."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class Traffic(msgspec.Struct, array_like=True):
    """Messages, and the bytes in them; who counts on begins a new one once it has told this one.

    Attributes:
        messages: how many.
        nbytes: how many bytes they had together.
    """

    messages: _Count = 0
    nbytes: _Count = 0

    def count(self, nbytes: int) -> None:
        """Count one message more, of so many bytes."""
        self.messages += 1
        self.nbytes += nbytes

    def add(self, other: Traffic) -> None:
        """Count what somebody else has counted."""
        self.messages += other.messages
        self.nbytes += other.nbytes

    def without(self, told: Traffic) -> Traffic:
        """What is left once a part of it has been told."""
        return Traffic(self.messages - told.messages, self.nbytes - told.nbytes)
