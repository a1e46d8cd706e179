"""What a node computes without a centre: an algorithm between neighbours, as pure functions.

A node has a model, which is one flat float32 vector, and what its algorithm keeps beside it. It
sends arrays and scalars by name to some neighbours, and makes its next state of what came from
others. Nothing in this file knows torch, actors or messages, so one algorithm file serves rounds
and cycles, and every deployment.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from actorfl.algorithm import KEEPABLE, Algorithm, Mine, Reduce, Scalar, travels
from actorfl.errors import BeyondHelp
from actorfl.layout import Layout, Vector
from actorfl.statistics import gone, way
from actorfl.terms import Array
from actorfl.topology import Peers
from actors.suggest import shown

Content: TypeAlias = "Mapping[str, Array | Scalar]"
"""What one node sends another: arrays and scalars by name. Names beginning with ``buffer/`` are
taken: by them the integer buffers of the model travel along."""

Order: TypeAlias = Literal["before", "after", "beside"]
"""When a node trains: before it sends, after it merged, or beside that, from the model that it
sent."""

Late: TypeAlias = Literal["again", "once"]
"""What is given to ``incoming`` of a neighbour that sent nothing since: what it sent last, once
more, or nothing."""

Draw: TypeAlias = "Callable[[str], np.random.Generator]"
"""A source of random numbers for a purpose; the same one when a round is done again."""

_BUFFER = "buffer/"
#: Bytes of a name; with what is put before it, it must be one that an array may travel by.
_NAME_MAX = 400


@dataclass(frozen=True)
class PairState:
    """All that a node has between rounds, and makes durable; arrays in it are never written to.

    Attributes:
        weights: its model, float32, one-dimensional: what is trained, evaluated and shown.
        buffers: integer buffers of the model by name.
        mine: what else its algorithm keeps, arrays and scalars by name.
    """

    weights: Vector
    buffers: Mapping[str, Array] = field(default_factory=dict)
    mine: Mine = field(default_factory=dict)

    def replaced(self, weights: Array) -> PairState:
        """This state with other weights, rounded to float32."""
        return replace(self, weights=np.asarray(weights, dtype=np.float32))

    def keeping(self, values: Mine) -> PairState:
        """This state with these of its own values changed; those of other names stay."""
        return replace(self, mine={**self.mine, **values})

    def array(self, name: str) -> Array:
        """An array that the algorithm keeps.

        Raises:
            BeyondHelp: it keeps none of this name.
        """
        found = self.mine.get(name)
        if not isinstance(found, np.ndarray):
            raise BeyondHelp(f"a node keeps no array named {name!r}, but {shown(found)}")
        return found


@dataclass(frozen=True)
class PairCtx:
    """What a node's algorithm knows of the round.

    Attributes:
        layout: names the parts of the vectors.
        name: of the node.
        round: from 0; of a cycle, how many the node has had.
        targets: whom it sends to now, in the order of the topology; where each node has a clock of
            its own, those of them that are there. Which graph it is now follows
            from the round, or, where each node has a clock of its own, from the time.
        sources: whom it hears from now, in the order of the topology.
        mixing: the weight of each source and of the node itself in what it mixes; they add up
            to 1. Empty where the algorithm mixes otherwise.
        examples: how many training examples it has.
        lr: the learning rate of the local loop.
        draw: gives random numbers by purpose; for other rounds and nodes they are others.
        count: how many nodes the topology has.
    """

    layout: Layout
    name: str
    round: int
    targets: tuple[str, ...]
    sources: tuple[str, ...]
    mixing: Mapping[str, float]
    examples: int
    lr: float
    draw: Draw
    count: int = 1


@dataclass(frozen=True)
class PairAlgorithm(Algorithm):
    """Base of all algorithms between neighbours (``reduce = "pair"``).

    In a round a node trains (``order`` says when), sends, and makes its next state of what came.
    All functions are pure: they write to none of their arguments, and draw by ``ctx.draw`` alone.

    Attributes:
        policies: names of the sync policies that its equations hold under.
        periods: whether its equations also hold where each node has a clock of its own and what is
            sent may be lost, as under ``Period``; ``incoming`` then gets one sender at a time.
        outlives: whether under ``Period`` the others can go on without a node that failed too
            often, and without what it had; then they do, unless ``supervision.exhausted`` says
            otherwise. Only then nodes may join late, or leave, by ``stays``.
        late: what ``incoming`` gets of a neighbour that has sent nothing since, where nodes may be
            ahead of each other (SSP).
    """

    reduce: ClassVar[Reduce] = "pair"
    policies: ClassVar[tuple[str, ...]] = ("BSP", "SSP")
    periods: ClassVar[bool] = False
    outlives: ClassVar[bool] = False
    late: ClassVar[Late] = "again"

    @property
    def order(self) -> Order:
        """When a node trains."""
        return "before"

    @property
    def together(self) -> int:
        """After how many rounds a model changes: a run has a whole number of these; here 1."""
        return 1

    def check_peers(self, topology: Peers, policy: str) -> None:
        """Refuse a topology or policy that the algorithm's equations do not hold for; none here.

        Args:
            topology: of the run.
            policy: the name of its sync policy, one of ``policies``, or ``Period``.

        Raises:
            Misfit: a sentence that says what to change.
        """

    def targets(self, topology: Peers, name: str, number: int, seed: int) -> tuple[str, ...]:
        """Whom a node sends to in a round; as the topology says, unless the algorithm draws.

        Args:
            topology: of the run.
            name: of the node.
            number: of the round, from 0.
            seed: of the run.
        """
        del seed
        return topology.targets(name, number)

    def sources(self, topology: Peers, name: str, number: int, seed: int) -> tuple[str, ...]:
        """Whom a node hears from in a round: each one that has it among its targets."""
        del seed
        return topology.sources(name, number)

    def mix(self, topology: Peers, name: str, number: int) -> Mapping[str, float]:
        """The weights of a node's sources and of itself in a round, for ``ctx.mixing``."""
        return {}

    def trains(self, number: int) -> bool:
        """Whether a node trains in a round."""
        return True

    def started(self, ctx: PairCtx, state: PairState) -> PairState:
        """The state before the first round; the one given has the initial model alone."""
        return state

    def outgoing(self, ctx: PairCtx, state: PairState) -> tuple[Mapping[str, Content], PairState]:
        """What a node sends, by target, and its state then.

        Nothing of it leaves the node before that state is durable. A target that is left out gets a
        letter without content.

        Raises:
            NotImplementedError: an algorithm between neighbours must say what they send.
        """
        msg = f"{type(self).__name__} does not define outgoing(ctx, state)"
        raise NotImplementedError(msg)

    def check_letter(self, ctx: PairCtx, content: Content) -> None:
        """Refuse what a neighbour sent, before it is merged: other names, shapes or dtypes.

        That all floating values are finite is looked at before. See ``actorfl.pairing.expect``.

        Args:
            ctx: of the round.
            content: what came, without integer buffers.

        Raises:
            ValueError: what is wrong with it, in words that go on after "is refused:".
        """

    def incoming(
        self, ctx: PairCtx, state: PairState, received: Mapping[str, Content]
    ) -> PairState:
        """The state after what came is merged.

        Args:
            ctx: of the round.
            state: of the node.
            received: what came, by sender, in the order of the topology: in a round with a barrier
                of each source, else the newest of each (see ``late``), under ``Period`` of one.

        Raises:
            NotImplementedError: an algorithm between neighbours must say how they merge.
        """
        msg = f"{type(self).__name__} does not define incoming(ctx, state, received)"
        raise NotImplementedError(msg)

    def trained(self, ctx: PairCtx, state: PairState, before: Vector, after: Vector) -> PairState:
        """The state after training.

        Args:
            ctx: of the round.
            state: of the node; in the order "beside" it has merged meanwhile.
            before: the model that training started from, float32.
            after: the model that it ended with, float32.

        Returns:
            Where training stood beside merging, the merged model moved as far as training moved,
            its running statistics the mean of the merged and the trained ones; else the trained
            model.
        """
        if self.order == "beside":
            moved = way(ctx.layout, before, after)
            return replace(state, weights=gone(ctx.layout, state.weights, moved))
        return replace(state, weights=after)


