"""Actors whose constructors want references of a class; placed in processes by the tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from actors import Actor, ActorRef, Message


class Name(Message[str]):
    pass


class Introduce(Message[str]):
    to: ActorRef[Cat]
    also: dict[str, ActorRef[Cat]]


class Found(Message[ActorRef["Cat"]]):
    pass


class Animal(Actor):
    def name(self, message: Name) -> str:
        return self.ref.name


class Cat(Animal):
    def __init__(self, age: int = 1, friend: ActorRef[Animal] | None = None) -> None:
        self.age = age
        self.friend = friend

    async def introduce(self, message: Introduce) -> str:
        names = [await ref.ask(Name(), timeout=10) for ref in (message.to, *message.also.values())]
        return " ".join(names)

    def found(self, message: Found) -> ActorRef[Cat]:
        return self.ref

    async def friends_name(self, message: FriendsName) -> str:
        assert self.friend is not None
        return await self.friend.ask(Name(), timeout=10)


class FriendsName(Message[str]):
    pass


class Kitten(Cat):
    pass


class Dog(Animal):
    pass


class Keeper(Actor):
    """One parameter for each form in which a reference can be asked for."""

    def __init__(  # type: ignore[no-untyped-def]  # what is not annotated is looked at, too
        self,
        cat: ActorRef[Cat] | None = None,
        noted: Annotated[ActorRef[Cat], "the one that purrs"] | None = None,
        cats: Sequence[ActorRef[Cat]] = (),
        by_name: Mapping[str, list[ActorRef[Cat]]] | None = None,
        pair: tuple[ActorRef[Cat], ActorRef[Dog]] | None = None,
        either: ActorRef[Cat | Dog] | None = None,
        anyone: ActorRef | None = None,
        anything: Any = None,
        number: int = 0,
        unsaid=None,
    ) -> None:
        pass

    def name(self, message: Name) -> str:
        return self.ref.name


@dataclasses.dataclass(frozen=True)
class Basket:
    inside: Any


class Plan(msgspec.Struct):
    rounds: int


class Taker(Actor):
    def __init__(  # type: ignore[no-untyped-def]  # what is not annotated is refused
        self,
        plan: Plan | None = None,
        text: str = "",
        number: int = 0,
        anything: Any = None,
        call: Callable[[], int] | None = None,
        unsaid=None,
    ) -> None:
        pass

    def name(self, message: Name) -> str:
        return self.ref.name


class Needy(Actor):
    def __init__(self, store: int, *, label: str = "") -> None:
        pass


class Bounded(Actor):
    def __init__(self, mailbox: int) -> None:
        pass
