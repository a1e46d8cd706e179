"""What is computed and merged: an algorithm as a few pure functions.

A model is one flat float32 vector here, and ``ctx.layout`` names its parts. Nothing in this file
knows torch, actors or messages, so one algorithm file serves every topology and deployment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import ClassVar, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np

from actorfl.errors import ActorflError, BeyondHelp
from actorfl.layout import Layout, Vector
from actorfl.local import SGD, Phase
from actorfl.merging import Merged
from actorfl.parts import TensorInfo
from actorfl.terms import Array, Terms
from actors.suggest import shown

Reduce: TypeAlias = Literal["sum", "all", "pair"]
Scalar: TypeAlias = int | float | str | bool

Mine: TypeAlias = "Mapping[str, Array | Scalar]"
"""A worker's own state between clocks: arrays and scalars by name, empty where there is none."""

#: What may be kept, for people.
KEEPABLE = "arrays of numbers, numbers of 64 bits, strings and bools"


def travels(value: object) -> bool:
    """Whether a value that an algorithm keeps can be saved, and read again."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biuf" and value.dtype.itemsize <= 8
    if type(value) is int:
        return -(2**63) <= value < 2**64
    return isinstance(value, bool | float | str)


def check_travels(values: Mapping[str, object]) -> None:
    """Refuse what could be written into a save and not be read from it.

    Raises:
        ValueError: with the first such value.
    """
    for name, value in values.items():
        if not travels(value):
            raise ValueError(
                f"{shown(value)} cannot be kept as {shown(name)}; keep {KEEPABLE}, and of "
                "numpy's numbers what item() returns"
            )


# A state is written by us and read back by us, but a snapshot may come from another machine.
_MAX_NAMED = 1 << 16


class StateError(ActorflError, ValueError):
    """A saved state whose header and arrays contradict each other."""


@dataclass(frozen=True)
class ServerState:
    """What an aggregator keeps between clocks; arrays in it are never written to.

    Attributes:
        weights: the model, float32, one-dimensional.
        buffers: integer buffers of the model by name.
        vectors: further arrays of the algorithm by name (momentum, control variates).
        scalars: further numbers of the algorithm by name.
    """

    weights: Vector
    buffers: Mapping[str, Array] = field(default_factory=dict)
    vectors: Mapping[str, Array] = field(default_factory=dict)
    scalars: Mapping[str, Scalar] = field(default_factory=dict)

    def moved(self, delta: Array) -> ServerState:
        """This state with ``weights + delta``, added in float32."""
        return replace(self, weights=np.add(self.weights, delta, dtype=np.float32))

    def replaced(self, weights: Vector) -> ServerState:
        """This state with other weights."""
        return replace(self, weights=weights)

    def to_wire(self) -> tuple[StateHeader, dict[str, Array]]:
        """A small header, and the arrays by name (not copied), for a snapshot or a message."""
        arrays: dict[str, Array] = {"weights": self.weights}
        arrays.update({f"buffer/{name}": array for name, array in self.buffers.items()})
        arrays.update({f"vector/{name}": array for name, array in self.vectors.items()})
        return StateHeader(tuple(self.buffers), tuple(self.vectors), dict(self.scalars)), arrays

    @classmethod
    def from_wire(cls, header: StateHeader, arrays: Mapping[str, Array]) -> ServerState:
        """The state again; the arrays are not copied.

        Raises:
            StateError: an array is missing, or one that the header does not state came along.
        """
        expected = {
            "weights",
            *(f"buffer/{name}" for name in header.buffers),
            *(f"vector/{name}" for name in header.vectors),
        }
        if expected != set(arrays):
            wrong = sorted(expected ^ set(arrays))
            raise StateError(f"a saved state and its header differ in the arrays {wrong[:5]}")
        weights = arrays["weights"]
        if weights.dtype != np.float32 or weights.ndim != 1:
            raise StateError(f"saved weights are {weights.dtype} of {weights.ndim} dimensions")
        return cls(
            weights,
            {name: arrays[f"buffer/{name}"] for name in header.buffers},
            {name: arrays[f"vector/{name}"] for name in header.vectors},
            header.scalars,
        )


class StateHeader(msgspec.Struct, frozen=True, array_like=True):
    """All of a ``ServerState`` but its arrays."""

    buffers: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    scalars: dict[str, Scalar] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.buffers) + len(self.vectors) + len(self.scalars) > _MAX_NAMED:
            raise ValueError(f"a state holds at most {_MAX_NAMED} named values")


@dataclass(frozen=True)
class Ctx:
    """What a worker's step knows, given to ``grad`` and ``up``.

    Attributes:
        layout: names the parts of the vectors.
        worker: the worker's name.
        clock: the clock that is computed.
        start: the model that came down, float32.
        weights: in ``grad`` the model now, in ``up`` the model after training, float32.
        down: everything that came down, by name (``down["model"]`` is ``start``).
        mine: the worker's own state before this clock.
        examples: how many training examples the worker has.
        steps: optimiser steps taken so far, the last partial batch counts as one.
        lr: the learning rate of the local loop.
        momentum: the momentum of the local loop, in [0, 1).
        gradient: in ``up`` under ``Gradients``, that of the loss at ``start``, flat float32, zeros
            where a part is a buffer; else empty.
    """

    layout: Layout
    worker: str
    clock: int
    start: Vector
    weights: Vector
    down: Mapping[str, Array] = field(default_factory=dict)
    mine: Mine = field(default_factory=dict)
    examples: int = 0
    steps: int = 0
    lr: float = 0.0
    momentum: float = 0.0
    gradient: Vector = field(default_factory=lambda: np.empty(0, np.float32))

    @property
    def result(self) -> Vector:
        """The model after training."""
        return self.weights

    @cached_property
    def delta(self) -> Vector:
        """``result - start`` in float32: the direction that training moved in."""
        return np.subtract(self.weights, self.start, dtype=np.float32)


class Closed(NamedTuple):
    """What an algorithm may know of the clock that closes.

    Attributes:
        clock: the clock.
        version: the version of the model that went down in it.
        expected: workers that were asked, sorted.
        arrived: workers whose contributions are in the terms, sorted.
        examples: training examples of all the roster.
        workers: how many workers there are, asked or not.
        staleness: of each contribution in the terms, by its name: versions that the model had moved
            on by since the worker read it; empty under a barrier. The models of
            ``terms.models[...]`` are in the sorted order of these names.
    """

    clock: int
    version: int
    expected: tuple[str, ...]
    arrived: tuple[str, ...]
    examples: int
    workers: int
    staleness: Mapping[str, int] = MappingProxyType({})


class Advance(NamedTuple):
    """The state after a clock.

    Attributes:
        state: the next state.
        moved: false when nobody contributed, so that the old model stays.
        warning: a sentence for the line of the clock: why the old model stays, or what does not
            hold of the new one; empty where all is well.
    """

    state: ServerState
    moved: bool
    warning: str


@dataclass(frozen=True)
class Algorithm:
    """Base of all algorithms: a frozen dataclass, its fields are the hyper-parameters.

    All functions are pure: they write to none of their arguments and draw no random numbers.

    Attributes:
        reduce: ``"sum"`` merges exact sums, ``"all"`` holds all models of a clock and gives them to
            ``close`` as ``terms.models``, ``"pair"`` is for neighbours, see ``actorfl.pairing``.
        floor: the magnitude every part of an upward vector may reach whatever the model's values
            are; the grid of exact sums is made from max(|part|, floor), see ``actorfl.grid``.
        personal: whether each worker also trains a whole model of its own, from the same initial
            model and on the same data, which never leaves it; ``pull`` corrects its gradients.
        models: names of the terms that are whole models. Without a barrier they travel as
            differences from the model that a worker read, see ``actorfl.relative``.
        gradients: names of the terms that are gradients, taken at the model that came down. An
            algorithm that has some needs ``local=Gradients(...)``, and no other goes with that.
            Without a barrier each counts by its worker's share, see ``actorfl.relative``.
        deltas: names of the terms that are differences or directions of another kind, 0 in whatever
            was not learned. They may be compressed on their way up, as models (by what they differ
            from the one that came down) and gradients may; all other terms go up as they are.
        uniform: whether all workers weigh the same, however many examples they have.
        stateful: whether ``up`` keeps a state at its worker.
        counts_steps: whether its equations need ``ctx.steps``; a task's own ``fit`` must then take
            its steps by ``ctx.optimizer``.
        policies: names of the sync policies that its equations hold under.
        elementwise: whether ``begin`` and ``close`` make each element of each vector of what is at
            its place alone, so that a piece of the model by itself moves as it does in the whole.
            Only then may the model lie in shards.
        takes_steps: whether workers take steps, so that `local` plays a part. Without it they take
            sums over their data, as those of an ``EchoStateTask`` do.
    """

    reduce: ClassVar[Reduce] = "sum"
    floor: ClassVar[float] = 1.0
    personal: ClassVar[bool] = False
    models: ClassVar[tuple[str, ...]] = ("model",)
    gradients: ClassVar[tuple[str, ...]] = ()
    deltas: ClassVar[tuple[str, ...]] = ()
    uniform: ClassVar[bool] = False
    stateful: ClassVar[bool] = False
    counts_steps: ClassVar[bool] = False
    policies: ClassVar[tuple[str, ...]] = ("BSP", "Quorum", "SSP", "ASP", "Buffered")
    elementwise: ClassVar[bool] = False
    takes_steps: ClassVar[bool] = True

    @property
    def corrects_gradients(self) -> bool:
        """Whether this algorithm overrides ``grad``.

        A task's own ``fit`` must then take its steps by ``ctx.optimizer``, which calls it.
        """
        return type(self).grad is not Algorithm.grad

    @property
    def edge_rounds(self) -> int | None:
        """Rounds of an edge in one of the root, if the algorithm says them; None: `sync` does."""
        return None

    @property
    def keeps_state(self) -> bool:
        """Whether workers keep something between clocks, as far as the class tells."""
        return self.stateful or self.personal or self.keeps_tensors

    @property
    def pulls(self) -> bool:
        """Whether this algorithm overrides ``pull``."""
        return type(self).pull is not Algorithm.pull

    @property
    def splits_phases(self) -> bool:
        """Whether this algorithm overrides ``phases``."""
        return type(self).phases is not Algorithm.phases

    @property
    def keeps_tensors(self) -> bool:
        """Whether this algorithm overrides ``keeps``."""
        return type(self).keeps is not Algorithm.keeps

    def check_run(self, local: SGD, workers: int) -> None:
        """Refuse a run that the algorithm's equations do not hold for; by default none.

        Args:
            local: the settings of the local loop.
            workers: how many compute a clock together.

        Raises:
            Misfit: a sentence that says what to change.
        """

    def shortfall(self, updates: int) -> str:
        """What does not hold of a clock that so few updates are merged in; "" where all does.

        A run with too few workers is refused by ``check_run``. Later some may be refused or leave:
        the clock is closed all the same, and its line says this as a warning.

        Args:
            updates: that are merged, at least 1.

        Returns:
            A sentence without a full stop, which names numbers.
        """
        return ""

    def keeps(self, tensors: Sequence[TensorInfo]) -> frozenset[str]:
        """Names of the tensors that stay at their worker, whatever ``parts`` say; by default none.

        Vectors and layouts that the other functions see are without them.

        Args:
            tensors: of the model, in ``state_dict`` order, tied ones once.

        Raises:
            ConfigError: the model has no tensors such as the algorithm keeps.
        """
        return frozenset()

    def phases(self, local: SGD) -> tuple[Phase, ...]:
        """What a worker trains in one clock, one after the other; by default all at once.

        Args:
            local: the settings of the local loop.
        """
        return (Phase("all", local),)

    def begin(self, weights: Vector) -> ServerState:
        """The state before the first clock."""
        return ServerState(weights)

    def down(self, state: ServerState) -> dict[str, Array]:
        """The arrays that go down to the workers; ``"model"`` is what they start from."""
        return {"model": state.weights}

    def grad(self, ctx: Ctx, g: Vector) -> Vector:
        """Correct a gradient before the optimiser sees it.

        Args:
            ctx: with ``weights`` being the model now.
            g: the gradient of the loss, flat float32; zeros where a part is a buffer.
        """
        return g

    def pull(self, ctx: Ctx, g: Vector) -> Vector:
        """Correct a gradient of the worker's personal model, where there is one.

        Args:
            ctx: with ``weights`` being the personal model now, and ``start`` the shared one, so
                that ``delta`` is the way from that to this.
            g: the gradient of the loss, flat float32; zeros where a part is a buffer.
        """
        return g

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        """What a worker sends after training, and its own next state.

        Raises:
            NotImplementedError: an algorithm that merges sums or models must say what goes up.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define up(ctx, mine)")

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        """The next state, from the merged terms of a clock; never called with empty terms.

        Raises:
            NotImplementedError: an algorithm that merges sums or models must say how.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define close(s, terms, closed)")


def begun(algorithm: Algorithm, weights: Vector) -> ServerState:
    """The state before the first clock, see ``Algorithm.begin``.

    Raises:
        BeyondHelp: what came back is none.
    """
    return _state(algorithm, "begin", algorithm.begin(weights))


def sent_up(algorithm: Algorithm, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
    """What a worker sends, and its own next state, see ``Algorithm.up``.

    Raises:
        BeyondHelp: what came back is no such pair.
    """
    made: object = algorithm.up(ctx, mine)
    if isinstance(made, tuple) and len(made) == 2:
        terms, after = made
        if isinstance(terms, Terms) and isinstance(after, Mapping):
            return terms, after
    raise BeyondHelp(
        f"{type(algorithm).__name__}.up returned {shown(made)}; return Terms(...) and what the "
        "worker keeps, {} where that is nothing"
    )


def _state(algorithm: Algorithm, method: str, made: object) -> ServerState:
    if isinstance(made, ServerState):
        return made
    raise BeyondHelp(
        f"{type(algorithm).__name__}.{method} returned {shown(made)}; return a ServerState, such "
        "as s.moved(delta) or s.replaced(weights)"
    )


def advance(algorithm: Algorithm, state: ServerState, terms: Merged, closed: Closed) -> Advance:
    """Close a clock: the algorithm's ``close``, integer buffers, and the case of nobody.

    Args:
        algorithm: whose ``close`` makes the next state.
        state: before the clock.
        terms: what was merged; when it is empty the old model stays and the caller is told.
        closed: which clock it is.

    Raises:
        StateError: the algorithm returned weights that are not finite or not of the model's size.
        BeyondHelp: it returned no state.
    """
    if not terms:
        return Advance(
            state,
            False,
            f"round {closed.clock + 1} closed without any update ({len(closed.expected)} workers "
            "were asked): the old model stays",
        )
    new = _state(algorithm, "close", algorithm.close(state, terms, closed))
    name = type(algorithm).__name__
    if new.weights.dtype != np.float32 or new.weights.shape != state.weights.shape:
        raise StateError(
            f"{name}.close returned weights of {new.weights.dtype} {new.weights.shape}, expected "
            f"float32 {state.weights.shape}"
        )
    if not np.isfinite(new.weights).all():
        raise StateError(
            f"{name}.close returned weights that are not finite in round {closed.clock + 1}: lower "
            "its learning rate"
        )
    warning = algorithm.shortfall(len(terms.contributions))
    if warning:
        warning = f"round {closed.clock + 1}: {warning}"
    return Advance(replace(new, buffers={**new.buffers, **terms.integers}), True, warning)
