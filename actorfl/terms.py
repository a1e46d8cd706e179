"""What goes up: named exact sums and the set of (worker, clock) contributions in them.

A worker's own update is ``Terms`` of one contributor and carries float32; an inner node, or a node
that adds up its own workers, sends ``Terms`` of many contributors that carry int64 sums. Both are
folded alike, so the model does not depend on who added whom. Where the root is to look at each
update by itself, an inner node forwards them whole instead, one beside the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from actorfl.errors import ActorflError
from actorfl.grid import Grid
from actorfl.layout import MAX_PARTS, Layout, Shape
from actorfl.mean import Mean
from actorfl.quotient import Units

Array: TypeAlias = npt.NDArray[Any]

# Terms arrive from other nodes. An algorithm has a handful of terms and a task some metrics; these
# bounds stop a header that is all names.
MAX_TERMS = 256
MAX_CONTRIBUTORS = 1 << 20
MAX_COUNT = 1 << 40  # of one exact count, so that those of 2^20 contributors fit into int64
_NAME_BYTES = 255

_Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=_NAME_BYTES)]


class TermsError(ActorflError, ValueError):
    """Terms that their maker put together wrongly, or a header that contradicts its arrays."""


class Contribution(NamedTuple):
    """One worker's part in one clock; a sum holds each at most once."""

    worker: str
    clock: int


@dataclass(frozen=True, slots=True)
class Sum:
    """One float32 vector, to be added ``weight`` times.

    Attributes:
        array: one-dimensional float32 of the model's size; what is wrong with it is said when it is
            folded, by the name of its worker.
        weight: a whole number, such as the examples behind the vector, 0 to 2^40; 0, and more than
            the workers have examples, is refused when folded.

    Raises:
        TermsError: the weight is no whole number, or out of range.
    """

    array: Array
    weight: int = 1

    def __post_init__(self) -> None:
        # What the aggregator cannot read it cannot answer, so its maker is told.
        weight: object = self.weight
        if isinstance(weight, bool) or not isinstance(weight, int | np.integer):
            raise TermsError(
                f"the weight of a Sum is a whole number, not {weight!r}; multiply the vector by a "
                "factor that is none"
            )
        if not 0 <= weight <= MAX_COUNT:
            raise TermsError(f"the weight of a Sum is from 0 to {MAX_COUNT}, not {weight}")
        object.__setattr__(self, "weight", int(weight))


@dataclass(frozen=True, slots=True)
class PartialSum:
    """A sum of several vectors in units of a grid.

    Attributes:
        units: int64 multiples of 2^e, of the model's size.
        weight: sum of the weights in it.
        count: number of vectors in it.
        rounded: how many of their values were rounded to the grid.
    """

    units: Units
    weight: int
    count: int
    rounded: int = 0


@dataclass(frozen=True, slots=True)
class Packed:
    """One float32 vector, compressed, to be added ``weight`` times once it is decoded.

    Attributes:
        arrays: what its compressor made, by field; see ``actorfl.packing``.
        weight: as of ``Sum``.
    """

    arrays: Mapping[str, Array]
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Whole:
    """The vectors of several workers, none added to another.

    Attributes:
        array: two-dimensional float32, a row of the model's size for each contribution, in their
            sorted order.
        weight: sum of their weights.
    """

    array: Array
    weight: int


