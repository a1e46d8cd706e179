"""Terms on their way up: what of them is compressed, and what it becomes where it is collected.

A model goes up as its difference from the one that came down, and whoever collects it adds that to
the same one. Running statistics are sent as they are: errors fed back could add up to a variance
below 0, which is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from actorfl.algorithm import Algorithm, Mine
from actorfl.compression import Compression, PayloadError
from actorfl.errors import Misfit
from actorfl.layout import Layout, Vector
from actorfl.relative import difference
from actorfl.terms import Array, Packed, Sum, Terms

# Beside what an algorithm keeps, and what is a worker's own.
_KEPT: Final = "compress/"
_STATISTICS: Final = "statistics"


def names_in(algorithm: Algorithm) -> frozenset[str]:
    """Names of the terms of an algorithm that may be compressed."""
    return frozenset({*algorithm.models, *algorithm.gradients, *algorithm.deltas})


def taken_apart(mine: Mine) -> tuple[Mine, Mine]:
    """What compression has left at a worker, and all else that it keeps."""
    kept = {name: value for name, value in mine.items() if name.startswith(_KEPT)}
    return kept, {name: value for name, value in mine.items() if name not in kept}


def packed(
    compression: Compression,
    algorithm: Algorithm,
    terms: Terms,
    kept: Mine,
    *,
    start: Vector,
    layout: Layout,
    additive: bool,
    seed_of: Callable[[str], int],
) -> tuple[Terms, Mine]:
    """Compress a worker's own terms.

    A term that is not finite, or not of the model's size, goes as it is, to be refused by its
    worker's name; so does one that cannot be compressed. What was left before then stays.

    Args:
        compression: how.
        algorithm: says which terms.
        terms: of one clock; they are changed.
        kept: what the last clock has left.
        start: the model that came down.
        layout: of the model.
        additive: whether models are differences already.
        seed_of: the seed of what is drawn for a term, by its name.

    Returns:
        The terms, and what is left for the next clock.

    Raises:
        Misfit: none of them may be compressed.
    """
    names = names_in(algorithm) & terms.sums.keys()
    if not names:
        raise Misfit(
            f"{type(algorithm).__name__} sends {', '.join(sorted(terms.sums)) or 'no vectors'}, "
            "and does not say that any of it may be compressed; name what is 0 where nothing was "
            "learned in its `deltas`, or remove `compress`"
        )
    left = dict(kept)
    for name in sorted(names):
        term = terms.sums[name]
        if not isinstance(term, Sum) or term.array.shape != (layout.size,):
            continue
        if term.array.dtype != np.float32:
            continue
        prefix = f"{_KEPT}{name}/"
        state = {n.removeprefix(prefix): v for n, v in kept.items() if n.startswith(prefix)}
        rng = np.random.Generator(np.random.PCG64(seed_of(name)))
        with np.errstate(all="ignore"):
            moved = name in algorithm.models and not additive
            vector = _learned(
                difference(term.array, start, layout) if moved else term.array, layout
            )
            if vector.size == 0 or not np.isfinite(vector).all():
                continue
            try:
                payload, after = compression.encode(vector, state, rng)
            except PayloadError:  # its own: with what was left before it is beyond float32
                continue
            if not all(np.isfinite(value).all() for value in after.values()):
                continue
        arrays = dict(payload)
        if vector.size < layout.size:
            arrays[_STATISTICS] = _statistics(term.array, layout)
        del terms.sums[name]
        terms.packed[name] = Packed(arrays, term.weight)
        left = {n: v for n, v in left.items() if not n.startswith(prefix)}
        left.update((prefix + n, v) for n, v in after.items())
    return terms, left


def unpacked(
    compression: Compression,
    algorithm: Algorithm,
    terms: Terms,
    *,
    start: Vector | None,
    layout: Layout,
) -> Terms:
    """Decode the terms of a worker, which came from another node.

    Args:
        compression: how they were compressed.
        algorithm: says which terms may be.
        terms: as they came; they are changed.
        start: the model that they were made from; None: models go up as differences.
        layout: of the model.

    Raises:
        PayloadError: what came is not what the worker's step makes.
    """
    size = sum(part.size for part in layout if part.kind != "buffer")
    allowed = names_in(algorithm)
    for name, term in sorted(terms.packed.items()):
        if name not in allowed or size == 0:
            raise PayloadError(f"term {name!r} is compressed, and never is")
        arrays = dict(term.arrays)
        statistics = arrays.pop(_STATISTICS, None)
        expected = None if size == layout.size else (layout.size - size,)
        if (None if statistics is None else statistics.shape) != expected or (
            statistics is not None and statistics.dtype != np.float32
        ):
            raise PayloadError(f"term {name!r} holds other running statistics than the model")
        try:
            with np.errstate(all="ignore"):
                vector = compression.decode(arrays, size)
        except PayloadError as error:
            raise PayloadError(f"term {name!r}: {error}") from None
        if vector.dtype != np.float32 or vector.shape != (size,):
            raise PayloadError(
                f"term {name!r}: {type(compression).__name__} decoded {vector.dtype} "
                f"{vector.shape}, expected float32 ({size},)"
            )
        if start is not None and name in algorithm.models:
            with np.errstate(all="ignore"):
                vector = np.add(vector, _learned(start, layout), dtype=np.float32)
        terms.sums[name] = Sum(_joined(vector, statistics, layout), term.weight)
    terms.packed = {}
    return terms


def _learned(vector: Array, layout: Layout) -> Vector:
    """The elements that are trained, one after the other; a view where that is all."""
    parts = [vector[part.slice] for part in layout if part.kind != "buffer"]
    if len(parts) == len(layout):
        return vector
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def _statistics(vector: Array, layout: Layout) -> Vector:
    """The running statistics, one after the other."""
    return np.concatenate([vector[part.slice] for part in layout if part.kind == "buffer"])


def _joined(learned: Vector, statistics: Array | None, layout: Layout) -> Vector:
    """A whole vector of its two kinds of elements."""
    if statistics is None:
        return learned
    vector = np.empty(layout.size, dtype=np.float32)
    at = {"buffer": 0, "parameter": 0}
    of = {"buffer": statistics, "parameter": learned}
    for part in layout:
        begin = at[part.kind]
        vector[part.slice] = of[part.kind][begin : begin + part.size]
        at[part.kind] = begin + part.size
    return vector
