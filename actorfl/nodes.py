"""Nodes that send and receive for themselves: what a person writes instead of an algorithm."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError, dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from actorfl.algorithm import Scalar
from actorfl.defined import Abstract
from actorfl.delivery import Tag
from actorfl.errors import ActorflError
from actorfl.flatmodel import Model
from actorfl.layout import Layout
from actorfl.local import SGD
from actorfl.seeds import seed_for
from actorfl.terms import Array


class NothingReceived(ActorflError, TimeoutError):  # noqa: N818  (it is what happened)
    """Nothing came in time under the tag that was waited for."""


class NotTaken(ActorflError, TimeoutError):  # noqa: N818  (it is what happened)
    """A neighbour did not save in time what was sent to it, and no more can be kept for it."""


@dataclass(frozen=True)
class Received:
    """What a neighbour sent.

    Attributes:
        sender: its name.
        tag: under which it was sent.
        weights: a model; that of the node itself where none was sent. Its arrays are read-only.
        content: arrays and scalars by name that were sent beside it, arrays read-only.
    """

    sender: str
    tag: Tag
    weights: Model
    content: Mapping[str, Array | Scalar] = field(default_factory=dict)


class Host(Protocol):
    """What `Me` needs of the actor that it stands for."""

    def rounds(self, count: int) -> Iterator[int]:
        """See ``Me.rounds``."""
        ...

    @property
    def current(self) -> int:
        """The round that is under way, from 0."""
        ...

    async def fit(self, start: Model, local: SGD | None) -> Model:
        """See ``Me.fit``."""
        ...

    async def send(
        self,
        to: str,
        weights: Model | None,
        tag: Tag,
        timeout: float,
        content: Mapping[str, Array | Scalar],
    ) -> None:
        """See ``Me.send``."""
        ...

    async def receive(self, tag: Tag, sender: str | None, timeout: float) -> Received:
        """See ``Me.receive``."""
        ...

    async def save(self) -> None:
        """See ``Me.save``."""
        ...


class Me:
    """A node as its own program sees it.

    Attributes:
        name: of the node.
        index: its place in the topology, from 0.
        neighbours: names of those it can send to, in the order of the topology.
        examples: how many training examples it has.
        weights: its model, at first the initial one, which all nodes share; to be replaced, not
            written to.
        state: what else it keeps: arrays and scalars by name.
    """

    def __init__(
        self,
        host: Host,
        *,
        name: str,
        index: int,
        neighbours: tuple[str, ...],
        examples: int,
        seed: int,
        weights: Model,
        state: Mapping[str, Array | Scalar],
    ) -> None:
        self._host = host
        self._seed = seed
        self.name = name
        self.index = index
        self.neighbours = neighbours
        self.examples = examples
        self.weights = weights
        self.state: dict[str, Array | Scalar] = dict(state)

    @property
    def layout(self) -> Layout:
        """Names the parts of ``weights.vector``."""
        return self.weights.layout

    def rounds(self, count: int) -> Iterator[int]:
        """Go through rounds 0 to ``count - 1``; a restarted node goes on after that last saved.

        Args:
            count: how many rounds there are in all.
        """
        return self._host.rounds(count)

    def draw(self, purpose: str = "") -> np.random.Generator:
        """A source of random numbers that gives the same ones when a round is done again.

        Args:
            purpose: other purposes have other numbers, other rounds and nodes have, too.
        """
        seed = seed_for(self._seed, self.name, self._host.current, f"draw {purpose}")
        return np.random.Generator(np.random.PCG64(seed))

    async def fit(self, weights: Model | None = None, *, local: SGD | None = None) -> Model:
        """Train on the node's own data, in the training lane; ``self.weights`` stays as it is.

        Args:
            weights: where training starts; without them ``self.weights``.
            local: settings of the local loop; without them those of the run.

        Returns:
            The trained model.

        Raises:
            ConfigError: the task cannot be trained so.
        """
        return await self._host.fit(self.weights if weights is None else weights, local)

    async def send(
        self,
        to: str,
        weights: Model | None = None,
        *,
        tag: Tag,
        timeout: float = 300.0,
        content: Mapping[str, Array | Scalar] = MappingProxyType({}),
    ) -> None:
        """Send a model to a neighbour, which receives it once, whoever is restarted meanwhile.

        It is kept here until the neighbour has saved after receiving it. While 64 are kept for one
        neighbour this waits. A node that is restarted does the round after its last save again, and
        must send the same in it under the same tag.

        Args:
            to: name of the neighbour.
            weights: of the node's layout; copied. None: `content` alone is sent.
            tag: by which it is received; what is sent to one neighbour has different ones. A whole
                number of 64 bits, or at most 128 characters.
            timeout: seconds that it waits where 64 are kept, above 0: more than the neighbour takes
                from one save to the next.
            content: arrays and scalars by name that are sent, too; copied.

        Raises:
            NotTaken: 64 are kept still. A program that lets it pass is restarted, and goes on after
                its last save.
            WrongValue: it is no neighbour, the tag is kept for it already or is none, or so is the
                timeout.
            LayoutError: the model has another layout, or an array does not travel.
            ValueError: there is too much in `content`.
        """
        await self._host.send(to, weights, tag, timeout, content)

    async def receive(self, *, tag: Tag, timeout: float, sender: str | None = None) -> Received:
        """Wait for what a neighbour sent under a tag; each is received once.

        Args:
            tag: what the sender gave.
            timeout: seconds, above 0. A neighbour's process that died is back in a few seconds.
            sender: a neighbour; without it whoever's comes first, which is not the same in each
                start where several send under one tag.

        Raises:
            NothingReceived: nothing came in time. A program that lets it pass is restarted, and
                goes on after its last save.
            WrongValue: the timeout is none, or the sender is no neighbour.
        """
        return await self._host.receive(tag, sender, timeout)

    async def save(self) -> None:
        """Make ``weights``, ``state`` and the round durable, together, and what is sent and known.

        When it returns the round is done: a restart goes on with the next one. What was received is
        acknowledged by it, and no longer kept by its sender. Save once in a round, at its end.

        Raises:
            StorageError: the disk refused.
            ValueError: something in ``state`` does not travel, such as an array of objects.
        """
        await self._host.save()

    def __repr__(self) -> str:
        return f"<Me {self.name} neighbours={list(self.neighbours)}>"


class _Frozen:
    """What may not be changed once it is made, whatever a subclass is decorated with."""

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to {name!r} of a program; use `me.state`")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete {name!r} of a program")


@dataclass(frozen=True)
class NodeLoop(_Frozen, Abstract):
    """Base of programs that run at each node of a topology without a centre.

    A subclass defines `run`; fields that a configuration can set need ``@dataclass(frozen=True)``,
    which may stand above a subclass without fields, too.
    The program runs as a task beside the node's mailbox, under a supervisor. When its node fails or
    dies it is run again from the beginning, with ``me`` as it was last saved. For the bits of a run
    to be the same whatever fails, what it does must follow from what it saved, receives and draws
    with `Me.draw`: no clock, and no other source of random numbers.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """A program without fields of its own is a frozen dataclass as it stands."""
        super().__init_subclass__(**options)
        own = vars(cls)
        if "__annotations__" in own or "__dataclass_params__" in own:
            return  # it says so itself, or is the copy that slots=True makes of one that did
        dataclass(frozen=True)(cls)
        # The decorator refuses a class that has these, and may stand above this one, too.
        del cls.__setattr__, cls.__delattr__

    @abstractmethod
    async def run(self, me: Me) -> None:
        """Learn; when it returns the node's model is final, and is saved.

        Args:
            me: the node.
        """
