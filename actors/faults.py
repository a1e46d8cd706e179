"""Faults, described once: the simulation carries them out, and so do real processes."""

from __future__ import annotations

import math
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from actors.crashpoints import CrashPoint

Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Seconds = Annotated[float, Meta(ge=0.0)]

_HORIZON: Final = 60.0


class Kill(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A process dies, as by SIGKILL.

    Attributes:
        node: name of its node.
        at: seconds after the start of the launcher.
    """

    node: str
    at: Seconds


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong, and how often. The default is that nothing does.

    Probabilities are per message between nodes (what is within a node cannot get lost) or per
    operation of a disk; each is drawn from the seed, the link and the number of the message.

    Attributes:
        seed: of all that is drawn.
        drop: a message vanishes after it was sent.
        duplicate: it arrives twice.
        delay: it arrives late by up to ``delay_seconds``, and so after later ones.
        delay_seconds: seconds.
        reorder: it is held back until the next one from the same node has passed; where none
            comes within a second it arrives even so. What arrived after a later one, held back or
            late, is counted as ``reordered``.
        torn: a write that a crash interrupts leaves a part of the new file. Simulation only.
        full: a write is refused for want of space. Simulation only.
        kills: processes that die at a time after the start of the launcher.
        points: processes that die at a place in the code.
        until: seconds after the start of a node at which random faults end there, so that a run
            can end.
    """

    seed: int = 0
    drop: Probability = 0.0
    duplicate: Probability = 0.0
    delay: Probability = 0.0
    delay_seconds: Seconds = 0.05
    reorder: Probability = 0.0
    torn: Probability = 0.0
    full: Probability = 0.0
    kills: tuple[Kill, ...] = ()
    points: tuple[CrashPoint, ...] = ()
    until: Annotated[float, Meta(gt=0.0)] = _HORIZON

    def __post_init__(self) -> None:
        if self.drop + self.duplicate + self.delay + self.reorder > 1.0:
            raise ValueError("drop, duplicate, delay and reorder add up to more than 1; lower them")
        if not math.isfinite(self.until):
            raise ValueError("until must be finite: a run ends when faults end")

    @property
    def freezing(self) -> CrashPoint | None:
        """A crash point after which a process lives and answers nothing."""
        return next((point for point in self.points if point.action == "sigstop"), None)

    @property
    def disturbs_messages(self) -> bool:
        """Whether anything happens to messages."""
        return bool(self.drop or self.duplicate or self.delay or self.reorder)
