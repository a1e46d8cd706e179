"""Rounds between neighbours: what a node does in each, whoever is restarted meanwhile.

A round has two halves. In the first a node trains, if its algorithm trains before it sends, and
says what it sends; that and its state are made durable together, and only then does a letter leave.
So no neighbour ever has something from a node that the node does not know of. In the second half it
takes what came, merges it, and trains, if that comes after. A node that is restarted in it takes
the same letters again: their senders keep them until its next save.

How far a node may be ahead is said by what it has heard: the letter of round k from a neighbour
says that this one has completed k + 1 rounds. Under BSP it waits for all letters of its own round,
under SSP(s) for those of s rounds before (Ho et al., NeurIPS 2013, between neighbours).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from actorfl.algorithm import Mine, Scalar
from actorfl.flatmodel import Model
from actorfl.layout import Layout
from actorfl.local import SGD
from actorfl.nodes import Me
from actorfl.pairing import (
    Content,
    Draw,
    PairAlgorithm,
    PairCtx,
    PairState,
    begun,
    learned,
    merged,
    sent,
)
from actorfl.parcel import Parcel, packed_each
from actorfl.sync import SSP
from actorfl.terms import Array
from actorfl.topology import Peers
from actorfl.until import Clocks, Rounds
from transports import Weights

if TYPE_CHECKING:
    from actorfl.run import Run

Correction: TypeAlias = "tuple[PairAlgorithm, Mine]"
"""An algorithm that corrects gradients, and what it keeps."""

# Names in a node's state. No algorithm's own value is among them: those have a prefix.
_MINE: Final = "mine/"
_SENT: Final = "sent"
_NEXT: Final = "next/"
_LAST: Final = "last/"


class Host(Protocol):
    """What a program of ours needs of a node's actor."""

    @property
    def me(self) -> Me:
        """The node: its name, model and state, as they are saved."""
        ...

    def rounds(self, count: int) -> Iterator[int]:
        """See ``Me.rounds``."""
        ...

    async def fit(
        self, start: Model, local: SGD | None, correct: Correction | None = None
    ) -> Model:
        """Train; an algorithm may correct the gradients, see ``Me.fit``."""
        ...

    async def hold(self, to: str, content: Weights, tag: int | str) -> None:
        """Have a letter leave with the next save, which keeps it; waits while too much is kept."""
        ...

    def poll(self, tag: int | str, sender: str) -> Parcel | None:
        """Receive a letter, once; None where it is not here."""
        ...

    async def changed(self) -> None:
        """Wait until a letter came."""
        ...

    async def ended(self, number: int, weights: Model) -> None:
        """A round is over, with this model: measure it; the next save tells of that."""
        ...

    async def keep(self, rounds: int, state: Mapping[str, Array | Scalar]) -> None:
        """Make ``me.weights`` durable, and this state, with so many rounds done.

        Then what is held leaves.
        """
        ...


def rounds_of(run: Run) -> int:
    """How many rounds each node has; 0 where its program says it itself."""
    ends = run.until
    return ends.number if run.node is None and isinstance(ends, Rounds | Clocks) else 0


def context(run: Run, layout: Layout, me: Me, number: int) -> PairCtx:
    """What a node's algorithm knows of a round."""
    return context_of(run, layout, me.name, number, examples=me.examples, draw=me.draw)


def context_of(
    run: Run,
    layout: Layout,
    name: str,
    number: int,
    *,
    examples: int,
    draw: Draw,
    at: int | None = None,
) -> PairCtx:
    """The same, of a node that is no ``Me``; ``at`` is the round of the graph if it is another."""
    at = number if at is None else at
    topology, algorithm = run.topology, run.algorithm
    assert isinstance(topology, Peers)
    assert isinstance(algorithm, PairAlgorithm)
    return PairCtx(
        layout, name, number,
        algorithm.targets(topology, name, at, run.seed),
        algorithm.sources(topology, name, at, run.seed),
        algorithm.mix(topology, name, at),
        examples, run.local.lr, draw, len(topology.names),
    )  # fmt: skip


