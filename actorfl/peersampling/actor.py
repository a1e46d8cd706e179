"""The actors around the state machines: a node's sampler, and a membership."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Mapping
from typing import Any, Final

from actorfl.errors import WrongValue
from actorfl.peersampling.descriptor import VIEW_MAX, Address, Descriptor, Entry
from actorfl.peersampling.protocols import NewscastProtocol, SamplingProtocol
from actorfl.peersampling.sampler import Sampler
from actorfl.peersampling.uniform import membership
from actorfl.peersampling.words import (
    Answer,
    Exchange,
    Gone,
    Join,
    Leave,
    Neighbour,
    PickPeers,
    PresentView,
    Waits,
)
from actors import Actor, ActorRef, Message, Terminated
from actors.quantities import is_finite
from transports import LinkFull

#: Names of contacts that an event tells.
_NAMED: Final = 4


class _Cycle(Message[None]):
    pass


def _parts(ref: ActorRef | None) -> Address | None:
    return None if ref is None else ref.parts


class _Timed(Actor):
    """An actor with periods of its own, the first of which begins at a drawn time."""

    def _begin(self, group: str, period: float, seed: int | None) -> None:
        if not (is_finite(period) and period > 0):
            raise WrongValue(
                f"`period` of {type(self).__name__}", "seconds, finite and above 0", period
            )
        self._group = group
        self._period = float(period)
        self._draw = random.Random(self.rng.bits(64) if seed is None else seed)
        self._began = self.clock.now()

    async def on_start(self) -> None:
        """Draw when in a period it has its turn, so that not all nodes have theirs at once."""
        first = self._draw.random() * self._period
        self.timers.start("cycle", _Cycle(), after=first, every=self._period)

    @property
    def _now(self) -> float:
        return (self.clock.now() - self._began) / self._period

    def _say(self, to: Address | None, message: Message[Any]) -> None:
        if to is not None:
            with contextlib.suppress(LinkFull):  # it is as lost as any other word may be
                self.system.ref(to).tell(message)


class PeerSampler(_Timed):
    """A node's part in a network of samplers: it knows some others, drawn from all there are.

    It is asked for peers by ``PickPeers``, and tells its owner a ``PresentView`` in each cycle if
    wanted. What it says to other samplers is said once and may get lost. It keeps nothing durable:
    after a crash it joins again by its contacts. Where it leaves for good, tell it ``Leave``; it
    leaves by itself when its owner has been stopped, or has failed and is not restarted.

    A sampler that nobody answers goes on asking its contacts, one in each cycle, and publishes
    ``no_peers`` (fields ``node``, ``contacts``, ``cycles``) once, and ``peers_found`` when it has
    heard somebody again.

    Args:
        name: of the node, distinct in its network.
        owner: the actor that it works for, which is what others are told as its address; without
            it others know this node, but are given no peer of its name.
        contacts: samplers of other nodes by name; none for the first node of a network. They are
            the first view as well.
        owners: actors that samplers work for, by the names of their nodes, as far as they are
            known: of contacts, and of others that are to be in the first view.
        protocol: what it follows, the same at all nodes; ``NewscastProtocol()`` unless given.
        period: seconds between two cycles, above 0, the same at all nodes.
        tells: whether the owner, which has a handler for it then, is told the view in each cycle.
        waits: whether it takes no part before it is told ``Join``, for which it asks its owner,
            which has a handler for it then, in each cycle by ``Waits``. What others say meanwhile
            is not heard.
        group: of the network; what comes from others is dropped.
        seed: what is drawn follows from it; None: from the node's own randomness.

    Raises:
        WrongValue: the period is no time.
    """

    def __init__(
        self,
        *,
        name: str,
        owner: ActorRef | None = None,
        contacts: Mapping[str, ActorRef] | None = None,
        owners: Mapping[str, ActorRef] | None = None,
        protocol: SamplingProtocol | None = None,
        period: float = 1.0,
        tells: bool = False,
        waits: bool = False,
        group: str = "",
        seed: int | None = None,
    ) -> None:
        self._begin(group, period, seed)
        self._works_for = owner
        self._owner = owner.parts if tells and owner is not None else None
        self._asked = owner.parts if waits and owner is not None else None
        contacts, owners = contacts or {}, owners or {}
        self._known = [
            Descriptor(each, 0.0, 0, _parts(contacts.get(each)), _parts(owners.get(each)))
            for each in {**contacts, **owners}
        ]
        self._protocol = protocol or NewscastProtocol()
        self._sampler = self._begun(
            Descriptor(name, 0.0, 0, self.ref.parts, _parts(owner)), () if waits else self._known
        )
        self._said_alone = False
        #: Whether it hears and says nothing: it waits, or has left.
        self._silent = waits
        self._left = False

    def _begun(self, me: Descriptor, known: Iterable[Descriptor]) -> Sampler:
        """Its part in the protocol, from the beginning."""
        first = list(known)
        self._draw.shuffle(first)  # a view may hold fewer than there are contacts
        return self._protocol.begin(
            me, view=first, contacts=[one for one in first if one.sampler], draw=self._draw
        )

    async def on_start(self) -> None:
        """Begin its periods."""
        await super().on_start()
        if self._works_for is not None:
            self.watch(self._works_for)
        self._tell_owner()

    def owner_gone(self, message: Terminated) -> None:
        """Its owner is gone; a process that died comes back with both of them."""
        if message.cause in {"stopped", "failed"}:
            self.leave(Leave())
        elif self._works_for is not None:
            self.watch(self._works_for)

    def join(self, message: Join) -> None:
        """Take part from now on, where it waits."""
        if not self._silent or self._left:
            return
        self._silent = False
        self._began = self.clock.now()
        away = set(message.away)
        here = [one for one in self._known if one.name not in away]
        self._sampler = self._begun(self._sampler.me, here)
        self._tell_owner()

    def cycle(self, message: _Cycle) -> None:
        """A period is over."""
        if self._silent:
            self._tell_owner()
            return
        for request in self._sampler.cycle(self._now):
            self._say(
                request.to.sampler,
                Exchange(
                    self._group, request.number, self._sampler.me, request.descriptors,
                    request.wants,
                ),
            )  # fmt: skip
        self._tell_owner()
        self._publish()

    def exchange(self, message: Exchange) -> None:
        """Another sampler says what it knows."""
        if message.group != self._group:
            return
        if self._silent:
            if self._left:
                self._say(message.sender.sampler, self._gone())
            return
        answer = self._sampler.requested(
            message.sender, message.descriptors, message.wants, self._now
        )
        if message.wants:
            self._say(message.sender.sampler, Answer(self._group, message.number, answer))
        self._publish()

    def answer(self, message: Answer) -> None:
        """Another sampler answers."""
        if message.group == self._group and not self._silent:
            self._sampler.answered(message.number, message.descriptors, self._now)
            self._publish()

    def gone(self, message: Gone) -> None:
        """Another sampler leaves."""
        if message.group == self._group:
            self._sampler.left(message.name, message.incarnation)

    def leave(self, message: Leave) -> None:
        """This node leaves: those that it knows are told at once, others when they ask it."""
        self._left = self._silent = True
        for one in {each.name: each for each in self._reached()}.values():
            self._say(one.sampler, self._gone())

    def _reached(self) -> tuple[Entry, ...]:
        return (*self._sampler.contacts, *self._sampler.peers)

    def pick(self, message: PickPeers) -> tuple[Neighbour, ...]:
        """Some peers, each with the same chance."""
        peers = self._peers()
        drawn = self._draw.sample(peers, min(message.count, len(peers)))
        return tuple(Neighbour(name, self.system.ref(owner)) for name, owner in drawn)

    def _peers(self) -> list[tuple[str, Address]]:
        """Whom it knows, with an owner."""
        if self._silent:
            return []
        return [(one.name, one.owner) for one in self._sampler.peers if one.owner is not None]

    def _gone(self) -> Gone:
        me = self._sampler.me
        return Gone(self._group, me.name, me.incarnation)

    def _tell_owner(self) -> None:
        if self._left:
            return
        if self._silent:
            names = tuple(one.name for one in self._known)[: 2 * VIEW_MAX]
            self._say(self._asked, Waits(names, self.ref))
        elif self._owner is not None:
            peers = self._peers()
            names, addresses = (tuple(name for name, _ in peers), tuple(at for _, at in peers))
            me = None if self._asked is None else self.ref.parts
            self._say(self._owner, PresentView(names, addresses, self._sampler.alone, me))

    def _publish(self) -> None:
        """Say once that nobody answers, and once that somebody does again."""
        sampler = self._sampler
        alone = sampler.alone
        if alone == self._said_alone:
            return
        self._said_alone = alone
        if alone:
            names = sorted(one.name for one in sampler.contacts)
            self.publish(
                "no_peers", node=sampler.me.name, cycles=sampler.silent,
                contacts=", ".join([*names[:_NAMED], *(["..."] if names[_NAMED:] else [])]),
            )  # fmt: skip
        else:
            self.publish("peers_found", node=sampler.me.name)

    def __repr__(self) -> str:
        doing = " that has left" if self._left else " that waits" if self._silent else ""
        return f"<PeerSampler{doing} {self._sampler!r}>"


class Membership(_Timed):
    """Knows all nodes of a network and gives out uniform samples: the contact for their samplers.

    It knows those who have said within the last 5 periods that they are there. It keeps nothing
    durable: in its first period, also after a crash, it hears who is there and gives out nothing,
    and meanwhile samplers keep the sample that they have.

    Args:
        period: of the samplers, in seconds, above 0.
        group: of the network; what comes from others is dropped.
        seed: what is drawn follows from it; None: from the node's own randomness.

    Raises:
        WrongValue: the period is no time.
    """

    def __init__(self, *, period: float = 1.0, group: str = "", seed: int | None = None) -> None:
        self._begin(group, period, seed)
        self._members = membership((), self._draw)

    def cycle(self, message: _Cycle) -> None:
        """A period is over."""
        self._members.cycle(self._now)

    def exchange(self, message: Exchange) -> None:
        """A sampler says that its node is there."""
        if message.group == self._group:
            drawn = self._members.requested(message.sender, message.wants, self._now)
            # In its first period it hears who is there: a sample of the first few would be none.
            if self._now >= 1.0:
                self._say(message.sender.sampler, Answer(self._group, message.number, drawn))

    def gone(self, message: Gone) -> None:
        """A node leaves."""
        if message.group == self._group:
            self._members.left(message.name, message.incarnation)

    def __repr__(self) -> str:
        return f"<Membership {self._members!r}>"
