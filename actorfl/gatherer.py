"""The gatherer of a run without a centre: writes its metrics, and its models when all have ended.

It decides nothing that is learned, and no node waits for it.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from actorfl import modelfile
from actorfl.flatmodel import Model, Totals
from actorfl.keeper import number
from actorfl.letters import Report, Reported, Show, Shown, Told
from actorfl.lookingon import RETRY, Header, LookingOn
from actorfl.mean import Mean
from actorfl.protocol import unpack
from actorfl.traffic import Traffic
from actors import ActorRef, Message


class _Retry(Message[None]):
    pass


class Gatherer(LookingOn):
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
        super().__init__(identity=identity, nodes=nodes, strict=strict, monitor=monitor)
        self._until = rounds
        self._header = Header(identity)
        self._refs: dict[str, ActorRef] = {}
        self._told: dict[int, dict[str, Told]] = {}
        self._rounds: dict[str, int] = {}
        self._finals: dict[str, dict[str, Mean]] = {}
        self._asked = 0  # nodes whose final models are in the totals

    async def on_start(self) -> None:
        """Take up the newest snapshot."""
        found = await self._take_up(Header)
        if found is not None:
            goes_on = found.rounds < self._until
            self._header = msgspec.structs.replace(found, finished=found.finished and not goes_on)
        self.timers.start("retry", _Retry(), after=RETRY, every=RETRY)

    async def report(self, message: Report) -> None:
        """A node tells what it has saved."""
        if message.run != self._identity or message.name not in self._nodes:
            return
        self._refs[message.name] = message.me
        self._compare(message.name, message.fingerprint)
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
            await self._finish(self._finals)

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

    async def _write(self) -> None:
        """Append the lines of rounds that all nodes have saved."""
        while self._is_complete(self._header.rounds):
            at = self._header.rounds
            told = self._told.get(at, {})
            of_nodes = {name: told[name].metrics for name in self._nodes if name in told}
            loss = sum((told[name].loss for name in self._nodes if name in told), Mean())
            traffic = Traffic()
            for one in told.values():
                traffic.add(one.traffic)
            row: dict[str, Any] = {
                "round": at + 1,
                **self._measured(of_nodes),
                "nodes": len(told),
                "train_loss": number(loss.value) if loss.count else None,
                "messages": traffic.messages,
                "bytes": traffic.nbytes,
            }
            await self._append(at + 1, json.dumps(row, allow_nan=False))
            self._told.pop(at, None)

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
