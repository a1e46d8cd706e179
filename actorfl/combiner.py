"""The aggregator of the workers of one process, in that process."""

from __future__ import annotations

from typing import ClassVar

from actorfl.edge import Edge


class Combiner(Edge):
    """Adds up the parts of the workers of its own process; see ``actorfl.combining``."""

    _near: ClassVar[bool] = True
