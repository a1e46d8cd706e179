"""Blocking actors that the tests place in threads and processes."""

from __future__ import annotations

import os
import threading
import time
from typing import Any, ClassVar

import pykka

from actors import ActorRef, Message


class Double(Message[int]):
    number: int


class WhatThread(Message[str]):
    pass


class Break(Message[int]):
    how: str


class Relay(Message[int]):
    number: int


class Hang(Message[None]):
    path: str


class History(Message[list[str]]):
    pass


class Doubler(pykka.ThreadingActor):
    """Written as any actor of pykka, with typed messages."""

    #: What happened to all of them in this process, in order.
    log: list[str] = []  # noqa: RUF012  (shared on purpose)

    def __init__(self, factor: int = 2, peer: ActorRef | None = None) -> None:
        super().__init__()
        self.factor = factor
        self.peer = peer
        self.log.append(f"made in {threading.current_thread().name}")

    def on_start(self) -> None:
        self.log.append(f"started in {threading.current_thread().name}")

    def on_stop(self) -> None:
        self.log.append("stopped")

    def on_failure(self, kind: object, value: object, traceback: object) -> None:
        self.log.append(f"failed with {value}")

    def double(self, message: Double) -> int:
        time.sleep(0.01)  # what it is there for: it blocks
        return message.number * self.factor

    def what_thread(self, message: WhatThread) -> str:
        return threading.current_thread().name

    def breaks(self, message: Break) -> int:
        match message.how:
            case "raise":
                raise ValueError("as told")
            case "exit":
                raise SystemExit(3)
            case "stop iteration":
                raise StopIteration
        raise KeyboardInterrupt

    def relay(self, message: Relay) -> int:
        assert self.peer is not None
        self.peer.tell(Double(0))
        return self.peer.ask_blocking(Double(message.number), timeout=5.0)

    def hang(self, message: Hang) -> None:
        self.log.append("hanging")
        while not os.path.exists(message.path):  # noqa: PTH110  (a plain poll in a thread)
            time.sleep(0.01)

    def history(self, message: History) -> list[str]:
        return list(self.log)


class Receiver(pykka.ThreadingActor):
    """Only what pykka itself asks for."""

    def on_receive(self, message: Double) -> int:
        return message.number + 1


class BadStart(pykka.ThreadingActor):
    def on_start(self) -> None:
        raise OSError("no camera")

    def double(self, message: Double) -> int:
        return 0


class NeverMade(pykka.ThreadingActor):
    """Its constructor hangs until a file is there, but only the first time in all processes."""

    def __init__(self, path: str, once: str = "") -> None:
        super().__init__()
        Doubler.log.append("constructing")
        if once and os.path.exists(once):  # noqa: PTH110  (as below)
            return
        if once:
            open(once, "w").close()  # noqa: PTH123  (as below)
        while not os.path.exists(path):  # noqa: PTH110  (a plain poll in a thread)
            time.sleep(0.01)

    def double(self, message: Double) -> int:
        return 2 * message.number


class NoInit(pykka.ThreadingActor):
    def __init__(self) -> None:
        self.ready = True

    def double(self, message: Double) -> int:
        return 0


class Put(Message[None]):
    values: list[int]
    rest: Any = None


class Say(Message[str]):
    """Have a `Put` sent, altered afterwards."""

    how: str


class Putting(pykka.ThreadingActor):
    """Sends what it alters at once, or what does not travel."""

    def __init__(self, peer: ActorRef) -> None:
        super().__init__()
        self.peer = peer

    def say(self, message: Say) -> str:
        values = [1]
        rest: Any = None
        match message.how:
            case "object":
                rest = object()
            case "large":
                rest = bytes(5 << 20)
            case "large ask":
                rest = bytes(5 << 20)
        try:
            if message.how.endswith("ask"):
                self.peer.ask_blocking(Put(values, rest), timeout=5.0)
            else:
                self.peer.tell(Put(values, rest))
        except Exception as error:  # noqa: BLE001  (told to the test)
            return f"{type(error).__name__}: {error}"
        values.append(2)
        return "sent"


class TellYourself(Message[None]):
    pass


class StopYourself(Message[str]):
    pass


class Heard(Message[list[str]]):
    pass


class Yours(Message[None]):
    pass


class Selfish(pykka.ThreadingActor):
    """Uses what pykka gave it of itself."""

    log: ClassVar[list[str]] = []

    def __init__(self) -> None:
        super().__init__()
        Selfish.log.clear()

    def tell_yourself(self, message: TellYourself) -> None:
        self.actor_ref.tell(Yours())
        self.actor_ref.tell("a message of pykka")

    def yours(self, message: Yours) -> None:
        self.log.append("told by itself")

    def heard(self, message: Heard) -> list[str]:
        return list(self.log)

    def stop_yourself(self, message: StopYourself) -> str:
        self.log.append("cleaned up")
        self.stop()
        return "stopping"

    def on_stop(self) -> None:
        self.log.append("stopped")
