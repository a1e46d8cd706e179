"""Compressing what workers send up: pure functions on one vector, and their error feedback.

Only the way up from a worker is compressed. Whoever collects its part decodes it at once, and what
was decoded enters the same exact sums as any other part: in no order, and in any tree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

import numpy as np

from actorfl.algorithm import Mine
from actorfl.errors import ActorflError
from actorfl.layout import Vector
from actorfl.terms import Array

Payload: TypeAlias = Mapping[str, Array]
"""A compressed vector: arrays by field."""

_RESIDUAL: Final = "residual"


class PayloadError(ActorflError, ValueError):
    """A payload that its compressor never makes."""


@dataclass(frozen=True)
class Compression:
    """Base of all compressors: a frozen dataclass, its fields are the settings.

    Both functions are pure: they write to none of their arguments, and draw from `rng` alone. A
    payload may have any fields but ``statistics``.

    Attributes:
        stateful: whether ``encode`` keeps a state at its worker, such as the error that is sent
            later.
    """

    stateful: ClassVar[bool] = False

    def encode(self, vector: Vector, state: Mine, rng: np.random.Generator) -> tuple[Payload, Mine]:
        """Compress a vector.

        Args:
            vector: of at least one element, float32, finite.
            state: what the last clock has left; empty before the first.
            rng: drawn from the seed of the run, the worker, the clock and the term.

        Returns:
            The payload, and the state for the next clock.

        Raises:
            NotImplementedError: a compressor must say how.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define encode")

    def decode(self, payload: Payload, size: int) -> Vector:
        """The vector that a payload stands for.

        Args:
            payload: as it came from another node: nothing in it can be trusted.
            size: elements of the vector, >= 1.

        Returns:
            A fresh vector.

        Raises:
            PayloadError: ``encode`` makes no such payload of a vector of this size.
            NotImplementedError: a compressor must say how.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define decode")


def fed_back(
    compression: Compression,
    vector: Vector,
    state: Mine,
    compress: Callable[[Vector], Payload],
) -> tuple[Payload, Mine]:
    """Encode with error feedback: what is not sent now is added to what is sent next.

    Seide et al., "1-Bit Stochastic Gradient Descent and its Application to Data-Parallel
    Distributed Training of Speech DNNs", Interspeech 2014; Stich et al., "Sparsified SGD with
    Memory", NeurIPS 2018:

        v = vector + e,   send C(v),   e = v - C(v)

    So what was sent and e add up to all vectors at all times.

    Args:
        compression: whose ``decode`` tells what a payload stands for.
        vector: to be sent.
        state: holds e, 0 before the first clock.
        compress: C.
    """
    before = state.get(_RESIDUAL)
    total = vector if before is None else np.add(vector, np.asarray(before), dtype=np.float32)
    payload = compress(total)
    error = np.subtract(total, compression.decode(payload, total.size), dtype=np.float32)
    return payload, {_RESIDUAL: error}


def field(payload: Payload, name: str, dtype: str, size: int) -> Array:
    """One array of a payload, of a dtype and size that are known.

    Raises:
        PayloadError: it is missing, or is another one.
    """
    array = payload.get(name)
    if array is None:
        raise PayloadError(f"it holds no {name} but {', '.join(sorted(payload)) or 'nothing'}")
    if array.dtype.name != dtype or array.shape != (size,):
        raise PayloadError(
            f"its {name} are {array.dtype.name} {array.shape}, expected {dtype} ({size},)"
        )
    return array


def check_fields(payload: Payload, *names: str) -> None:
    """Refuse a payload with other fields.

    Raises:
        PayloadError: one is missing, or one more came.
    """
    if payload.keys() != set(names):
        found = ", ".join(sorted(payload)) or "nothing"
        raise PayloadError(f"it holds {found}, expected {', '.join(names)}")