class Terms:
    """Named exact sums, counts and means, and who contributed.

    An algorithm's ``up`` names its terms, ``Terms(model=Sum(ctx.result, ctx.examples))``; the
    worker then states the rest with ``stated``.

    Args:
        named: a ``Sum`` (a vector), an ``int`` (an exact count) or a ``Mean`` for each name.

    Attributes:
        sums: the vectors by name.
        packed: those that are compressed; none is left where they are merged.
        whole: those of several workers that are forwarded as they came.
        counts: exact whole numbers by name, added.
        means: metrics by name, added.
        contributions: who is in the sums; empty until ``stated``.
        examples: training examples behind the sums.
        integers: integer buffers of the model by name, merged by maximum.
        shapes: (name, shape) of the parts that the vectors consist of.
        grid: the grid of partial sums; None where vectors are float32.

    Raises:
        TermsError: a term is of another type, its name is empty or too long, or a count is out of
            range.
    """

    __slots__ = (
        "contributions",
        "counts",
        "examples",
        "grid",
        "integers",
        "means",
        "packed",
        "shapes",
        "sums",
        "whole",
    )

    def __init__(self, **named: Sum | PartialSum | Mean | int) -> None:
        self.sums: dict[str, Sum | PartialSum] = {}
        self.packed: dict[str, Packed] = {}
        self.whole: dict[str, Whole] = {}
        self.counts: dict[str, int] = {}
        self.means: dict[str, Mean] = {}
        self.contributions: frozenset[Contribution] = frozenset()
        self.examples = 0
        self.integers: Mapping[str, Array] = {}
        self.shapes: tuple[tuple[str, Shape], ...] = ()
        self.grid: Grid | None = None
        if len(named) > MAX_TERMS:
            raise TermsError(f"at most {MAX_TERMS} terms go up, not {len(named)}")
        for name, term in named.items():
            if not 1 <= len(name.encode()) <= _NAME_BYTES:
                raise TermsError(f"a term's name has 1 to {_NAME_BYTES} bytes: {name[:40]!r}")
            if isinstance(term, (Sum, PartialSum)):
                self.sums[name] = term
            elif isinstance(term, Mean):
                self.means[name] = term
            elif isinstance(term, int):
                if abs(term) > MAX_COUNT:
                    raise TermsError(f"the count {name!r} is beyond {MAX_COUNT}: {term}")
                self.counts[name] = int(term)
            else:
                raise TermsError(
                    f"the term {name!r} is a {type(term).__name__}; a term is a Sum of a float32 "
                    "vector, a Mean, or a whole number"
                )

    def stated(
        self,
        *,
        worker: str,
        clock: int,
        examples: int,
        layout: Layout,
        means: Mapping[str, Mean] | None = None,
        integers: Mapping[str, Array] | None = None,
    ) -> Terms:
        """These terms, as the contribution of one worker to one clock.

        Args:
            worker: its name.
            clock: the clock that it was computed in.
            examples: how many training examples are behind it, >= 0 (0 is refused when folded).
            layout: of the model that the vectors are made from.
            means: metrics to add to those of the algorithm.
            integers: the model's integer buffers after training.
        """
        terms = Terms()
        terms.sums = self.sums
        terms.packed = self.packed
        terms.whole = self.whole
        terms.counts = self.counts
        terms.means = {**self.means, **(means or {})}
        terms.contributions = frozenset({Contribution(worker, clock)})
        terms.examples = examples
        terms.integers = dict(integers or {})
        terms.shapes = layout.shapes
        return terms

    def to_wire(self) -> tuple[TermsHeader, dict[str, Array]]:
        """A small header, and the arrays as ``transports.Weights`` takes them.

        Returns:
            The header and arrays named ``sum/<name>``, ``packed/<field>/<name>``, ``whole/<name>``
            and ``integer/<name>``, not copied.
        """
        sums = (
            *(
                SumHeader(name, term.weight)
                if isinstance(term, Sum)
                else SumHeader(name, term.weight, term.count, term.rounded)
                for name, term in self.sums.items()
            ),
            *(SumHeader(name, term.weight) for name, term in self.packed.items()),
            *(SumHeader(name, term.weight, len(term.array)) for name, term in self.whole.items()),
        )
        arrays: dict[str, Array] = {
            f"sum/{name}": term.array if isinstance(term, Sum) else term.units
            for name, term in self.sums.items()
        }
        arrays.update(
            (f"packed/{field}/{name}", array)
            for name, term in self.packed.items()
            for field, array in term.arrays.items()
        )
        arrays.update((f"whole/{name}", term.array) for name, term in self.whole.items())
        arrays.update({f"integer/{name}": array for name, array in self.integers.items()})
        header = TermsHeader(
            tuple(sorted(self.contributions)),
            self.examples,
            self.shapes,
            sums,
            dict(self.counts),
            dict(self.means),
            self.grid,
        )
        return header, arrays

    @classmethod
    def from_wire(cls, header: TermsHeader, arrays: Mapping[str, Array]) -> Terms:
        """Terms from what arrived; the arrays are not copied.

        Args:
            header: decoded with msgspec, which bounds it.
            arrays: the arrays that came with it.

        Raises:
            TermsError: arrays that the header states are missing, or others came, or names and
                contributions stand twice.
        """
        packed: dict[str, dict[str, Array]] = {}
        whole: dict[str, Array] = {}
        integers = {n.removeprefix("integer/"): a for n, a in arrays.items() if n[:8] == "integer/"}
        stated = {each.name for each in header.sums}
        if len(stated) != len(header.sums):
            raise _contradicted(header, arrays)
        # Of nearly all updates that is all there is.
        plain = len(stated) + len(integers) == len(arrays)
        if not plain or not all(f"sum/{name}" in arrays for name in stated):
            packed = _packed_in(arrays)
            whole = {n.removeprefix("whole/"): a for n, a in arrays.items() if n[:6] == "whole/"}
            _check_apart(header, arrays, packed, whole, integers)
        contributions = frozenset(header.contributions)
        if len(contributions) != len(header.contributions):
            raise TermsError("a contribution stands twice in one header")
        terms = cls()
        for total in header.sums:
            if total.name in packed:
                terms.packed[total.name] = Packed(packed[total.name], total.weight)
                continue
            if total.name in whole:
                terms.whole[total.name] = Whole(whole[total.name], total.weight)
                continue
            array = arrays[f"sum/{total.name}"]
            terms.sums[total.name] = (
                Sum(array, total.weight)
                if total.count == 0
                else PartialSum(array, total.weight, total.count, total.rounded)
            )
        terms.counts = dict(header.counts)
        terms.means = dict(header.means)
        terms.contributions = contributions
        terms.examples = header.examples
        terms.integers = integers
        terms.shapes = header.shapes
        terms.grid = header.grid
        return terms

    def __iter__(self) -> Iterator[str]:
        yield from self.sums
        yield from self.packed
        yield from self.whole
        yield from self.counts
        yield from self.means

    def __repr__(self) -> str:
        who = listed_workers(self.contributions) or "nobody yet"
        return f"<Terms {', '.join(self) or 'empty'} of {who} examples={self.examples}>"


