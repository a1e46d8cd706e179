"""What goes wrong, described once: the simulation carries it out, real links and processes too."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from actors import tomlwriter
from actors.crashpoints import CrashPoint
from actors.errors import UsageError
from actors.faults.kinds import (
    MOST_SECONDS,
    Corrupt,
    Cut,
    Delay,
    Drop,
    Duplicate,
    Fault,
    Freeze,
    Full,
    Jitter,
    Kill,
    MessageFault,
    Partition,
    Reorder,
    Skew,
    Throttle,
    Timed,
    Torn,
    key_of,
)
from actors.faults.moment import Moment, Moments
from actors.quantities import is_finite
from actors.suggest import meant, shown

T = TypeVar("T")
F = TypeVar("F", bound=Fault)

HORIZON: Final = 60.0
MOST_FAULTS: Final = 10_000
"""In one plan: each message is held against those that concern messages."""

MOST_BYTES: Final = 16 << 20
"""Of a file that holds a plan: ``MOST_FAULTS`` take a tenth."""

_TABLE: Final = "fault"
_MOMENTS: Final = ("since", "till")
_KINDS: Final = {str(kind.__struct_config__.tag): kind for kind in Fault.__args__}


@dataclass(frozen=True, init=False, repr=False)
class FaultPlan:
    """What goes wrong, and when. The default is that nothing does.

    ``FaultPlan(Drop(0.05), Kill("p0", at=1.5), seed=7, until=20.0)``. What is drawn, is drawn from
    the seed, the fault itself, the link and the number of the message: one fault less changes
    nothing about the others.

    Args:
        *faults: in any order.
        seed: of all that is drawn, a signed number of 64 bits.
        until: seconds after the start of the launcher at which all that holds for a time ends, so
            that a run can end; finite, above 0. Unless it is given, 60, or as long as the run lasts
            where that is known beforehand.

    Raises:
        UsageError: something of it cannot be; the sentence says what.
    """

    faults: tuple[Fault, ...] = ()
    seed: int = 0
    until: float = HORIZON

    def __init__(self, *faults: Fault, seed: int = 0, until: float | None = None) -> None:
        object.__setattr__(self, "faults", tuple(map(_checked, faults)))
        object.__setattr__(self, "seed", seed)
        object.__setattr__(self, "until", HORIZON if until is None else until)
        object.__setattr__(self, "_open", until is None)
        self.__post_init__()

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise UsageError(f"seed={self.seed!r} of a fault plan is no whole number; give one")
        if not -(2**63) <= self.seed < 2**63:
            raise UsageError(f"seed={shown(self.seed)} of a fault plan takes more than 64 bits")
        until: Any = self.until
        if not is_finite(until) or until <= 0:
            raise UsageError(
                f"until={shown(until)} of a fault plan must be finite and above 0: a run ends when "
                "faults end"
            )
        if until > MOST_SECONDS:
            raise UsageError(f"until={until:g} of a fault plan is more than {MOST_SECONDS:g} s")
        if len(self.faults) > MOST_FAULTS:
            raise UsageError(f"{len(self.faults)} faults are more than the {MOST_FAULTS} of a plan")
        for fault in self.faults:
            begins = _beginning(fault)
            # A kill may come with the end; what holds for a time would hold for none.
            late = begins >= until if isinstance(fault, Timed) else begins > until
            if late:
                raise UsageError(
                    f"{fault} begins after {begins:g} s, and the plan ends at until={until:g}; "
                    "let it begin earlier, or the plan end later"
                )

    # -- reading and writing -----------------------------------------------------------------------

    @classmethod
    def from_toml(cls, text: str) -> FaultPlan:
        """Read what ``to_toml`` writes: ``seed``, ``until``, and a ``[[fault]]`` for each.

        Raises:
            UsageError: it is no TOML, or no plan; where and why is in the sentence.
        """
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"the fault plan is no TOML: {error}") from None
        except RecursionError:
            raise UsageError(
                "the fault plan holds tables in tables, deeper than it can be read; a fault is "
                f"one [[{_TABLE}]]"
            ) from None
        return cls.from_table(table)

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> FaultPlan:
        """The plan of a table as ``from_toml`` reads it.

        Raises:
            UsageError: it is no plan; where and why is in the sentence.
        """
        unknown = sorted(set(table) - {"seed", "until", _TABLE})
        if unknown:
            raise UsageError(
                f"a fault plan has no key {unknown[0]!r}; it has seed, until and [[{_TABLE}]]"
            )
        try:
            faults = tuple(map(_read, _tables(table), count(1)))
            seed = msgspec.convert(table.get("seed", 0), int)
            until = msgspec.convert(table.get("until"), float | None)
        except msgspec.ValidationError as error:
            raise UsageError(f"the fault plan cannot be: {error}") from None
        return cls(*faults, seed=seed, until=until)

    @classmethod
    def from_file(cls, path: str | Path) -> FaultPlan:
        """Read a plan from a TOML file.

        Raises:
            UsageError: the file cannot be read, or holds no plan.
        """
        try:
            with Path(path).open("rb") as file:
                content = file.read(MOST_BYTES + 1)
            text = content[:MOST_BYTES].decode()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read the fault plan {path}: {error}") from None
        if len(content) > MOST_BYTES:
            raise UsageError(f"{path} has more than {MOST_BYTES} bytes; is it a fault plan?")
        try:
            return cls.from_toml(text)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from None

    def to_toml(self) -> str:
        """As TOML that ``from_toml`` reads; what is as it is by default is left out."""
        head = tomlwriter.dumps({"seed": self.seed, "until": self.until})
        tables = (f"\n[[{_TABLE}]]\n{tomlwriter.dumps(_written(fault))}" for fault in self.faults)
        return "".join((head, *tables))

    # -- looking -----------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        """Whether anything goes wrong."""
        return bool(self.faults)

    def __len__(self) -> int:
        """How many faults there are."""
        return len(self.faults)

    def of(self, *kinds: type[T]) -> tuple[T, ...]:
        """Those of some kinds, in order."""
        return tuple(fault for fault in self.faults if isinstance(fault, kinds))

    def replace(self, faults: Sequence[Fault]) -> FaultPlan:
        """The same plan with other faults."""
        return FaultPlan(*faults, seed=self.seed, until=None if self._is_open else self.until)

    def lasting(self, seconds: float) -> FaultPlan:
        """The same plan until then, if it does not say itself how long it lasts.

        Raises:
            UsageError: see the class.
        """
        return FaultPlan(*self.faults, seed=self.seed, until=seconds) if self._is_open else self

    @property
    def _is_open(self) -> bool:
        """Whether nobody has said how long it lasts; that makes no plan unequal to another."""
        is_open: bool = self.__dict__.get("_open", False)
        return is_open

    @property
    def points(self) -> tuple[CrashPoint, ...]:
        """Places in the code at which processes die."""
        return self.of(CrashPoint)

    @property
    def freezing(self) -> CrashPoint | None:
        """A crash point after which a process lives and answers nothing."""
        return next((point for point in self.points if point.action == "sigstop"), None)

    @property
    def on_messages(self) -> tuple[MessageFault, ...]:
        """What happens to messages where they arrive."""
        return self.of(Drop, Duplicate, Delay, Jitter, Reorder, Throttle)

    @property
    def disturbs_messages(self) -> bool:
        """Whether a node has to look at each message that arrives."""
        return bool(self.on_messages or self.of(Cut))

    @property
    def damages_frames(self) -> bool:
        """Whether bits of what nodes send each other arrive inverted."""
        return bool(self.of(Corrupt))

    @property
    def separates(self) -> bool:
        """Whether it takes nodes apart."""
        return bool(self.of(Partition))

    def skew(self, node: str) -> float:
        """Seconds by which the clock of a node is ahead from its start to its end."""
        skews = (each for each in self.of(Skew) if each.always)
        return sum(each.seconds for each in skews if fnmatchcase(node, each.node))

    def resets(self, node: str) -> tuple[Skew, ...]:
        """What sets the time of day of a node forward and back."""
        skews = (each for each in self.of(Skew) if not each.always)
        return tuple(each for each in skews if fnmatchcase(node, each.node))

    @property
    def moments(self) -> tuple[Moment, ...]:
        """Those that faults wait for, each once."""
        each = (getattr(fault, name, None) for fault in self.faults for name in _MOMENTS)
        return tuple(dict.fromkeys(moment for moment in each if moment is not None))

    def missed(self, seconds: float, moments: Moments) -> Iterator[tuple[Fault, str]]:
        """What had not begun when all ended, and why; crash points tell so themselves.

        Args:
            seconds: after the start of the launcher, when it ended.
            moments: that had come.
        """
        for fault in self.faults:
            if isinstance(fault, CrashPoint):
                continue
            since: Moment | None = getattr(fault, "since", None)
            came = 0.0 if since is None else moments.at(since)
            if came is None:
                yield fault, "its moment never came; look at its message, clock and node"
                continue
            begins = came + _beginning(fault)
            if begins > self.until:
                yield fault, f"the plan had ended at until={self.until:g} before that"
            elif begins > seconds:
                yield fault, f"all had ended after {seconds:.3g} s"

    @property
    def disturbs_disks(self) -> bool:
        """Whether writes go wrong."""
        return bool(self.of(Full, Torn))

    def nodes(self) -> Iterator[tuple[Fault, str]]:
        """Every pattern that stands for nodes, with its fault."""
        for fault in self.faults:
            if isinstance(fault, Partition):
                yield from ((fault, name) for group in fault.groups for name in group)
                continue
            for name in ("node", "source", "target"):
                pattern = getattr(fault, name, None)
                if pattern is not None:
                    yield fault, pattern

    def __repr__(self) -> str:
        faults = "".join(f"{fault!r}, " for fault in self.faults)
        return f"FaultPlan({faults}seed={self.seed}, until={self.until:g})"


def _beginning(fault: Fault) -> float:
    """Seconds after the start of the launcher, or after its moment, at which it begins."""
    if isinstance(fault, Timed):
        return fault.after
    return fault.at if isinstance(fault, Kill | Freeze) else 0.0


def keyed(faults: Iterable[F]) -> Iterator[tuple[F, str]]:
    """Each with what its draws are derived from: itself, and which of several alike it is.

    Its place in the plan is none of it: one fault less moves no draw of the others.
    """
    alike: Counter[str] = Counter()
    for fault in faults:
        text = key_of(fault)
        alike[text] += 1
        yield fault, text if alike[text] == 1 else f"{text}#{alike[text]}"


def _checked(fault: object) -> Fault:
    """Hold a fault that was made by hand against its own rules, which msgspec checks on reading.

    What comes back has tuples where lists were given.
    """
    if not isinstance(fault, Fault):
        raise UsageError(
            f"{fault!r} is no fault; give Drop(0.1), Kill('p0', at=1.0) or another of "
            f"{', '.join(sorted(kind.__name__ for kind in Fault.__args__))}"
        )
    for name in _MOMENTS:
        moment = getattr(fault, name, None)
        if moment is not None and not isinstance(moment, Moment):
            raise UsageError(
                f"{name}={shown(moment)} of a {type(fault).__name__} is no moment; give "
                f"{name}=Moment(clock=3) for when clock 3 begins, or Moment(message='Put')"
            )
    try:
        return msgspec.convert(msgspec.to_builtins(fault), type(fault))
    except msgspec.ValidationError as error:
        raise UsageError(f"{fault!r} cannot be: {error}") from None


def _tables(table: Mapping[str, Any]) -> list[Any]:
    """The tables of a plan's faults, not looked at yet."""
    found = table.get(_TABLE, [])
    if not isinstance(found, list):
        raise UsageError(f"a fault plan has a list of faults; write [[{_TABLE}]] above each")
    return found