class BadLetter(BeyondHelp, ValueError):  # noqa: N818  (it is what came)
    """What a neighbour sent cannot be merged: it is not finite, or not of this model."""


def expect(
    content: Content,
    arrays: Mapping[str, tuple[str, tuple[int, ...]]],
    numbers: Collection[str] = (),
) -> None:
    """Refuse a content with other names, shapes or dtypes; for ``PairAlgorithm.check_letter``.

    Args:
        content: what came.
        arrays: dtype and shape of each array that is expected, by name.
        numbers: names of the numbers that are expected.

    Raises:
        ValueError: what is wrong with it.
    """
    if content.keys() != {*arrays, *numbers}:
        names = ", ".join(shown(name) for name in (*arrays, *numbers)) or "nothing"
        got = ", ".join(shown(name) for name in content) or "nothing"
        raise ValueError(f"it holds {got}, expected {names}")
    for name, (dtype, shape) in arrays.items():
        value = content[name]
        if isinstance(value, np.ndarray):
            if value.dtype == dtype and value.shape == shape:
                continue
            what = f"{value.dtype} of shape {value.shape}"
        else:
            what = shown(value)
        raise ValueError(f"{name!r} is {what}, expected {dtype} of shape {shape}")
    for name in numbers:
        if type(content[name]) not in {int, float}:
            raise ValueError(f"{name!r} is no number, but {shown(content[name])}")


