"""What the gatherers of runs without a centre have in common: they look on, and nobody waits."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from actorfl import checkpoint, modelfile
from actorfl.errors import Misfit
from actorfl.fingerprint import Fingerprint
from actorfl.flatmodel import Totals
from actorfl.keeper import number
from actorfl.mean import Mean
from actorfl.measures import added, worst_deciles
from actorfl.numerics import Numerics
from actorfl.protocol import Finished, Row
from actors import Actor, ActorRef, Message, Snapshots
from transports import LinkFull

_log = logging.getLogger("actorfl.gatherer")

FOLDER: Final = "snapshots/gatherer"
"""Where a gatherer's snapshots lie in the storage of its run."""

#: Seconds until a model that did not come is asked for again, and the end is told again.
RETRY: Final = 1.0


class Header(msgspec.Struct, frozen=True, array_like=True):
    """What a gatherer makes durable with each line that it writes.

    Attributes:
        identity: of the run.
        rounds: whose lines are written.
        offset: length of the metrics file up to which its lines are true.
        last: the last line.
        numerics: fingerprint of the first node, which the others are compared with.
        unpromised: why the bits of the run are not promised, by node.
        finished: whether the models are written.
    """

    identity: str
    rounds: int = 0
    offset: int = 0
    last: str | None = None
    numerics: Fingerprint | None = None
    unpromised: dict[str, str] = msgspec.field(default_factory=dict)
    finished: bool = False


H = TypeVar("H", bound=Header)


async def load(snapshots: Snapshots, kind: type[H]) -> H | None:
    """The newest snapshot of a gatherer that is whole, or None."""
    found = await snapshots.latest()
    return None if found is None else msgspec.msgpack.decode(found.header, type=kind)


class LookingOn(Actor):
    """Base of gatherers: writes the metrics, and the models when all have ended.

    It decides nothing that is learned. The storage of its node is the run's directory.

    Args:
        identity: of the run.
        nodes: their names, in the order of the topology.
        strict: whether nodes that do not compute alike end the run.
        monitor: is told of each line of the metrics and of the end.
    """

    _header: Header

    def __init__(
        self, *, identity: str, nodes: tuple[str, ...], strict: bool, monitor: ActorRef
    ) -> None:
        self._identity = identity
        self._nodes = nodes
        self._strict = strict
        self._monitor = monitor
        self._snapshots = self.snapshots(FOLDER)
        self._numerics = Numerics(nodes[0])
        self._totals: Totals | None = None
        self._finished: Finished | None = None

    async def _take_up(self, kind: type[H]) -> H | None:
        """The newest snapshot; its last line is told again.

        Raises:
            ValueError: it belongs to another run.
        """
        await self.storage.claim(checkpoint.METRICS)
        found = await load(self._snapshots, kind)
        if found is None:
            return None
        if found.identity != self._identity:
            raise ValueError(f"the snapshots here belong to another run ({found.identity})")
        self._numerics = Numerics(self._nodes[0], found.numerics, dict(found.unpromised))
        if found.last is not None:
            self._tell(self._monitor, Row(found.rounds, found.last))
        return found

    def _compare(self, name: str, fingerprint: Fingerprint) -> None:
        for sentence in self._numerics.heard(name, fingerprint):
            if self._strict:
                raise Misfit(f"the run is strict, but {sentence}")
            self.publish("warning", sentence=f"the same bits are not promised: {sentence}")

    async def _append(self, rounds: int, text: str, **changed: Any) -> None:
        """Append a line to the metrics, with which so many rounds are written, and tell of it."""
        line = text.encode() + b"\n"
        await self.storage.append(checkpoint.METRICS, line, self._header.offset)
        await self._save(
            rounds=rounds, offset=self._header.offset + len(line), last=text, **changed
        )
        self._tell(self._monitor, Row(rounds, text))

    async def _finish(self, finals: Mapping[str, Mapping[str, Mean]]) -> None:
        """All models are in the totals: write their mean, and end the run."""
        assert self._totals is not None
        mean = self._totals.mean()
        sha256 = await modelfile.write(self.storage, mean.layout, mean.vector, mean.buffers)
        await self._save(finished=True)
        metrics = self._measured(finals)
        self._finished = Finished(
            self._header.rounds, sha256, metrics.get("accuracy"), metrics,
            self._numerics.unpromised,
        )  # fmt: skip
        _log.info("%d of %d nodes have come to the end", len(finals), len(self._nodes))
        self._tell(self._monitor, self._finished)

    def _measured(self, of_nodes: Mapping[str, Mapping[str, Mean]]) -> dict[str, float | None]:
        """The mean of each metric over the nodes, and the worst tenth of them."""
        found = {name: mean.value for name, mean in added(of_nodes).items()}
        found |= worst_deciles(of_nodes)
        return {name: number(value) for name, value in sorted(found.items())}

    async def _save(self, **changed: Any) -> None:
        header = msgspec.structs.replace(
            self._header, numerics=self._numerics.reference,
            unpromised=self._numerics.unpromised, **changed,
        )  # fmt: skip
        counter = 2 * header.rounds + int(header.finished)
        await self._snapshots.save(counter, msgspec.msgpack.encode(header), [])
        self._header = header

    @staticmethod
    def _tell(to: ActorRef, message: Message[Any]) -> None:
        with contextlib.suppress(LinkFull):  # it is told again
            to.tell(message)