class SumHeader(msgspec.Struct, frozen=True, array_like=True):
    """One sum in a header; ``count`` 0 says that it is one worker's own float32 vector.

    Of vectors that are forwarded whole it is how many there are.
    """

    name: _Name
    weight: Annotated[int, msgspec.Meta(ge=0)]
    count: Annotated[int, msgspec.Meta(ge=0)] = 0
    rounded: Annotated[int, msgspec.Meta(ge=0)] = 0


class TermsHeader(msgspec.Struct, frozen=True, array_like=True):
    """All of ``Terms`` but the arrays; see there."""

    contributions: Annotated[
        tuple[Contribution, ...], msgspec.Meta(min_length=1, max_length=MAX_CONTRIBUTORS)
    ]
    examples: Annotated[int, msgspec.Meta(ge=0)]
    shapes: Annotated[tuple[tuple[str, Shape], ...], msgspec.Meta(max_length=MAX_PARTS)]
    sums: Annotated[tuple[SumHeader, ...], msgspec.Meta(max_length=MAX_TERMS)]
    counts: Annotated[
        dict[_Name, Annotated[int, msgspec.Meta(ge=-(1 << 60), le=1 << 60)]],
        msgspec.Meta(max_length=MAX_TERMS),
    ] = msgspec.field(default_factory=dict)
    means: Annotated[dict[_Name, Mean], msgspec.Meta(max_length=MAX_TERMS)] = msgspec.field(
        default_factory=dict
    )
    grid: Grid | None = None


def _check_apart(
    header: TermsHeader,
    arrays: Mapping[str, Array],
    packed: Mapping[str, Mapping[str, Array]],
    whole: Mapping[str, Array],
    integers: Mapping[str, Array],
) -> None:
    """Refuse a header that states other arrays than came, some of them compressed or whole.

    Raises:
        TermsError: it does.
    """
    apart = packed.keys() | whole.keys()
    expected = {
        *(f"sum/{each.name}" for each in header.sums if each.name not in apart),
        *(f"packed/{field}/{name}" for name, fields in packed.items() for field in fields),
        *(f"whole/{name}" for name in whole),
        *(f"integer/{name}" for name in integers),
    }
    if (
        not packed.keys() <= {each.name for each in header.sums if each.count == 0}
        or not whole.keys() <= {each.name for each in header.sums if each.count > 0}
        or packed.keys() & whole.keys()
        or expected != set(arrays)
    ):
        raise _contradicted(header, arrays)


def _contradicted(header: TermsHeader, arrays: Mapping[str, Array]) -> TermsError:
    return TermsError(
        f"the header states {sorted(each.name for each in header.sums)} and integer buffers, but "
        f"the arrays are {sorted(arrays)[:8]}"
    )


def _packed_in(arrays: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """The arrays of compressed vectors, by term and field."""
    found: dict[str, dict[str, Array]] = {}
    for key, array in arrays.items():
        if key.startswith("packed/"):
            field, _, name = key.removeprefix("packed/").partition("/")
            found.setdefault(name, {})[field] = array
    return found


def listed_workers(contributions: Iterable[Contribution]) -> str:
    """A few names of workers for a sentence, in order."""
    names = sorted({contribution.worker for contribution in contributions})
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
