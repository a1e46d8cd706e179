"""What workers, aggregators and the evaluator tell each other: tells that no aggregator repeats.

``Ready(c) -> Go(c) | Wait | Done``, ``Put(c) -> Ack(c) | Refused(c) | Go(c + 1)``. A ``Go(c)``
while a worker asks for another clock tells it the current one. An aggregator that was restarted
re-enters its clock with empty sums and workers put again. ``Idle -> Build | Evaluate | nothing``;
``Build -> Initial``, ``Evaluate -> Evaluated``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from actorfl.fingerprint import Fingerprint
from actorfl.grid import MAX_TOTAL, Grid
from actorfl.layout import Layout, Vector
from actorfl.mean import Mean
from actorfl.terms import MAX_TERMS, TermsHeader
from actorfl.topology import WORKERS_MAX
from actorfl.traffic import Traffic
from actors import ActorRef, Message
from transports import Weights

_MODEL = "model"
_INTEGER = "integer/"
_DOWN = "down/"

# What comes from other nodes is bounded where it is decoded.
_Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=64)]
_Word: TypeAlias = Annotated[str, msgspec.Meta(max_length=64)]
_Metrics: TypeAlias = Annotated[dict[str, Mean], msgspec.Meta(max_length=MAX_TERMS)]
_Words: TypeAlias = Annotated[dict[_Name, _Word], msgspec.Meta(max_length=WORKERS_MAX)]
_Sentences: TypeAlias = Annotated[dict[_Name, str], msgspec.Meta(max_length=WORKERS_MAX)]


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """What every message of a run carries, so that late, doubled and foreign ones are known.

    Attributes:
        run: identity of the run; another run's messages are dropped.
        clock: clocks are counted from 0; a clock is one round of an aggregator.
        version: of the model that goes down, or that an update was made from.
    """

    run: str
    clock: int
    version: int


class Ready(Message[None]):
    """Worker to aggregator: I wait for this clock.

    Attributes:
        stamp: of the clock that it waits for.
        worker: its name.
        incarnation: grows with each restart; what an older one sent is fenced.
        examples: size of its training data, the weight of its updates.
        me: where to answer.
        fingerprint: what decides the bits of its fits; until a checkpoint
            knows of it, then None.
        working: of an aggregator that has the clock open: how often the grid was widened that it
            adds on; -1 of one that waits for it.
        unpromised: why bits are not promised, by worker below an aggregator.
    """

    stamp: Stamp
    worker: str
    incarnation: int
    examples: Annotated[int, msgspec.Meta(ge=0, le=MAX_TOTAL)]
    me: ActorRef
    fingerprint: Fingerprint | None = None
    working: Annotated[int, msgspec.Meta(ge=-1)] = -1
    unpromised: _Sentences = msgspec.field(default_factory=dict)


class Go(Message[None]):
    """Aggregator to worker: compute this clock from this model.

    Attributes:
        stamp: clock and version.
        train: False for the closing clock, in which the final model is only evaluated.
        evaluate: whether the model is to be evaluated on the worker's validation data.
        grid: the grid of the clock's sums.
        weights: the model, see ``pack``.
        additive: whether what goes up are differences from this model, where others would be
            models: so an update fits whatever the model has become meanwhile.
        layout: of the model, for an aggregator, which cannot build it.
        since: the clock from whose state, of what an algorithm keeps at the worker, this one
            starts: an earlier one where its parts since then were not taken. None: from its own.
            Of an aggregator the same, by worker below it, of those for whom it is an earlier one.
    """

    stamp: Stamp
    train: bool
    evaluate: bool
    grid: Grid
    weights: Weights
    additive: bool = False
    layout: Layout | None = None
    since: int | Annotated[dict[_Name, int], msgspec.Meta(max_length=WORKERS_MAX)] | None = None


class Wait(Message[None]):
    """Aggregator to worker: your part of this clock is in; ask again later."""

    stamp: Stamp


class Done(Message[None]):
    """Aggregator to worker: the run is over."""

    stamp: Stamp


class Put(Message[None]):
    """Worker to aggregator: my part of this clock.

    Attributes:
        stamp: of the ``Go`` it answers.
        worker: its name.
        incarnation: see ``Ready``.
        metrics: of the model that went down, on the worker's validation data.
        loss: mean training loss.
        header: of the terms; None in a clock that only evaluates, or where nobody has any.
        weights: their arrays.
        me: where to answer.
        metrics_of: of an aggregator: the metrics of each worker below it.
        refused: of an aggregator: whose part it refused, and why.
        absent: of an aggregator: who else is not in it, and why.
        traffic: of an aggregator: models and sums that it and those below it have sent and
            received since it told last.
        waits: of a worker that has nothing to say in a ``Ready``: once its part is in it waits for
            the next clock, so the ``Go`` of that says as much as an ``Ack``, which comes only where
            the clock lasts.
    """

    stamp: Stamp
    worker: str
    incarnation: int
    metrics: _Metrics
    loss: Mean
    header: TermsHeader | None
    weights: Weights | None
    me: ActorRef
    metrics_of: Annotated[dict[_Name, _Metrics], msgspec.Meta(max_length=WORKERS_MAX)] = (
        msgspec.field(default_factory=dict)
    )
    refused: _Words = msgspec.field(default_factory=dict)
    absent: _Words = msgspec.field(default_factory=dict)
    traffic: Traffic = msgspec.field(default_factory=Traffic)
    waits: bool = False


class Widen(Message[None]):
    """Aggregator to the one above it: a part does not fit the grid of this clock.

    Attributes:
        stamp: of the clock.
        worker: the name of the aggregator that says so.
        incarnation: see ``Ready``.
        widened: how often the grid was widened that is too narrow.
        sentence: whose part it is, for people.
    """

    stamp: Stamp
    worker: str
    incarnation: int
    widened: int
    sentence: str


class Ack(Message[None]):
    """Aggregator to worker: your part of this clock is taken, or was before."""

    stamp: Stamp


class Refused(Message[None]):
    """Aggregator to worker: your part of this clock is not taken.

    Attributes:
        stamp: of the clock.
        reason: one word, such as "non-finite".
        sentence: the reason for people.
    """

    stamp: Stamp
    reason: str
    sentence: str


class Idle(Message[None]):
    """Evaluator to aggregator: I have nothing to do.

    Attributes:
        run: identity of the run.
        me: where to answer.
    """

    run: str
    me: ActorRef


class Build(Message[None]):
    """Aggregator to evaluator: build the initial model."""

    run: str
    me: ActorRef


class Initial(Message[None]):
    """Evaluator to aggregator: the initial model and its layout."""

    run: str
    layout: Layout
    weights: Weights


class Evaluate(Message[None]):
    """Aggregator to evaluator: evaluate this version on the test data."""

    stamp: Stamp
    weights: Weights
    me: ActorRef


class Evaluated(Message[None]):
    """Evaluator to aggregator."""

    stamp: Stamp
    metrics: dict[str, Mean]


class Row(Message[None]):
    """Aggregator to monitor: a line of the metrics, already written.

    Attributes:
        round: rounds completed.
        json: the line.
    """

    round: int
    json: str


class Finished(Message[None]):
    """Aggregator to monitor: the final model is written.

    Attributes:
        rounds: clocks closed.
        sha256: of the model's file.
        accuracy: of the final model; None where the task measures none.
        metrics: of the final model.
        unpromised: why its bits are not promised, by worker.
    """

    rounds: int
    sha256: str
    accuracy: float | None
    metrics: dict[str, float | None]
    unpromised: dict[str, str] = msgspec.field(default_factory=dict)


class WhoIsGone(Message[None]):
    """Aggregator to monitor: which workers does nobody restart any more?"""

    run: str
    me: ActorRef


class Gone(Message[None]):
    """Monitor to aggregator: these workers nobody restarts any more, and why."""

    run: str
    workers: _Sentences


Integers = Mapping[str, npt.NDArray[Any]]


def pack(
    vector: Vector, integers: Integers, down: Mapping[str, npt.NDArray[Any]] | None = None
) -> Weights:
    """A model as it travels: ``model``, ``integer/<name>`` and ``down/<name>``."""
    arrays: dict[str, npt.NDArray[Any]] = {_MODEL: vector}
    arrays.update({_INTEGER + name: array for name, array in integers.items()})
    arrays.update({_DOWN + name: array for name, array in (down or {}).items()})
    return Weights.of(arrays)


def unpack(
    weights: Weights,
) -> tuple[Vector, dict[str, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]:
    """The vector, the integer buffers and the algorithm's extras; read-only views.

    Raises:
        ValueError: there is no float32 vector named ``model``.
    """
    names = weights.names()
    if _MODEL not in names or weights[_MODEL].dtype != np.float32:
        msg = f"what came down holds no float32 vector named {_MODEL!r} but {', '.join(names)}"
        raise ValueError(msg)
    integers = {n[len(_INTEGER) :]: weights[n] for n in names if n.startswith(_INTEGER)}
    down = {n[len(_DOWN) :]: weights[n] for n in names if n.startswith(_DOWN)}
    return weights[_MODEL], integers, down