def sent(
    algorithm: PairAlgorithm, ctx: PairCtx, state: PairState
) -> tuple[dict[str, dict[str, Array | Scalar]], PairState]:
    """What a node sends to each of its targets, integer buffers with it; see ``outgoing``.

    Raises:
        BeyondHelp: what came back is no such pair, is for somebody who is no target, or is nothing
            that can be sent or kept.
    """
    made: object = algorithm.outgoing(ctx, state)
    name = type(algorithm).__name__
    if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], Mapping)):
        raise BeyondHelp(
            f"{name}.outgoing returned {shown(made)}; return what goes to each target, "
            "{target: {name: array}}, and the node's state"
        )
    contents, after = made
    beside = {f"{_BUFFER}{key}": array for key, array in state.buffers.items()}
    letters: dict[str, dict[str, Array | Scalar]] = {to: dict(beside) for to in ctx.targets}
    for to, content in contents.items():
        if to not in letters:
            raise BeyondHelp(
                f"{name}.outgoing sends to {shown(to)}, and in round {ctx.round} the targets of "
                f"{ctx.name} are {', '.join(ctx.targets) or 'nobody'}; send to ctx.targets"
            )
        _check_content(f"{name}.outgoing", to, content)
        letters[to] = {**content, **beside}
    return letters, _state(algorithm, "outgoing", ctx, state, after)


def begun(algorithm: PairAlgorithm, ctx: PairCtx, state: PairState) -> PairState:
    """The state before the first round, see ``PairAlgorithm.started``.

    Raises:
        BeyondHelp: what came back is none.
    """
    return _state(algorithm, "started", ctx, state, algorithm.started(ctx, state))


def learned(
    algorithm: PairAlgorithm,
    ctx: PairCtx,
    state: PairState,
    before: Vector,
    after: Vector,
    *,
    buffers: Mapping[str, Array] | None = None,
) -> PairState:
    """The state after training, see ``PairAlgorithm.trained``.

    Integer buffers are those after training; where it stood beside merging, the greater ones.

    Raises:
        BeyondHelp: training made a model that is not finite, or what came back is no state.
    """
    if not np.isfinite(after).all():
        raise BeyondHelp(diverged(ctx.name, ctx.round))
    trained = algorithm.trained(ctx, state, before, after)
    made = _state(algorithm, "trained", ctx, state, trained)
    if not buffers:
        return made
    beside = algorithm.order == "beside"
    return replace(made, buffers=greater(made.buffers, buffers) if beside else dict(buffers))


def merged(
    algorithm: PairAlgorithm, ctx: PairCtx, state: PairState, received: Mapping[str, Content]
) -> PairState:
    """The state after what came is merged, integer buffers by maximum; see ``incoming``.

    Raises:
        BadLetter: something that came is not finite, or not of this model.
        BeyondHelp: what came back is no state.
    """
    buffers = dict(state.buffers)
    contents = {}
    for sender, content in received.items():
        contents[sender] = {n: v for n, v in content.items() if not n.startswith(_BUFFER)}
        theirs = {
            name.removeprefix(_BUFFER): value
            for name, value in content.items()
            if name.startswith(_BUFFER)
        }
        try:
            expect(theirs, {name: (mine.dtype.name, mine.shape) for name, mine in buffers.items()})
            _check_finite(contents[sender])
            algorithm.check_letter(ctx, contents[sender])
        except ValueError as error:
            raise BadLetter(
                f"what {sender} sent {ctx.name} in round {ctx.round} is refused: {error}"
            ) from None
        buffers = greater(buffers, theirs)
    after = _state(algorithm, "incoming", ctx, state, algorithm.incoming(ctx, state, contents))
    return replace(after, buffers=buffers)