def _read(table: Any, number: int) -> Fault:
    """The fault of a table, which is the so manieth of its plan."""
    kind = table.get("kind") if isinstance(table, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        kinds = sorted(_KINDS)
        raise UsageError(
            f"fault {number} of the plan is of no kind: {shown(kind)}; {meant(kind, kinds)}"
            f"there are {', '.join(kinds)}"
        )
    fields = _KINDS[kind].__struct_fields__
    for name in (each for each in _MOMENTS if each in table and each in fields):
        _check_moment(table[name], f"`{name}` of fault {number} of the plan, {kind!r},")
    try:
        fault: Fault = msgspec.convert(table, Fault)
    except msgspec.ValidationError as error:
        # Where it is within a fault alone: "$" is the fault itself.
        sentence = str(error).removesuffix(" - at `$`").replace("`$.", "`")
        if "unknown field" in sentence:
            sentence = f"{sentence}; it has {', '.join(fields)}"
        raise UsageError(f"fault {number} of the plan, {kind!r}, cannot be: {sentence}") from None
    return fault


def _check_moment(value: object, what: str) -> None:
    """Refuse what is no table of the fields of a moment; their values are looked at later."""
    if not isinstance(value, dict):
        raise UsageError(
            f"{what} is no moment: {shown(value)}; write {{ clock = 3 }} for when clock 3 begins, "
            'or { message = "Put" }'
        )
    known = Moment.__struct_fields__
    unknown = sorted(set(value) - set(known))
    if unknown:
        raise UsageError(
            f"{what} has no field {unknown[0]!r}; {meant(unknown[0], known)}a moment has "
            f"{', '.join(known)}"
        )


def _written(fault: Fault) -> dict[str, Any]:
    kind = fault.__struct_config__.tag
    values = msgspec.to_builtins(fault)
    defaults = {
        field.name: field.default
        for field in msgspec.structs.fields(fault)
        if field.default is not msgspec.NODEFAULT
    }
    written = {
        name: value
        for name, value in values.items()
        if name != "kind" and not (name in defaults and value == defaults[name])
    }
    return {"kind": kind, **written}
