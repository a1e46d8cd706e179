"""A node that averages with one neighbour at a time, at its own speed: the program of AD-PSGD.

What it asks, and what it answers, is durable with its state before it leaves, and arrives once. So
both of a pair have the mean or none has, whoever is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from actorfl.errors import BeyondHelp
from actorfl.exchange import Asked, Exchange
from actorfl.flatmodel import Model
from actorfl.layout import Layout, Vector
from actorfl.pairing import (
    Content,
    PairAlgorithm,
    PairState,
    begun,
    diverged,
    greater,
    merged,
    sent,
)
from actorfl.pairrounds import Host, context, rounds_of
from actorfl.parcel import Parcel, packed
from actorfl.statistics import gone, way
from actorfl.terms import Array
from actorfl.topology import Peers

if TYPE_CHECKING:
    from actorfl.algorithm import Scalar
    from actorfl.run import Run

#: Seconds after which one who was told busy asks again, drawn from 0 to here; twice as long after
#: each further one. About what an answer takes on a LAN, with its save.
_FIRST: Final = 0.002
_LONGEST: Final = 0.5
_ASK, _ANSWER, _OVER = "ask ", "answer ", "over "
_OF, _NUMBER, _MOVED, _BUFFER = "of", "number", "moved", "buffer/"


class ExchangeHost(Host, Protocol):
    """What such a program needs of a node's actor besides."""

    def first(self) -> tuple[str, int | str, Parcel] | None:
        """Receive the letter that came first; None where none is here."""
        ...


