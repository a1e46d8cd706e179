"""The actors of a play: they do as they are told, and note what comes to them."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from actors import Actor, ActorRef, Message, SpawnFailed, Terminated
from actors.system import ActorSystem
from tests.actors.machines.ledger import Ledger
from transports import LinkFull, Weights


class Note(Message[None]):
    id: int
    sender: int


class Load(Message[None]):
    """A note that carries arrays, so that it travels on the bulk lane."""

    id: int
    sender: int
    weights: Weights


class Question(Message[int]):
    """Answered by its id, after some seconds of work."""

    id: int
    sender: int
    work: float


class Fail(Message[None]):
    id: int
    sender: int


class Bear(Message[None]):
    """Have a child, which may fail at once."""

    id: int
    sender: int
    name: str
    trouble: str


class Look(Message[None]):
    """Watch that actor, or no longer."""

    id: int
    sender: int
    whom: ActorRef
    away: bool


class Pass(Message[None]):
    """Tell that actor as many notes, of so many floats each."""

    id: int
    sender: int
    to: ActorRef
    times: int
    floats: int


class Inquire(Message[None]):
    """Ask that actor, beside the mailbox or before anything else is handled."""

    id: int
    sender: int
    to: ActorRef
    timeout: float
    work: float
    beside: bool


class Done(Message[None]):
    """Told by an actor to itself, and never sent."""


class TroubleError(Exception):
    pass


class Stage:
    """What the players of one play share.

    Attributes:
        ledger: of the play.
        players: all that were ever made, in order.
    """

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.players: list[ActorRef] = []

    def tell(self, ref: ActorRef, sender: int, kind: Any, **fields: Any) -> None:
        """Tell a message of the cast; a link that is full refuses it, which is no loss."""
        message = kind(self.ledger.next_id(), sender, **fields)
        with contextlib.suppress(LinkFull):
            ref.tell(message)
            self.ledger.told(message.id)

    def notes(self, ref: ActorRef, sender: int, times: int, floats: int) -> None:
        """Tell so many notes."""
        for _ in range(times):
            if floats:
                weights = Weights.of({"w": np.ones(floats, np.float32)})
                self.tell(ref, sender, Load, weights=weights)
                weights.release()
            else:
                self.tell(ref, sender, Note)

    async def ask(
        self, system: ActorSystem, ref: ActorRef, sender: int, timeout: float, work: float
    ) -> None:
        """Ask a question."""
        question = Question(self.ledger.next_id(), sender, work)
        await self.ledger.ask(system, ref, question, timeout)


#: Of the play that is on; actors of all its nodes live in this process.
_stages: list[Stage] = []


def enter(stage: Stage) -> None:
    """A play begins."""
    _stages[:] = [stage]


class Player(Actor):
    """Does as it is told."""

    def __init__(self, trouble: str = "") -> None:
        self.stage = _stages[0]
        self.trouble = trouble
        if self.ref not in self.stage.players:
            self.stage.players.append(self.ref)
        if trouble == "constructor":
            raise TroubleError("in the constructor")

    async def on_start(self) -> None:
        if self.trouble == "on_start":
            await self.clock.sleep(0.01)
            raise TroubleError("in on_start")

    async def on_stop(self) -> None:
        if self.trouble == "on_stop":
            raise TroubleError("in on_stop")

    def _begin(self, message: Any) -> None:
        self.stage.ledger.handled(self._cell, message, message.sender)

    def note(self, message: Note) -> None:
        self._begin(message)

    def load(self, message: Load) -> None:
        self._begin(message)
        message.weights.release()

    async def question(self, message: Question) -> int:
        self._begin(message)
        if message.work:
            await self.clock.sleep(message.work)
        return message.id

    def fail(self, message: Fail) -> None:
        self._begin(message)
        raise TroubleError("as told")

    async def bear(self, message: Bear) -> None:
        self._begin(message)
        with contextlib.suppress(SpawnFailed):
            await self.spawn(message.name, Player, trouble=message.trouble)

    def look(self, message: Look) -> None:
        self._begin(message)
        if message.away:
            self.stage.ledger.unwatches(self._cell, message.whom.uid)
            self.unwatch(message.whom)
        else:
            self.stage.ledger.watches(self._cell, message.whom.uid)
            self.watch(message.whom)

    def passed(self, message: Pass) -> None:
        self._begin(message)
        self.stage.notes(message.to, self.ref.uid, message.times, message.floats)

    async def inquire(self, message: Inquire) -> None:
        self._begin(message)
        asking = self.stage.ask(
            self.system, message.to, self.ref.uid, message.timeout, message.work
        )
        if message.beside:
            self.pipe_to_self(asking, lambda _: Done())
        else:
            await asking

    def done(self, message: Done) -> None:
        pass

    def terminated(self, message: Terminated) -> None:
        self.stage.ledger.terminated(self._cell, message.uid, message.reason)
