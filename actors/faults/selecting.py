"""Which messages a fault falls on, as far as its selectors say."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Protocol

from actors.faults.kinds import Corrupt, MessageFault
from actors.faults.moment import ALL


class Parcel(Protocol):
    """What a fault may ask about a message; see ``actors.faults.parcel``."""

    @property
    def ordinary(self) -> bool:
        """Whether it is a message of an actor."""

    @property
    def actor(self) -> str:
        """Path of the actor that it is for."""

    @property
    def message(self) -> str:
        """Name of its class."""

    @property
    def clock(self) -> int | None:
        """Which clock it tells, if any."""

    @property
    def nbytes(self) -> int:
        """Its size."""


def chooses(fault: MessageFault | Corrupt) -> bool:
    """Whether a fault looks at what a message is, and not only at where it goes."""
    return fault.actor != ALL or fault.message != ALL or fault.rounds is not None


def chosen(fault: MessageFault | Corrupt, parcel: Parcel) -> bool:
    """Whether a fault falls on this message, as far as its selectors say."""
    if not chooses(fault):
        return True
    if not parcel.ordinary:
        return False
    if fault.actor != ALL and not fnmatchcase(parcel.actor, fault.actor):
        return False
    if fault.message != ALL and not fnmatchcase(parcel.message, fault.message):
        return False
    if fault.rounds is not None:
        clock = parcel.clock
        return clock is not None and fault.rounds[0] <= clock <= fault.rounds[1]
    return True
