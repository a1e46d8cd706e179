"""What is played under each schedule of faults, and what must hold whatever happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from actors.deploy import Simulated
from actors.errors import UsageError
from actors.faults.plan import FaultPlan

R = TypeVar("R")


@dataclass(frozen=True)
class Evidence(Generic[R]):
    """What one play left, for the invariants to judge.

    Attributes:
        plan: what went wrong in it.
        result: what ``play`` returned; None where it raised.
        error: what it raised.
        seconds: virtual time that it took.
        digest: SHA-256 over everything that went over its networks and when.
        faults: how often each kind of the plan took effect.
        killed: processes that a signal ended, those that were there at the end included.
        started: processes that were started.
        asks: asks that did not end by their deadline, a sentence each.
        messages: messages that are not accounted for, a sentence each.
        left: what is still there after the end and was not before, by kind.
        story: the last events of actors and network, oldest first.
        reference: of the undisturbed play; None in that one itself.
    """

    plan: FaultPlan
    result: R | None = None
    error: BaseException | None = None
    seconds: float = 0.0
    digest: str = ""
    faults: Mapping[str, int] = field(default_factory=dict)
    killed: int = 0
    started: int = 0
    asks: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    left: Mapping[str, int] = field(default_factory=dict)
    story: tuple[str, ...] = ()
    reference: Evidence[R] | None = None

    @property
    def kills(self) -> int:
        """Processes that a signal ended beyond those of the undisturbed play."""
        return 0 if self.reference is None else max(0, self.killed - self.reference.killed)

    @property
    def restarts(self) -> int:
        """Processes that were started beyond those of the undisturbed play."""
        return 0 if self.reference is None else max(0, self.started - self.reference.started)


Invariant = Callable[[Evidence[Any]], str | None]
"""Judges what a play left: None where all is well, else a sentence that says what is not."""


def ends(evidence: Evidence[Any]) -> str | None:
    """The play ends, and not by an exception."""
    if evidence.error is None:
        return None
    return f"it raised {type(evidence.error).__name__}: {evidence.error}"


def asks_end(evidence: Evidence[Any]) -> str | None:
    """Every ask ends by its deadline, unless its own node crashed or was frozen then."""
    return "; ".join(evidence.asks[:3]) or None


def messages_are_accounted_for(evidence: Evidence[Any]) -> str | None:
    """Every message between nodes arrived, or its sender was told, or crashed itself."""
    return "; ".join(evidence.messages[:3]) or None


def nothing_is_left(evidence: Evidence[Any]) -> str | None:
    """After the end as many actors, systems, links and tasks live as before it."""
    if not evidence.left:
        return None
    named = ", ".join(f"{count} {kind}" for kind, count in sorted(evidence.left.items()))
    return f"after the end there are still {named}"


ALWAYS: tuple[Invariant, ...] = (ends, asks_end, messages_are_accounted_for, nothing_is_left)
"""What must hold of any play; judged first, in this order."""


@dataclass(frozen=True)
class Scenario(Generic[R]):
    """Something that is played in simulated time, under one schedule of faults after another.

    ::

        async def play(on: Simulated) -> int:
            async with graph().start(on=on) as live:
                ...
                return total

        counting = Scenario(play, nodes=("p0", "p1"), invariants=(no_count_is_lost,))

    Attributes:
        play: plays it once; all that must outlive a play is made anew in each.
        nodes: names of the processes that faults may happen to.
        invariants: judge each play, beside ``ALWAYS``.
        on: the simulation, undisturbed; each play has a seed and faults of its own.
        points: names of crash points in its code, and the nodes that pass each.
        seconds: virtual seconds within which faults begin; None for a little longer than it takes
            undisturbed.
        kinds: of faults; all by default.
        always: the invariants that come with the engine; for a scenario that has others.
    """

    play: Callable[[Simulated], Awaitable[R]]
    nodes: tuple[str, ...]
    invariants: tuple[Invariant, ...] = ()
    on: Simulated = field(default_factory=lambda: Simulated(2))
    points: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seconds: float | None = None
    kinds: tuple[str, ...] = ()
    always: tuple[Invariant, ...] = ALWAYS

    def __post_init__(self) -> None:
        if not self.nodes:
            raise UsageError("a scenario needs the names of nodes that faults may happen to")
        nodes: object = self.nodes
        if isinstance(nodes, str):
            raise UsageError(f"nodes={nodes!r} is a string; give a tuple: ({nodes!r},)")
        if self.on.faults:
            raise UsageError("the simulation of a scenario is undisturbed; leave out its faults")

    def broken(self, evidence: Evidence[R]) -> dict[str, str]:
        """What does not hold of a play: a sentence by invariant; one that raises, too.

        Raises:
            UsageError: an invariant returned neither None nor a sentence.
        """
        found = {}
        for invariant in (*self.always, *self.invariants):
            # What an invariant looks at may not be there after an error.
            if evidence.error is not None and invariant not in self.always:
                continue
            sentence = _judged(invariant, evidence)
            if sentence is not None:
                found[name_of(invariant)] = encodable(sentence)
        return found


def _judged(invariant: Invariant, evidence: Evidence[Any]) -> str | None:
    try:
        sentence: object = invariant(evidence)
    except Exception as error:  # noqa: BLE001  (a play that it cannot judge is one to look at)
        return f"it could not be judged: {type(error).__name__}: {error}"
    if sentence is not None and not isinstance(sentence, str):
        raise UsageError(
            f"the invariant {name_of(invariant)!r} returned {sentence!r}; return None where all is "
            "well, else a sentence that says what is not"
        )
    return sentence


def encodable(text: str) -> str:
    """The same text where it can be told to another process: a file's name may not be UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def name_of(invariant: Invariant) -> str:
    """An invariant's name, for people."""
    return getattr(invariant, "__name__", type(invariant).__name__).replace("_", " ")