@dataclass
class PairExchanges:
    """The program of a node under ASP.

    Args:
        run: whose algorithm, topology and end they are.
        layout: of the model.
    """

    run: Run
    layout: Layout

    def __post_init__(self) -> None:
        assert isinstance(self.run.topology, Peers)
        assert isinstance(self.run.algorithm, PairAlgorithm)
        self._topology, self._algorithm = self.run.topology, self.run.algorithm
        self._done = 0  # steps
        self._moved: Vector | None = None  # which way training went, until it is gone
        self._over = f"{_OVER}{rounds_of(self.run)}"
        self._buffers: Mapping[str, Array] = {}  # integer ones, as they were after training
        self._said = False  # that it is over, to the neighbours
        self._ended: set[str] = set()  # neighbours that have said so

    async def go(self, host: ExchangeHost) -> None:
        """Do all steps that are left, and answer until no neighbour asks any more."""
        self._host = host
        me = host.me
        self._restore()
        near = self._topology.neighbours(me.name)
        for number in host.rounds(rounds_of(self.run)):
            self._done = number
            self._ctx = context(self.run, self.layout, me, number)
            if not me.state:
                model = begun(self._algorithm, self._ctx, self._exchange.model)
                if model.mine:
                    raise BeyondHelp(
                        f"{type(self._algorithm).__name__}.started keeps {', '.join(model.mine)}, "
                        "and nodes that average in pairs keep their model alone; return a state "
                        "without `mine`"
                    )
                self._exchange.model = model
            if not self._exchange.engaged:
                self._moved = await self._trained()
            most = _FIRST
            while near:  # a node without neighbours trains by itself
                if not self._exchange.engaged:
                    place = int(me.draw(f"peer {self._exchange.number}").integers(len(near)))
                    asked = self._exchange.ask(near[place])
                    await self._say(asked.of, f"{_ASK}{asked.number}", self._content(asked.of))
                if await self._answer():
                    break
                # A neighbour that waits for one who is away may be busy for hours.
                most = min(_LONGEST, 2 * most)
                await self._back_off(most)
            state = self._exchange.model
            if self._moved is not None:
                weights = gone(self.layout, state.weights, self._moved)
                state = replace(
                    state, weights=weights, buffers=greater(state.buffers, self._buffers)
                )
            self._exchange.model, self._moved, self._buffers = state, None, {}
            self._done = number + 1
            me.weights = Model(self.layout, state.weights, state.buffers)
            await host.ended(number, me.weights)
        self._done = rounds_of(self.run)
        self._ctx = context(self.run, self.layout, me, max(0, self._done - 1))
        if not self._said:
            for name in near:
                await host.hold(name, packed(None, {}), self._over)
            self._said = True
            await self._keep()
        while not self._ended.issuperset(near):
            async with self._news() as news:
                if not await self._serve():
                    await news
        me.state = self._kept()

    async def _trained(self) -> Vector | None:
        """Train at the present model, and answer meanwhile; which way it went."""
        state = self._exchange.model
        if not self._algorithm.trains(self._ctx.round):
            return None
        start = Model(self.layout, state.weights, state.buffers)
        fit = asyncio.ensure_future(self._host.fit(start, None, (self._algorithm, state.mine)))
        try:
            while not fit.done():
                async with self._news() as news:
                    if not await self._serve():
                        either: tuple[asyncio.Future[Any], ...] = (fit, news)
                        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            trained = fit.result()
        finally:
            fit.cancel()
        if not np.isfinite(trained.vector).all():
            raise BeyondHelp(diverged(self._host.me.name, self._ctx.round))
        self._buffers = trained.buffers
        return way(self.layout, start.vector, trained.vector)

    async def _answer(self) -> bool:
        """Wait until the open question is answered; whether with a mean."""
        before = self._exchange.model
        while self._exchange.engaged:
            async with self._news() as news:
                if not await self._serve():
                    await news
        return self._exchange.model is not before

    async def _back_off(self, most: float) -> None:
        """Answer others for a random while."""
        draw = self._host.me.draw(f"wait {self._exchange.number}")
        loop = asyncio.get_running_loop()
        end = loop.time() + float(draw.uniform(0, most))
        while (left := end - loop.time()) > 0:
            async with self._news() as news:
                if not await self._serve():
                    await asyncio.wait({news}, timeout=left)

    async def _serve(self) -> bool:
        """Take one letter; whether there was one."""
        found = self._host.first()
        if found is None:
            return False
        sender, tag, parcel = found
        exchange, word = self._exchange, str(tag)
        if word.startswith(_OVER):
            # A run that is resumed to a later end has another.
            if word == self._over:
                self._ended.add(sender)
        elif word.startswith(_ANSWER):
            number = int(word.removeprefix(_ANSWER))
            mean = None if "busy" in parcel.content else self._taken(sender, parcel.content)
            exchange.answered(sender, number, mean)
        elif exchange.engaged:
            number = int(word.removeprefix(_ASK))
            await self._say(sender, f"{_ANSWER}{number}", {"busy": True})
        else:
            number = int(word.removeprefix(_ASK))
            ctx = replace(self._ctx, sources=(sender,), targets=(sender,))
            exchange.model = merged(self._algorithm, ctx, exchange.model, {sender: parcel.content})
            await self._say(sender, f"{_ANSWER}{number}", self._content(sender))
        return True

    def _content(self, to: str) -> Content:
        """The model as it goes to a neighbour."""
        ctx = replace(self._ctx, targets=(to,))
        contents, _ = sent(self._algorithm, ctx, self._exchange.model)
        return contents[to]

    def _taken(self, sender: str, content: Content) -> PairState:
        """The state whose model the neighbour found: the mean, and the greater counters."""
        ctx = replace(self._ctx, sources=(sender,))
        state = merged(self._algorithm, ctx, self._exchange.model, {sender: content})
        return replace(state, weights=np.asarray(content["model"], np.float32))

    async def _say(self, to: str, tag: str, content: Content) -> None:
        await self._host.hold(to, packed(None, content), tag)
        await self._keep()

    async def _keep(self) -> None:
        state = self._exchange.model
        self._host.me.weights = Model(self.layout, state.weights, state.buffers)
        await self._host.keep(self._done, self._kept())

    @contextlib.asynccontextmanager
    async def _news(self) -> AsyncIterator[asyncio.Future[None]]:
        """What ends when something comes from now on; what was here before is to be looked for."""
        news = asyncio.ensure_future(self._host.changed())
        await asyncio.sleep(0)  # it waits now
        try:
            yield news
        finally:
            news.cancel()

    # -- the state as a node saves it --------------------------------------------------------------

    def _kept(self) -> dict[str, Array | Scalar]:
        exchange = self._exchange
        kept: dict[str, Array | Scalar] = {_NUMBER: exchange.number}
        if self._moved is not None:
            kept[_MOVED] = self._moved
            kept |= {f"{_BUFFER}{name}": array for name, array in self._buffers.items()}
        if exchange.asked is not None:
            kept[_OF] = exchange.asked.of
        kept |= {f"{self._over}/{name}": True for name in sorted(self._ended)}
        return kept | ({self._over: True} if self._said else {})

    def _restore(self) -> None:
        me = self._host.me
        kept: Mapping[str, Array | Scalar] = me.state
        number = int(kept.get(_NUMBER, 0))
        asked = Asked(str(kept[_OF]), number) if _OF in kept else None
        state = PairState(me.weights.vector, me.weights.buffers)
        self._exchange: Exchange[PairState] = Exchange(state, asked, number)
        self._buffers = {
            name.removeprefix(_BUFFER): np.asarray(array)
            for name, array in kept.items()
            if name.startswith(_BUFFER)
        }
        moved = kept.get(_MOVED)
        self._moved = None if moved is None else np.asarray(moved, np.float32)
        self._said = self._over in kept
        start = f"{self._over}/"
        self._ended = {n.removeprefix(start) for n in kept if n.startswith(start)}
