"""Actors that the tests place in processes."""

from __future__ import annotations

import os

from actors import Actor, ActorRef, Message
from transports import Weights


class Pid(Message[int]):
    pass


class Add(Message[int]):
    amount: int


class Fail(Message[None]):
    pass


class Exit(Message[None]):
    code: int


class Scale(Message[Weights]):
    weights: Weights
    by: float


class PidOfPeer(Message[int]):
    pass


class Adder(Actor):
    def __init__(self, start: int, peer: ActorRef | None = None) -> None:
        self.total = start
        self.peer = peer

    def pid(self, message: Pid) -> int:
        return os.getpid()

    def add(self, message: Add) -> int:
        self.total += message.amount
        return self.total

    def fail(self, message: Fail) -> None:
        raise ValueError("as told")

    def exit(self, message: Exit) -> None:
        os._exit(message.code)

    def scale(self, message: Scale) -> Weights:
        import numpy as np  # not every process that loads this file has arrays

        scaled = (message.weights["w"] * np.float32(message.by)).astype(np.float32)
        return Weights.of({"w": scaled})

    async def pid_of_peer(self, message: PidOfPeer) -> int:
        assert self.peer is not None
        return await self.peer.ask(Pid(), timeout=10)