def diverged(name: str, number: int) -> str:
    """The sentence of a node whose training left no finite model."""
    return (
        f"what {name} trained in round {number} is not finite: lower the learning rate of `local`, "
        f"or see what is in the data of {name}"
    )


def greater(mine: Mapping[str, Array], theirs: Content) -> dict[str, Array]:
    """Integer buffers by maximum; as arrays, also those of no dimension."""
    return {
        name: np.asarray(np.maximum(array, np.asarray(theirs[name])))
        for name, array in mine.items()
    }


def _check_finite(content: Content) -> None:
    for name, value in content.items():
        array = np.asarray(value)
        if array.dtype.kind in "fc" and not np.isfinite(array).all():
            raise ValueError(f"{name!r} is not finite")


def _check_content(method: str, to: str, content: object) -> None:
    """Refuse what cannot be sent, where it can still be told which method it is of.

    Raises:
        BeyondHelp: it is no mapping of values that travel, or has a name that is taken.
    """
    if not isinstance(content, Mapping):
        raise BeyondHelp(
            f"{method} sends {to} {shown(content)}; return {KEEPABLE} by name for each target, "
            'such as {target: {"model": state.weights}}'
        )
    for key, value in content.items():
        _check_name(f"{method} sends {to} something named", key)
        if key.startswith(_BUFFER):
            raise BeyondHelp(
                f"{method} sends {to} something named {shown(key)}; take a name that does not "
                f"begin with {_BUFFER}, by which the integer buffers of the model travel"
            )
        if not travels(value.item() if isinstance(value, np.generic) else value):
            raise BeyondHelp(
                f"{method} sends {to} {shown(value)} as {shown(key)}; return {KEEPABLE} by name "
                "for each target"
            )


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str):
        raise BeyondHelp(f"{what} {shown(name)}; a name is a string")
    if len(name.encode(errors="replace")) > _NAME_MAX:
        raise BeyondHelp(f"{what} {shown(name)}; a name has {_NAME_MAX} bytes at most")


def _state(
    algorithm: PairAlgorithm, method: str, ctx: PairCtx, before: PairState, made: object
) -> PairState:
    """What a method made of a state, where it is one that can go on.

    Raises:
        BadLetter: the weights that merging led to are not finite.
        BeyondHelp: it is no such state.
    """
    name = f"{type(algorithm).__name__}.{method}"
    if not isinstance(made, PairState):
        raise BeyondHelp(
            f"{name} returned {shown(made)}; return a PairState, such as state.replaced(weights)"
        )
    weights, size = made.weights, ctx.layout.size
    if not isinstance(weights, np.ndarray):
        raise BeyondHelp(
            f"{name} returned a state whose weights are {shown(weights)}; return float32 of shape "
            f"{(size,)}, as state.replaced(weights) makes it"
        )
    if weights.dtype != np.float32 or weights.shape != (size,):
        raise BeyondHelp(
            f"{name} returned weights of {weights.dtype} and shape {weights.shape}; return float32 "
            f"of shape {(size,)}, as state.replaced(weights) makes it"
        )
    _check_mine(name, made.mine)
    if _forms(made.buffers) != _forms(before.buffers):
        raise BeyondHelp(
            f"{name} returned a state with other integer buffers than the model has; leave its "
            "`buffers` as they are"
        )
    if not np.isfinite(weights).all():
        raise (BadLetter if method == "incoming" else BeyondHelp)(
            f"{name} returned weights of {ctx.name} that are not finite in round {ctx.round}: "
            "lower the learning rate of `local`, if it trains, or see what "
            f"`{method}` of {type(algorithm).__name__} returns"
        )
    return made


def _check_mine(method: str, mine: object) -> None:
    """Refuse what could not be read again from a save, before a restart needs it."""
    if not isinstance(mine, Mapping):
        raise BeyondHelp(
            f"{method} returned a state that keeps {shown(mine)}; keep {KEEPABLE} by name, as "
            "state.keeping({name: value}) does"
        )
    for key, value in mine.items():
        _check_name(f"{method} keeps something named", key)
        if not travels(value):
            raise BeyondHelp(
                f"{method} keeps {shown(value)} as {shown(key)}; keep {KEEPABLE} by name, and of "
                "numpy's numbers what item() returns"
            )


def _forms(buffers: object) -> object:
    """Names, dtypes and shapes of integer buffers; of what is none, itself."""
    if not isinstance(buffers, Mapping):
        return buffers
    return {
        name: (getattr(each, "dtype", None), getattr(each, "shape", None))
        for name, each in buffers.items()
    }
