"""Actors of the tests of supervisors at work."""

from __future__ import annotations

import asyncio
import signal
import threading

from actors import Actor, ActorRef, Message, Terminated


class Boom(Message[None]):
    kind: str


class Name(Message[str]):
    pass


class Hang(Message[None]):
    pass


class Told(Message[None]):
    what: str


class Story(Message[list[str]]):
    pass


class Look(Message[None]):
    ref: ActorRef


class Causes(Message[list[str]]):
    pass


class Scribe(Actor):
    def __init__(self) -> None:
        self.story: list[str] = []

    def note(self, message: Told) -> None:
        self.story.append(message.what)

    def read(self, message: Story) -> list[str]:
        return self.story


class Watcher(Actor):
    def __init__(self) -> None:
        self.causes: list[str] = []

    def look(self, message: Look) -> None:
        self.watch(message.ref)

    def gone(self, message: Terminated) -> None:
        self.causes.append(message.cause)

    def read(self, message: Causes) -> list[str]:
        return self.causes


ERRORS: dict[str, type[Exception]] = {"index": IndexError, "key": KeyError, "os": OSError}


class Member(Actor):
    def __init__(self, scribe: ActorRef, label: str, start: str = "") -> None:
        self.scribe = scribe
        self.label = label
        self.secret = {"answer": 42}
        if start == "fails":
            raise ValueError("as told")

    async def on_stop(self) -> None:
        await self.scribe.ask(Told(f"stop {self.label}"), timeout=30)

    def boom(self, message: Boom) -> None:
        raise ERRORS[message.kind]("as told")

    def name(self, message: Name) -> str:
        return self.label

    async def hang(self, message: Hang) -> None:
        await asyncio.Event().wait()


class Deaf(Member):
    """Neither stops nor lets its node do so."""

    async def on_stop(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Event().wait(600)
