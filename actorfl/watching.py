"""The loop of ``actorfl top``: looks, draws, waits, until what it looks at has gone."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import msgspec
from rich.console import Console
from rich.live import Live

import actors
from actorfl.attaching import address_of
from actorfl.top import drawn, rates
from actors import LiveState, ObserveError, Observer, observe

__all__ = ["address_of", "watch"]

_SHORTEST: Final = 1.0
"""Seconds between the two looks of ``--once`` at most: rates need two."""

#: Columns of a table that goes into a file or a pipe, which has no width of its own.
_WIDTH: Final = 160


class Lines(Protocol):
    """Where lines are written to."""

    @property
    def closed(self) -> bool:
        """Whether nobody reads any more."""

    def line(self, text: str) -> None:
        """Write a line."""


def watch(address: str, *, once: bool, as_json: bool, interval: float, say: Lines) -> None:
    """Show what is seen at an address.

    Args:
        address: where it can be observed.
        once: end after the first picture.
        as_json: a line of JSON each, instead of tables.
        interval: seconds from one look to the next.
        say: where lines are written to, where that is no terminal.

    Raises:
        ObserveError: nobody answers there.
        transports.AddressError: it is no address that can be dialled.
    """
    actors.run(_watch(address, once, as_json, interval, say))


async def _watch(address: str, once: bool, as_json: bool, interval: float, say: Lines) -> None:
    console = Console()
    async with observe(address) as observer:
        state = await observer.state()
        if as_json:
            await _lines(observer, state, once, interval, say)
        elif once:
            await asyncio.sleep(min(interval, _SHORTEST))
            say.line(text(await observer.state(), state, console))
        elif console.is_terminal:
            await _screen(observer, state, interval, console)
        else:
            before: LiveState | None = None
            now: LiveState | None = state
            while now is not None and not say.closed:
                say.line(text(now, before, console))
                await asyncio.sleep(interval)
                before, now = now, await _next(observer)


async def _lines(
    observer: Observer, state: LiveState, once: bool, interval: float, say: Lines
) -> None:
    now: LiveState | None = state
    while now is not None and not say.closed:
        say.line(msgspec.json.encode(now).decode())
        if once:
            return
        await asyncio.sleep(interval)
        now = await _next(observer)


async def _next(observer: Observer) -> LiveState | None:
    """The next look; None where there is nothing to look at any more."""
    while True:
        try:
            return await observer.state()
        except ObserveError as error:
            if error.gone:
                return None


async def _screen(observer: Observer, state: LiveState, interval: float, console: Console) -> None:
    """Draw over what was drawn, until what is looked at has gone."""
    before: LiveState | None = None
    note = ""
    with Live(console=console, auto_refresh=False, screen=False) as screen:
        while True:
            picture = drawn(state, rates(before, state), lines=console.size.height, note=note)
            screen.update(picture, refresh=True)
            await asyncio.sleep(interval)
            try:
                before, state, note = state, await observer.state(limit=3 * interval + 3), ""
            except ObserveError as error:
                if error.gone:
                    break
                note = "does not answer"
    console.print(f"{observer.address} has ended", style="dim")


def text(state: LiveState, before: LiveState | None, console: Console) -> str:
    """Return one look as text, all of it.

    Args:
        state: what is seen.
        before: what was seen before, for the rates.
        console: where it goes.
    """
    width = console.width if console.is_terminal else _WIDTH
    wide = Console(width=width, no_color=not console.is_terminal, highlight=False)
    with wide.capture() as captured:
        wide.print(drawn(state, rates(before, state)))
    return captured.get().rstrip("\n")
