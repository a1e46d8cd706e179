"""A model in two pieces: what travels, and what stays at its worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from actorfl.errors import Misfit
from actorfl.layout import IntegerBuffer, Layout, Part, Vector
from actorfl.parts import Parts, Role, TensorInfo

if TYPE_CHECKING:
    from actorfl.algorithm import Algorithm

Buffers: TypeAlias = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Split:
    """The pieces of a model's flat vector.

    Attributes:
        whole: layout of the model as the worker trains it.
        shared: layout of what travels, which is all that an aggregator knows; parts that take the
            mean are buffers in it, since that is what every algorithm does with those.
        own: layout of what stays; empty where nothing does.
    """

    whole: Layout
    shared: Layout
    own: Layout

    @classmethod
    def of(cls, layout: Layout, roles: Mapping[str, Role]) -> Split:
        """Split a model by the roles of its tensors, each of which has one."""
        own = {name for name, role in roles.items() if role == "local"}
        mean = {name for name, role in roles.items() if role == "mean"}
        return cls(
            layout,
            _layout_of((p for p in layout if p.name not in own), layout.integers, own, mean),
            _layout_of(
                (p for p in layout if p.name in own),
                layout.integers,
                {b.name for b in layout.integers} - own,
                set(),
            ),
        )

    @property
    def owns(self) -> bool:
        """Whether anything stays."""
        return bool(self.own.parts or self.own.integers)

    def shared_of(self, vector: Vector) -> Vector:
        """What travels of a whole vector; itself where all does."""
        return _taken(vector, self._slices[0]) if self.own.parts else vector

    def own_of(self, vector: Vector) -> Vector:
        """What stays of a whole vector."""
        return _taken(vector, self._slices[1])

    def shared_buffers(self, buffers: Buffers) -> Buffers:
        """The integer buffers that travel."""
        return {buffer.name: buffers[buffer.name] for buffer in self.shared.integers}

    def own_buffers(self, buffers: Buffers) -> Buffers:
        """The integer buffers that stay."""
        return {buffer.name: buffers[buffer.name] for buffer in self.own.integers}

    def joined(self, shared: Vector, own: Vector) -> Vector:
        """The whole vector again; what travels itself where nothing stays.

        Raises:
            LayoutError: a piece is not of its layout.
        """
        self.shared.check(shared)
        self.own.check(own)
        if not self.own.parts:
            return shared
        vector = np.empty(self.whole.size, dtype=np.float32)
        for piece, slices in zip((shared, own), self._slices, strict=True):
            at = 0
            for each in slices:
                size = each.stop - each.start
                vector[each] = piece[at : at + size]
                at += size
        return vector

    @cached_property
    def _slices(self) -> tuple[list[slice], list[slice]]:
        """Stretches of the whole vector that travel, and that stay."""
        own = set(self.own.names)
        pieces: tuple[list[slice], list[slice]] = ([], [])
        for part in self.whole:
            stretches = pieces[part.name in own]
            if stretches and stretches[-1].stop == part.offset:
                stretches[-1] = slice(stretches[-1].start, part.stop)
            else:
                stretches.append(part.slice)
        return pieces


def split_of(
    layout: Layout, tensors: Sequence[TensorInfo], parts: Parts, algorithm: Algorithm
) -> Split:
    """Split a model as a run says; what the algorithm keeps local is, whatever the parts say.

    Args:
        layout: of the model.
        tensors: its tensors.
        parts: of the run.
        algorithm: of the run.

    Raises:
        ConfigError: the patterns do not fit the model, see ``Parts.roles``; the algorithm finds no
            layers to keep, or nothing trained is left to be shared.
    """
    roles = parts.roles(tensors)
    roles.update(dict.fromkeys(algorithm.keeps(tensors), "local"))
    trained = {tensor.name for tensor in tensors if tensor.trained}
    if trained and all(roles[name] == "local" for name in trained):
        raise Misfit(
            f"`parts` and {type(algorithm).__name__} keep all of the model at its worker, so there "
            "is nothing to learn together; leave some layers shared"
        )
    return Split.of(layout, roles)


def _layout_of(
    parts: Iterable[Part], integers: Iterable[IntegerBuffer], without: set[str], mean: set[str]
) -> Layout:
    return Layout.build(
        [(p.name, p.shape, p.origin, "buffer" if p.name in mean else p.kind) for p in parts],
        [(b.name, b.shape, b.dtype) for b in integers if b.name not in without],
    )


def _taken(vector: Vector, slices: Sequence[slice]) -> Vector:
    if not slices:
        return np.empty(0, dtype=np.float32)
    return np.concatenate([vector[each] for each in slices])
