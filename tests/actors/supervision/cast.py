"""Who appears in the supervision table: victims of each placement, siblings, a watcher, a scribe."""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
from collections import Counter

import pykka

from actors import Actor, ActorRef, Message, Terminated

#: How often each victim of this process was constructed and started: the second time is where one
#: fails that is to fail in its constructor or its on_start.
made: Counter[str] = Counter()
begun: Counter[str] = Counter()

ERRORS: dict[str, type[BaseException]] = {
    "raise": ValueError,
    "constructor": ValueError,
    "on_start": ValueError,
    "on_stop": ValueError,
    "SystemExit": SystemExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "MemoryError": MemoryError,
    "CancelledError": asyncio.CancelledError,
}


class Note(Message[None]):
    """To the scribe: this happened to that actor of that cell.

    Asked, since what two actors tell a third may come in either order.
    """

    cell: str
    what: str


class Notes(Message[dict[str, list[str]]]):
    pass


class Die(Message[str]):
    """Answered only by those who end without failing."""

    way: str


class Hold(Message[None]):
    """Is at it until its end."""


class Ping(Message[int]):
    """How often has this process started you?"""


class Mark(Message[None]):
    pass


class Watch(Message[None]):
    ref: ActorRef


class Seen(Message[list[str]]):
    pass


class Scribe(Actor):
    def __init__(self) -> None:
        self.notes: dict[str, list[str]] = {}

    def note(self, message: Note) -> None:
        self.notes.setdefault(message.cell, []).append(message.what)

    def read(self, message: Notes) -> dict[str, list[str]]:
        return self.notes


class Watcher(Actor):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def look(self, message: Watch) -> None:
        self.watch(message.ref)

    def gone(self, message: Terminated) -> None:
        self.seen.append(message.cause)

    def read(self, message: Seen) -> list[str]:
        return self.seen


class Sibling(Actor):
    def __init__(self, scribe: ActorRef, cell: str, name: str) -> None:
        self.scribe = scribe
        self.cell = cell
        self.name = name

    async def on_start(self) -> None:
        await self.scribe.ask(Note(self.cell, f"start {self.name}"), timeout=30)

    async def on_stop(self) -> None:
        await self.scribe.ask(Note(self.cell, f"stop {self.name}"), timeout=30)

    def ping(self, message: Ping) -> int:
        return 0


def die(way: str) -> None:
    if way in ERRORS:
        raise ERRORS[way]("as told")
    if way == "os._exit":
        os._exit(3)
    if way == "segmentation fault":
        ctypes.string_at(0)


class Victim(Actor):
    def __init__(self, scribe: ActorRef, cell: str, way: str) -> None:
        self.scribe = scribe
        self.cell = cell
        self.way = way
        made[cell] += 1
        if way == "constructor" and made[cell] == 2:
            raise ValueError("as told, in the constructor")

    async def on_start(self) -> None:
        begun[self.cell] += 1
        if self.way == "on_start" and begun[self.cell] == 2:
            raise ValueError("as told, in on_start")
        await self.scribe.ask(Note(self.cell, "start v"), timeout=30)

    async def on_stop(self) -> None:
        await self.scribe.ask(Note(self.cell, "stop v"), timeout=30)
        if self.way == "on_stop":
            raise ValueError("as told, in on_stop")

    def die(self, message: Die) -> str:
        if message.way == "stop":
            self.stop()
            return "stopping"
        die(message.way)
        return "not dead"

    async def hold(self, message: Hold) -> None:
        await asyncio.Event().wait()

    def ping(self, message: Ping) -> int:
        return made[self.cell]

    def mark(self, message: Mark) -> None:
        self.scribe.tell(Note(self.cell, "mark"))


class BlockingVictim(pykka.ThreadingActor):
    """The same, in a thread of its own."""

    def __init__(self, scribe: ActorRef, cell: str, way: str) -> None:
        super().__init__()
        self.scribe = scribe
        self.cell = cell
        self.way = way
        made[cell] += 1
        if way == "constructor" and made[cell] == 2:
            raise ValueError("as told, in the constructor")

    def on_start(self) -> None:
        begun[self.cell] += 1
        if self.way == "on_start" and begun[self.cell] == 2:
            raise ValueError("as told, in on_start")
        self.scribe.ask_blocking(Note(self.cell, "start v"), timeout=30)

    def on_stop(self) -> None:
        self.scribe.ask_blocking(Note(self.cell, "stop v"), timeout=30)
        if self.way == "on_stop":
            raise ValueError("as told, in on_stop")

    def on_failure(self, kind: object, error: object, traceback: object) -> None:
        self.on_stop()

    def die(self, message: Die) -> str:
        if message.way == "stop":
            self.stop()
            return "stopping"
        die(message.way)
        return "not dead"

    def hold(self, message: Hold) -> None:
        threading.Event().wait(40)

    def ping(self, message: Ping) -> int:
        return made[self.cell]

    def mark(self, message: Mark) -> None:
        self.scribe.tell(Note(self.cell, "mark"))


class Inner(Message[ActorRef]):
    pass


class Host(Actor):
    """Holds an inline victim in a process, for deaths that take the process along."""

    def __init__(self, scribe: ActorRef, cell: str, way: str) -> None:
        self.arguments = {"scribe": scribe, "cell": cell, "way": way}

    async def on_start(self) -> None:
        self.victim = await self.spawn("victim", Victim, **self.arguments)

    def inner(self, message: Inner) -> ActorRef:
        return self.victim
