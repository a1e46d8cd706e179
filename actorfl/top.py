"""What ``actorfl top`` shows: the tree of actors and the nodes with their links, as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from actors import LiveActor, LiveNode, LiveState
from transports.statistics import LaneStatistics, LinkStatistics

Item = TypeVar("Item")

_OLD: Final = 1.0
"""Seconds from which on a message that waits is worth a colour."""

_COLOURS: Final[Mapping[str, str]] = {
    "up": "green", "running": "green", "starting": "yellow", "stopping": "yellow",
    "connecting": "yellow", "failed": "red", "stuck": "red", "unknown": "red", "down": "red",
}  # fmt: skip

#: Lines of a screen that are not rows of tables: titles, heads, rules, the lines between.
_FRAME: Final = 10


@dataclass(frozen=True)
class Rates:
    """What changed from one look to the next, per second.

    Attributes:
        seconds: between the two; 0 where there was but one.
        handled: messages by (path, node) of an actor.
        lanes: (bytes out, bytes in, messages out, messages in) by (node, peer, lane).
    """

    seconds: float
    handled: Mapping[tuple[str, str], float]
    lanes: Mapping[tuple[str, str, str], tuple[float, float, float, float]]


def rates(before: LiveState | None, now: LiveState) -> Rates:
    """Compare two looks.

    A number that went down was counted anew, after a restart: that one begins at 0.

    Args:
        before: the earlier one, None where there is none.
        now: the later one.
    """
    seconds = 0.0 if before is None else now.now - before.now
    if before is None or seconds <= 0.0:
        return Rates(0.0, {}, {})

    def rate(earlier: float, later: float) -> float:
        return (later - (earlier if earlier <= later else 0.0)) / seconds

    handled = {(a.path, a.node): a.handled for a in before.actors}
    lanes = dict(_counts(before))
    return Rates(
        seconds,
        {
            (a.path, a.node): rate(handled[a.path, a.node], a.handled)
            for a in now.actors
            if (a.path, a.node) in handled
        },
        {
            key: (
                rate(was[0], has[0]),
                rate(was[1], has[1]),
                rate(was[2], has[2]),
                rate(was[3], has[3]),
            )
            for key, has in _counts(now)
            if (was := lanes.get(key)) is not None
        },
    )


def _counts(
    state: LiveState,
) -> Iterator[tuple[tuple[str, str, str], tuple[int, int, int, int]]]:
    for node in state.nodes:
        for link in node.links:
            for name, lane in (("control", link.control), ("bulk", link.bulk)):
                counts = (lane.bytes_out, lane.bytes_in, lane.messages_out, lane.messages_in)
                yield (node.name, str(link.peer), name), counts


def drawn(
    state: LiveState, since: Rates, *, lines: int | None = None, note: str = ""
) -> RenderableType:
    """Draw one look.

    Args:
        state: what was seen.
        since: what changed since the look before.
        lines: of the screen; what does not fit is counted, what is in trouble is kept. None shows
            everything.
        note: said above it.
    """
    links = [(node, link) for node in state.nodes for link in node.links]
    rows = None if lines is None else max(3, lines - _FRAME)
    # A third of the screen for nodes, a third for links, where they need so much.
    some_nodes, more_nodes = _some(
        state.nodes, None if rows is None else max(1, rows // 4), lambda n: n.state != "up"
    )
    left = None if rows is None else rows - len(some_nodes)
    some_links, more_links = _some(
        links, None if left is None else max(1, left // 3), lambda each: each[1].state != "up"
    )
    left = None if left is None else left - 2 * len(some_links)
    some_actors, more_actors = _some(
        state.actors, None if left is None else max(1, left), _in_trouble
    )
    parts: list[RenderableType] = [_heading(state, note)]
    parts.append(_actors(some_actors, since, more_actors + state.more))
    parts.append(_nodes(some_nodes, more_nodes))
    if links:
        parts.append(_links(some_links, since, more_links))
    return Group(*parts)


def _some(
    items: Sequence[Item], most: int | None, trouble: Callable[[Item], bool]
) -> tuple[list[Item], int]:
    """Those that are shown, in order, and how many are not: trouble first, then who comes first."""
    if most is None or len(items) <= most:
        return list(items), 0
    first = sorted(range(len(items)), key=lambda index: (not trouble(items[index]), index))[:most]
    return [items[index] for index in sorted(first)], len(items) - most


def _in_trouble(actor: LiveActor) -> bool:
    return actor.state != "running" or (actor.oldest or 0.0) > _OLD


def _heading(state: LiveState, note: str) -> Text:
    launcher = state.nodes[0]
    up = sum(node.state == "up" for node in state.nodes)
    restarts = sum(actor.restarts for actor in state.actors)
    letters = sum(node.dead_letters or 0 for node in state.nodes)
    heading = Text.assemble(
        (launcher.name, "bold"),
        f"  nodes {up}/{len(state.nodes)} up  actors {len(state.actors) + state.more}"
        f"  restarts {restarts}  dead letters {letters}",
    )
    if note:
        heading.append(f"  {note}", "red")
    return heading


def _table(title: str, more: int, *heads: str, left: int = 1) -> Table:
    """A table whose first columns are text, aligned to the left, and the others numbers."""
    caption = f"and {more} more" if more else None
    table = Table(
        title=title, title_justify="left", title_style="bold", caption=caption,
        caption_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0),
    )  # fmt: skip
    for index, head in enumerate(heads):
        # What does not fit is cut at its end, so that each row stays one line.
        table.add_column(
            head, justify="left" if index < left else "right", no_wrap=True, overflow="ellipsis"
        )
    return table


def _actors(actors: Sequence[LiveActor], since: Rates, more: int) -> Table:
    table = _table(
        "Actors", more, "actor", "class", "node", "state", "mailbox", "oldest", "restarts",
        "handled", "msg/s", left=4,
    )  # fmt: skip
    for actor in actors:
        old = actor.oldest is not None and actor.oldest > _OLD
        table.add_row(
            Text("  " * actor.depth + actor.name),
            Text(actor.kind),
            Text(actor.node),
            _state(actor.state),
            f"{actor.mailbox}/{actor.bound}",
            Text("" if actor.oldest is None else duration(actor.oldest), "red" if old else ""),
            str(actor.restarts),
            str(actor.handled),
            _per_second(since.handled.get((actor.path, actor.node))),
        )
    return table


def _nodes(nodes: Sequence[LiveNode], more: int) -> Table:
    table = _table(
        "Nodes", more, "node", "state", "pid", "starts", "actors", "links", "dead letters", "asks",
        left=2,
    )  # fmt: skip
    for node in nodes:
        told = node.dead_letters is not None
        table.add_row(
            Text(node.name),
            _state(node.state),
            "" if node.pid is None else str(node.pid),
            str(node.starts),
            str(node.actors + node.more) if told else "",
            str(len(node.links)) if told else "",
            str(node.dead_letters) if told else "",
            str(node.asks) if told else "",
        )
    return table


def _links(links: Sequence[tuple[LiveNode, LinkStatistics]], since: Rates, more: int) -> Table:
    table = _table(
        "Links", more, "link", "lane", "state", "queued", "out", "in", "out/s", "in/s", "msg/s out",
        "msg/s in", left=3,
    )  # fmt: skip
    for node, link in links:
        for name, lane in (("control", link.control), ("bulk", link.bulk)):
            changed = since.lanes.get((node.name, str(link.peer), name))
            table.add_row(
                Text(f"{node.name} - {link.peer.name}" if name == "control" else ""),
                name,
                _state(_lane_state(link, lane)),
                size(lane.held),
                size(lane.bytes_out),
                size(lane.bytes_in),
                *("", "", "", "")
                if changed is None
                else (
                    size(changed[0]),
                    size(changed[1]),
                    _per_second(changed[2]),
                    _per_second(changed[3]),
                ),
            )
    return table


def _lane_state(link: LinkStatistics, lane: LaneStatistics) -> str:
    return lane.state if link.state == "up" else link.state


def _state(state: str) -> Text:
    return Text(state, _COLOURS.get(state, ""))


def _per_second(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


def duration(seconds: float) -> str:
    """Return seconds for people: "4 ms", "2.5 s", "12 min", "3.1 h"."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.5:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.3g} h"


def size(count: float) -> str:
    """Return a number of bytes with three digits and a decimal unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
