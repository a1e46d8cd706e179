"""Everything that can be ordered to go wrong, each a value that a TOML table can hold."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Final, Literal, SupportsFloat

import msgspec
from msgspec import Meta

from actors.crashpoints import CrashPoint
from actors.errors import FaultError
from actors.faults.moment import ALL, Moment, Moments, Pattern, Round
from actors.quantities import is_finite

Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
MOST_SECONDS: Final = 1e9
"""Thirty years: what is counted in nanoseconds, as clocks are, still fits into 64 bits."""
Seconds = Annotated[float, Meta(ge=0.0)]

NO_MOMENTS: Final = Moments()
"""For plans whose faults wait for none."""


def _finite(fault: msgspec.Struct, *names: str) -> None:
    for name in names:
        value = getattr(fault, name)
        if value is not None and not is_finite(value):
            raise FaultError(f"{name} of {fault} must be finite: a run ends when faults end")
        if value is not None and abs(value) > MOST_SECONDS:
            raise FaultError(f"{name} of {fault} is more than {MOST_SECONDS:g} s")


class Timed(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    repr_omit_defaults=True,
):
    """Holds for a time.

    Attributes:
        after: seconds after the start of the launcher at which it begins.
        before: seconds at which it ends; None for the end of the plan, ``FaultPlan.until``.
        since: the moment from which ``after`` and ``before`` count; None for the start of the
            launcher. Where it does not come, nothing happens.
        till: the moment with which it ends if nothing ended it before.
    """

    after: Seconds = 0.0
    before: Seconds | None = None
    since: Moment | None = None
    till: Moment | None = None

    def __post_init__(self) -> None:
        _finite(self, "after", "before")
        if self.before is not None and self.before <= self.after:
            raise FaultError(
                f"{self} ends at {self.before:g} s, before it begins; give a later one"
            )

    def span(self, came: float, until: float) -> tuple[float, float]:
        """From when until when it holds, in seconds after the start of the launcher.

        Args:
            came: when its moment came, 0 where it has none.
            until: the end of its plan.
        """
        end = until if self.before is None else min(came + self.before, until)
        return came + self.after, end

    def holds(self, seconds: float, until: float, moments: Moments = NO_MOMENTS) -> bool:
        """Whether it holds so many seconds after the start, in a plan that ends at ``until``."""
        came = 0.0 if self.since is None else moments.at(self.since)
        if came is None:
            return False
        if self.till is not None and moments.at(self.till) is not None:
            return False
        begin, end = self.span(came, until)
        return begin <= seconds < end


class OnMessages(Timed, frozen=True, kw_only=True):
    """Happens to messages between nodes; what is within a node cannot get lost.

    Names may be patterns: ``*`` stands for any letters, ``?`` for one, ``[ab]`` for one of these.

    Attributes:
        source: the node that sends.
        target: the node that receives.
        actor: path of the receiving actor; all but ``*`` leaves the runtime's own signals alone.
        message: name of the message's class; likewise.
        rounds: first and last clock that the message tells, from 0; one that tells none is left
            alone. None for all messages.
    """

    source: Pattern = ALL
    target: Pattern = ALL
    actor: Pattern = ALL
    message: Pattern = ALL
    rounds: tuple[Round, Round] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_rounds(self, self.rounds)


def _check_rounds(fault: Timed, rounds: tuple[int, int] | None) -> None:
    if rounds is not None and rounds[0] > rounds[1]:
        raise FaultError(f"the rounds of {fault} are none; give the first before the last")


class Drop(OnMessages, frozen=True, tag="drop"):
    """A message vanishes after it was sent.

    Attributes:
        p: how likely.
    """

    p: Probability = 1.0


class Duplicate(OnMessages, frozen=True, tag="duplicate"):
    """A message arrives twice; where jitter falls on it, too, the second alone is late.

    Attributes:
        p: how likely.
    """

    p: Probability = 1.0


class Delay(OnMessages, frozen=True, tag="delay"):
    """A message arrives later, and so perhaps after later ones.

    Attributes:
        seconds: how much.
        p: how likely.
    """

    seconds: Seconds
    p: Probability = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _finite(self, "seconds")


class Jitter(OnMessages, frozen=True, tag="jitter"):
    """A message arrives later by a time drawn uniformly.

    Attributes:
        seconds: how much at most.
        p: how likely.
    """

    seconds: Seconds
    p: Probability = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _finite(self, "seconds")


class Reorder(OnMessages, frozen=True, tag="reorder"):
    """A message is held back until the next one from the same node has passed.

    Where none comes within a second it arrives even so.

    Attributes:
        p: how likely.
    """

    p: Probability = 1.0


class Throttle(OnMessages, frozen=True, tag="throttle"):
    """Messages arrive at a rate; those that wait stay in order.

    Attributes:
        bandwidth: bytes per second from each node to each, above 0.
    """

    bandwidth: Annotated[float, Meta(gt=0.0)]


class Corrupt(Timed, frozen=True, tag="corrupt"):
    """Some bits of one byte of a frame arrive inverted, on either lane.

    Its checksum tells, nothing of it is handed on, and the connection begins anew: messages in it
    are lost, as their sender learns; transfers go on where they were.

    Attributes:
        p: how likely for each frame; messages that are sent at a time share one, and a model is
            sent in pieces of up to 1 MiB, each a frame.
        source: the node that sends; a pattern.
        target: the node that receives; a pattern.
        actor: path of an actor that receives a message of the frame; all but ``*`` leaves alone
            the frames that hold no message of an actor.
        message: name of the class of a message in the frame, or of the one whose arrays it holds a
            piece of; likewise.
        rounds: first and last clock that such a message tells; likewise.
    """

    p: Probability = 1.0
    source: Pattern = ALL
    target: Pattern = ALL
    actor: Pattern = ALL
    message: Pattern = ALL
    rounds: tuple[Round, Round] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_rounds(self, self.rounds)


class Cut(Timed, frozen=True, tag="cut"):
    """Nothing of what one node sends reaches the other one; the way back stays open.

    Attributes:
        source: the node that sends; a pattern.
        target: the node that receives; a pattern.
    """

    source: Pattern
    target: Pattern


class Partition(Timed, frozen=True, tag="partition"):
    """No connection between groups: two nodes, an isolated one and all others, or islands.

    Attributes:
        groups: patterns of names of nodes.
        others: of nodes that are in none: "apart", they are a group of their own; "between", they
            reach everybody, as a launcher may of which two nodes cannot reach each other.
    """

    groups: Annotated[
        tuple[Annotated[tuple[Pattern, ...], Meta(min_length=1)], ...], Meta(min_length=1)
    ]
    others: Literal["apart", "between"] = "apart"

    def parts(self, one: str, other: str) -> bool:
        """Whether it takes two nodes apart."""
        a, b = self._side(one), self._side(other)
        return a != b and (self.others == "apart" or (a > 0 and b > 0))

    def _side(self, name: str) -> int:
        for number, group in enumerate(self.groups, 1):
            if any(fnmatchcase(name, pattern) for pattern in group):
                return number
        return 0


class Kill(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="kill", tag_field="kind",
    repr_omit_defaults=True,
):  # fmt: skip
    """A process dies, as by SIGKILL.

    Attributes:
        node: name of its node.
        at: seconds after the start of the launcher, or after its moment.
        down: seconds that pass before its successor may start.
        since: the moment from which ``at`` counts; None for the start of the launcher.
    """

    node: Pattern
    at: Seconds
    down: Seconds = 0.0
    since: Moment | None = None

    def __post_init__(self) -> None:
        _finite(self, "at", "down")


class Freeze(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="freeze", tag_field="kind",
    repr_omit_defaults=True,
):  # fmt: skip
    """A process hangs, as by SIGSTOP, and goes on, as by SIGCONT.

    Attributes:
        node: name of its node.
        at: seconds after the start of the launcher, or after its moment.
        seconds: for how long.
        since: the moment from which ``at`` counts; None for the start of the launcher.
    """

    node: Pattern
    at: Seconds
    seconds: Annotated[float, Meta(gt=0.0)]
    since: Moment | None = None

    def __post_init__(self) -> None:
        _finite(self, "at", "seconds")


class Slow(Timed, frozen=True, tag="slow"):
    """A node computes slower.

    Attributes:
        node: a pattern.
        factor: how much longer everything takes, above 1.
    """

    node: Pattern
    factor: Annotated[float, Meta(gt=1.0, le=1000.0)]


class Skew(Timed, frozen=True, tag="skew"):
    """The clock of a node differs from that of the launcher.

    Without a time of its own it does so from the node's start to its end, as on another machine.
    With one, only the time of day is set forward and back: what intervals are measured by never
    jumps on a machine.

    Attributes:
        node: a pattern.
        seconds: by how much it is ahead; negative for behind.
    """

    node: Pattern
    seconds: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _finite(self, "seconds")

    @property
    def always(self) -> bool:
        """Whether it has no time of its own."""
        return not self.after and (self.before, self.since, self.till) == (None, None, None)


class Full(Timed, frozen=True, tag="full"):
    """A write is refused for want of space.

    Attributes:
        p: how likely.
        node: whose; a pattern.
    """

    p: Probability = 1.0
    node: Pattern = ALL


class Torn(Timed, frozen=True, tag="torn"):
    """A write that a crash interrupts leaves a part of the new file, as a power cut may.

    Attributes:
        p: how likely.
        node: whose; a pattern.
    """

    p: Probability = 1.0
    node: Pattern = ALL


class Churn(Timed, frozen=True, tag="churn"):
    """Nodes leave, as by SIGKILL, and come back: each has sessions and absences of its own.

    Attributes:
        offline: share of its time that a node is away, 0 to below 1.
        session: mean seconds of a session, exponentially distributed, as a number or a time in
            another unit; or the quantiles of its distribution at equal steps, from the shortest to
            the longest, drawn from between.
        node: a pattern.
    """

    offline: Annotated[float, Meta(ge=0.0, lt=1.0)]
    if TYPE_CHECKING:
        session: SupportsFloat | tuple[Seconds, ...]
    else:  # what it becomes, and is read as
        session: Annotated[float, Meta(gt=0.0)] | tuple[Seconds, ...]
    node: Pattern = ALL

    def __post_init__(self) -> None:
        super().__post_init__()
        table: object = self.session
        if not isinstance(table, tuple):
            # A time in another unit, too, if it says how many seconds it is.
            if not isinstance(table, SupportsFloat):
                raise FaultError(
                    f"session={table!r} of Churn is no time; give its mean in seconds, or a tuple "
                    "of quantiles"
                )
            msgspec.structs.force_setattr(self, "session", float(table))
            _finite(self, "session")
        elif len(table) < 2 or list(table) != sorted(table) or not 0 < table[-1] < math.inf:
            raise FaultError(
                f"the quantiles {table} are none: give at least two finite seconds, in rising order"
            )


Fault = (
    Drop | Duplicate | Delay | Jitter | Reorder | Throttle | Corrupt | Cut | Partition | Kill
    | Freeze | Slow | Skew | Full | Torn | Churn | CrashPoint
)  # fmt: skip

MessageFault = Drop | Duplicate | Delay | Jitter | Reorder | Throttle


def key_of(fault: Fault) -> str:
    """What the draws of a fault are derived from; what it does not say moves none of them."""
    values = msgspec.to_builtins(fault)
    unsaid: dict[str, object] = {"since": None, "till": None}
    if isinstance(fault, Corrupt):
        unsaid |= {"actor": ALL, "message": ALL, "rounds": None}
    said = {name: value for name, value in values.items()
            if name not in unsaid or value != unsaid[name]}  # fmt: skip
    return msgspec.json.encode(said).decode()
