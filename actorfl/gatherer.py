"""The gatherer of a run without a centre: writes its metrics, and its models when all have ended.

It decides nothing that is learned, and no node waits for it.
"""

from __future__ import annotations

import contextlib
import json
import logging
from typing import Any, Final

import msgspec

from actorfl import checkpoint, measures, modelfile
from actorfl.errors import Misfit
from actorfl.fingerprint import Fingerprint
from actorfl.flatmodel import Model, Totals
from actorfl.keeper import number
from actorfl.letters import Report, Reported, Show, Shown, Told
from actorfl.mean import Mean
from actorfl.numerics import Numerics
from actorfl.protocol import Finished, Row, unpack
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


async def load(snapshots: Snapshots) -> Header | None:
    """The newest snapshot of a gatherer that is whole, or None."""
    found = await snapshots.latest()
    return None if found is None else msgspec.msgpack.decode(found.header, type=Header)


class _Retry(Message[None]):
    pass


class Gatherer(Actor):
    """Hears what nodes have saved.

    Args:
        identity: of the run.
        nodes: their names, in the order of the topology.
        strict: whether nodes that do not compute alike end the run.
        monitor: is told of each line of the metrics and of the end.
        rounds: that each node has; 0 where only they know. A run that had ended after fewer goes
            on.

    The storage of its node is the run's directory.
    """

    def __init__(
        self,
        *,
        identity: str,
        nodes: tuple[str, ...],
        strict: bool,
        monitor: ActorRef,
        rounds: int = 0,
    ) -> None:
        self._identity = identity
        self._nodes = nodes
        self._strict = strict
        self._until = rounds
        self._monitor = monitor
        self._snapshots = self.snapshots(FOLDER)
        self._header = Header(identity)
        self._numerics = Numerics(nodes[0])
        self._refs: dict[str, ActorRef] = {}
        self._told: dict[int, dict[str, Told]] = {}
        self._rounds: dict[str, int] = {}
        self._finals: dict[str, dict[str, Mean]] = {}
        self._totals: Totals | None = None
        self._asked = 0  # nodes whose final models are in the totals
        self._finished: Finished | None = None

    async def on_start(self) -> None:
        """Take up the newest snapshot."""
        await self.storage.claim(checkpoint.METRICS)
        found = await load(self._snapshots)
        if found is not None:
            if found.identity != self._identity:
                msg = f"the snapshots here belong to another run ({found.identity})"
                raise ValueError(msg)
            goes_on = found.rounds < self._until
            self._header = msgspec.structs.replace(found, finished=found.finished and not goes_on)
            self._numerics = Numerics(self._nodes[0], found.numerics, dict(found.unpromised))
            if found.last is not None:
                self._tell(self._monitor, Row(found.rounds, found.last))
        self.timers.start("retry", _Retry(), after=RETRY, every=RETRY)

    async def report(self, message: Report) -> None:
        """A node tells what it has saved."""
        if message.run != self._identity or message.name not in self._nodes:
            return
        self._refs[message.name] = message.me
        self._compare(message)
        for told in message.told:
            if told.round >= self._header.rounds:
                self._told.setdefault(told.round, {})[message.name] = told
        # One report tells of the oldest rounds only; of the others when these lines are written.
        reached = message.told[-1].round + 1 if message.told else message.rounds
        self._rounds[message.name] = max(self._rounds.get(message.name, 0), reached)
        if message.final is not None and reached >= message.rounds:
            self._finals[message.name] = message.final
        await self._write()
        self._tell(message.me, Reported(self._identity, self._header.rounds))
        if self._over and self._totals is None and self._finished is None:
            self._ask()

    async def shown(self, message: Shown) -> None:
        """A node shows its final model."""
        try:
            expected = self._nodes[self._asked] if self._asked < len(self._nodes) else ""
            if message.run != self._identity or message.name != expected or self._totals is None:
                return
            vector, integers, _ = unpack(message.weights)
            model = Model(message.layout, vector, integers)
            message.layout.check(vector)
            await modelfile.write(
                self.storage, model.layout, vector, integers, modelfile.of_node(message.name)
            )
            self._totals.add(model)
        finally:
            message.weights.release()
        self._asked += 1
        if self._asked < len(self._nodes):
            self._ask()
        else:
            await self._finish()

    async def retry(self, message: _Retry) -> None:
        """Say again what was not answered."""
        if self._finished is not None:
            # The one message that nobody asks for: the run would never end without it.
            self._tell(self._monitor, self._finished)
        elif self._over:
            self._ask()

    @property
    def _over(self) -> bool:
        """Whether all programs have ended, and all lines are written."""
        most = max(self._rounds.values(), default=0)
        return len(self._finals) == len(self._nodes) and self._header.rounds == most

    def _compare(self, message: Report) -> None:
        for sentence in self._numerics.heard(message.name, message.fingerprint):
            if self._strict:
                raise Misfit(f"the run is strict, but {sentence}")
            self.publish("warning", sentence=f"the same bits are not promised: {sentence}")

    async def _write(self) -> None:
        """Append the lines of rounds that all nodes have saved."""
        while self._is_complete(self._header.rounds):
            at = self._header.rounds
            told = self._told.get(at, {})
            of_nodes = {name: told[name].metrics for name in self._nodes if name in told}
            found = {name: mean.value for name, mean in measures.added(of_nodes).items()}
            found |= measures.worst_deciles(of_nodes)
            loss = sum((told[name].loss for name in self._nodes if name in told), Mean())
            row: dict[str, Any] = {
                "round": at + 1,
                **{name: number(value) for name, value in sorted(found.items())},
                "nodes": len(told),
                "train_loss": number(loss.value) if loss.count else None,
            }
            text = json.dumps(row, allow_nan=False)
            line = text.encode() + b"\n"
            await self.storage.append(checkpoint.METRICS, line, self._header.offset)
            await self._save(rounds=at + 1, offset=self._header.offset + len(line), last=text)
            self._told.pop(at, None)
            self._tell(self._monitor, Row(at + 1, text))

    def _is_complete(self, at: int) -> bool:
        """Whether every node has saved this round or ended before it, and some have saved it."""
        some = any(rounds > at for rounds in self._rounds.values())
        return some and all(
            self._rounds.get(name, 0) > at or name in self._finals for name in self._nodes
        )

    def _ask(self) -> None:
        """Ask for one final model after the other: one at a time is held here."""
        if self._totals is None:
            self._totals = Totals()
        name = self._nodes[self._asked]
        self._tell(self._refs[name], Show(self._identity, self.ref))

    async def _finish(self) -> None:
        assert self._totals is not None
        mean = self._totals.mean()
        sha256 = await modelfile.write(self.storage, mean.layout, mean.vector, mean.buffers)
        await self._save(finished=True)
        found = {name: mean.value for name, mean in measures.added(self._finals).items()}
        found |= measures.worst_deciles(self._finals)
        metrics = {name: number(value) for name, value in sorted(found.items())}
        self._finished = Finished(
            self._header.rounds, sha256, metrics.get("accuracy"), metrics,
            self._numerics.unpromised,
        )  # fmt: skip
        _log.info("all %d nodes have ended", len(self._nodes))
        self._tell(self._monitor, self._finished)

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
