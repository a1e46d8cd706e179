"""How often faults took effect on all nodes of a launcher, of which each counts its own."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from transports import NodeId

_log = logging.getLogger("actors.faults")

_MOST_KINDS: Final = 64
_LONGEST: Final = 32
"""Characters of the name of a kind."""

_AGAIN: Final = 0.25
"""Seconds after which nodes are asked again: questions may get lost, and so may answers."""

_Told = Annotated[
    dict[Annotated[str, Meta(max_length=_LONGEST)], Annotated[int, Meta(ge=0, lt=2**62)]],
    Meta(max_length=_MOST_KINDS),
]

_decoder = msgspec.msgpack.Decoder(_Told)


def encoded(counts: Mapping[str, int]) -> bytes:
    """What a node tells of its counts since its start; nothing where nothing took effect."""
    return msgspec.msgpack.encode(dict(counts)) if counts else b""


@dataclass(eq=False)
class _Question:
    """Who has not answered yet."""

    left: set[str]
    answered: asyncio.Future[None]


class Tally:
    """Adds up what nodes tell: each all that it counted since its start.

    So what is lost or comes twice changes nothing. What is kept is one record for each name,
    however often its node dies and comes back.
    """

    def __init__(self) -> None:
        self._ended: Counter[str] = Counter()
        self._last: dict[str, tuple[NodeId, Mapping[str, int]]] = {}
        self._open: list[_Question] = []

    def told(self, node: NodeId, body: bytes) -> None:
        """A node told its counts; what cannot be read is passed over."""
        for question in self._open:
            question.left.discard(node.name)
            if not question.left and not question.answered.done():
                question.answered.set_result(None)
        if not body:
            return
        try:
            counts = _decoder.decode(body)
        except (msgspec.DecodeError, ValueError) as error:
            # ValueError: of text that is none, which msgspec lets through.
            _log.warning("%s told of faults that cannot be read: %s", node, error)
            return
        known = self._last.get(node.name)
        if known is not None and known[0] != node:
            self._ended.update(known[1])
        self._last[node.name] = node, counts

    async def gather(self, names: Iterable[str], ask: Callable[[str], None], limit: float) -> None:
        """Have nodes tell now.

        Args:
            names: of those that can.
            ask: one of them, which may get lost.
            limit: seconds after which those who have not answered are not waited for.
        """
        loop = asyncio.get_running_loop()
        question = _Question(set(names), loop.create_future())
        deadline = loop.time() + limit
        self._open.append(question)
        try:
            while question.left and (left := deadline - loop.time()) > 0:
                for name in sorted(question.left):
                    ask(name)
                await asyncio.wait((question.answered,), timeout=min(left, _AGAIN))
        finally:
            self._open.remove(question)

    def total(self) -> Counter[str]:
        """What all have told, those included that have ended."""
        total = self._ended.copy()
        for _, counts in self._last.values():
            total.update(counts)
        return total

    def __repr__(self) -> str:
        return f"<Tally {dict(self.total())}>"