@dataclass
class PairRounds:
    """The program of a node under BSP or SSP.

    Args:
        run: whose algorithm, topology, policy and end they are.
        layout: of the model.
    """

    run: Run
    layout: Layout

    def __post_init__(self) -> None:
        assert isinstance(self.run.topology, Peers)
        assert isinstance(self.run.algorithm, PairAlgorithm)
        self._topology, self._algorithm = self.run.topology, self.run.algorithm
        sync = self.run.sync
        self._staleness = sync.staleness if isinstance(sync, SSP) else 0
        self._last: dict[str, Content] = {}  # what each neighbour sent last; under SSP alone
        self._next: dict[str, int] = {}  # the first round whose letter of a neighbour is not merged

    async def go(self, host: Host) -> None:
        """Do all rounds that are left."""
        state = self._restored(host.me)
        rounds = rounds_of(self.run)
        for number in host.rounds(rounds):
            ctx = context(self.run, self.layout, host.me, number)
            if host.me.state.get(_SENT) != number:
                if number == 0:
                    state = begun(self._algorithm, ctx, state)
                state = await self._trained("before", host, ctx, state)
                contents, state = sent(self._algorithm, ctx, state)
                for to, content in packed_each(contents).items():
                    await host.hold(to, content, number)
                host.me.weights = Model(self.layout, state.weights, state.buffers)
                await host.keep(number, self._kept(state, number))
            # A fit beside merging goes first: what comes meanwhile is taken by the mailbox.
            start = state.weights
            moved = await self._fit("beside", host, ctx, state)
            received = await self._received(host, number, last=number == rounds - 1)
            state = merged(self._algorithm, ctx, state, received)
            if moved is not None:
                state = learned(
                    self._algorithm, ctx, state, start, moved.vector, buffers=moved.buffers
                )
            state = await self._trained("after", host, ctx, state)
            host.me.weights = Model(self.layout, state.weights, state.buffers)
            host.me.state = self._kept(state, number)
            await host.ended(number, host.me.weights)

    async def _trained(self, order: str, host: Host, ctx: PairCtx, state: PairState) -> PairState:
        """The state after training, if it is the time for it."""
        start = state.weights
        after = await self._fit(order, host, ctx, state)
        if after is None:
            return state
        return learned(self._algorithm, ctx, state, start, after.vector, buffers=after.buffers)

    async def _fit(self, order: str, host: Host, ctx: PairCtx, state: PairState) -> Model | None:
        if self._algorithm.order != order or not self._algorithm.trains(ctx.round):
            return None
        start = Model(self.layout, state.weights, state.buffers)
        return await host.fit(start, None, (self._algorithm, state.mine))

    async def _received(self, host: Host, number: int, *, last: bool) -> dict[str, Content]:
        """What is merged in a round, by sender: of it all is here that must be."""
        must = number if last else number - self._staleness
        most = number + self._staleness
        name = host.me.name

        @cache  # asked for each sender, each time that something came
        def sources(k: int) -> frozenset[str]:
            return frozenset(self._sources(name, k))

        fresh: dict[str, Content] = {}
        if self._staleness:
            senders = [each for each in self._topology.names if each != name]
            senders = [each for each in senders if each in self._topology.senders(name)]
        else:
            senders = list(self._sources(name, number))
        waited = dict.fromkeys(senders)
        while True:
            for sender in tuple(waited):
                reached = self._next.get(sender, 0) if self._staleness else number
                for k in range(reached, most + 1):
                    if sender not in sources(k):
                        continue
                    parcel = host.poll(k, sender)
                    if parcel is None:
                        reached = k
                        break
                    fresh[sender] = parcel.content
                else:
                    reached = most + 1
                if self._staleness:
                    self._next[sender] = reached
                if reached > must:
                    del waited[sender]
            if not waited:
                break
            await host.changed()
        if not self._staleness or self._algorithm.late == "once":
            return {each: fresh[each] for each in senders if each in fresh}
        self._last.update(fresh)
        return {each: self._last[each] for each in senders if each in self._last}

    def _sources(self, name: str, number: int) -> tuple[str, ...]:
        return self._algorithm.sources(self._topology, name, number, self.run.seed)

    # -- the state as a node saves it --------------------------------------------------------------

    def _kept(self, state: PairState, number: int) -> dict[str, Array | Scalar]:
        kept = {f"{_MINE}{name}": value for name, value in state.mine.items()}
        kept[_SENT] = number
        kept |= {f"{_NEXT}{sender}": reached for sender, reached in self._next.items()}
        for sender, content in self._last.items():
            kept |= {f"{_LAST}{sender}/{name}": value for name, value in content.items()}
        return kept

    def _restored(self, me: Me) -> PairState:
        mine: dict[str, Array | Scalar] = {}
        for name, value in me.state.items():
            if name.startswith(_MINE):
                mine[name.removeprefix(_MINE)] = value
            elif name.startswith(_NEXT):
                self._next[name.removeprefix(_NEXT)] = int(value)
            elif name.startswith(_LAST):
                sender, _, key = name.removeprefix(_LAST).partition("/")
                self._last.setdefault(sender, {})[key] = value  # type: ignore[index]
        return PairState(me.weights.vector, me.weights.buffers, mine)
