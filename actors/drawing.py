"""The drawing of a graph as SVG: a tree from left to right, links at its right.

Each actor has a row of its own and a supervisor stands at the middle of the rows below it, so to
the right of an actor there is never a box. Links use that: each leaves its actor to the right, goes
along a lane of the actor that it leads to, and comes back in that one's row.
"""

from __future__ import annotations

import os
import secrets
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from actors.errors import GraphError
from actors.outline import Outline, Row

# All in pixels of the drawing, at a size of letters that is read without a zoom.
_BOX: Final = 44.0
_ROW: Final = _BOX + 16.0
_GAP: Final = 44.0
_LANE: Final = 16.0
_MARGIN: Final = 24.0
_HEAD: Final = 64.0
_FOOT: Final = 40.0
_PAD: Final = 12.0
#: Links leave below the middle of a box and arrive above it.
_OFF: Final = 8.0
#: By how much the box of many alike shows a second one behind it.
_BEHIND: Final = 4.0
#: Width of a letter for a size of 1: 0.6 in all usual fonts of equal widths, and a little room.
_LETTER: Final = 0.61
_LONGEST: Final = 56

_COLORS: Final = ("#2563eb", "#c2410c", "#15803d", "#7e22ce", "#be123c", "#0e7490")
_CAPTION: Final = "line: supervises    arrow: is given a reference to"
_FONT: Final = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"


@dataclass(eq=False)
class Box:
    """Where a row stands.

    Attributes:
        row: what it shows.
        x: of its left edge.
        y: of its upper edge.
        width: of it, without the one that shows behind.
        lines: its two lines of text.
    """

    row: Row
    x: float
    y: float
    width: float
    lines: tuple[str, str]

    @property
    def middle(self) -> float:
        """The y of its middle."""
        return self.y + _BOX / 2

    @property
    def right(self) -> float:
        """The x at which links leave and arrive."""
        return self.x + self.width + (_BEHIND if len(self.row.names) > 1 else 0.0)


@dataclass(eq=False)
class Lane:
    """The way of all links to one box.

    Attributes:
        to: the box that they lead to.
        x: of its vertical part.
        color: of all of it.
        sources: the boxes that they come from.
    """

    to: Box
    color: str
    sources: list[Box] = field(default_factory=list)
    x: float = 0.0

    @property
    def span(self) -> tuple[float, float]:
        """The y of its upper and its lower end."""
        ends = [self.to.middle - _OFF, *(one.middle + _OFF for one in self.sources)]
        return min(ends), max(ends)


@dataclass(frozen=True)
class Layout:
    """Where everything of a drawing stands.

    Attributes:
        boxes: by row.
        lanes: one for each box that links lead to.
        width: of the drawing.
        height: of the drawing.
    """

    boxes: dict[Row, Box]
    lanes: list[Lane]
    width: float
    height: float


def lay_out(outline: Outline) -> Layout:
    """Find a place for everything."""
    boxes: dict[Row, Box] = {}
    widths: dict[int, float] = {}
    _measure(outline.roots, 0, widths)
    columns: list[tuple[float, float]] = []
    x = _MARGIN
    for depth in range(len(widths)):
        columns.append((x, widths[depth]))
        x += widths[depth] + _GAP
    y = _HEAD
    for root in outline.roots:
        y = _place(root, y, columns, boxes)
    lanes = _lanes(boxes)
    right = max((box.right for box in boxes.values()), default=_MARGIN)
    for box in boxes.values():
        if box.row.links:
            right = max(right, box.right + 2 * 6.0 + _wide(_given(box.row), 11))
    for lane in lanes:
        lane.x += right + _LANE
    head = max(_wide(outline.name, 18), _wide(outline.about, 12), _wide(_CAPTION, 11)) + _MARGIN
    edge = max([right, head, *(lane.x for lane in lanes)])
    return Layout(boxes, lanes, edge + _MARGIN, y + _FOOT)


def _measure(rows: Iterable[Row], depth: int, widths: dict[int, float]) -> None:
    for row in rows:
        first, second = _lines(row)
        needed = max(_wide(first, 13), _wide(second, 11)) + 2 * _PAD
        widths[depth] = max(widths.get(depth, 0.0), needed)
        _measure(row.children, depth + 1, widths)


def _place(
    row: Row, y: float, columns: list[tuple[float, float]], boxes: dict[Row, Box], depth: int = 0
) -> float:
    """Place a row and those below it from ``y`` on; the y of what comes next."""
    x, width = columns[depth]
    box = boxes[row] = Box(row, x, y, width, _lines(row))
    if not row.children:
        return y + _ROW
    for child in row.children:
        y = _place(child, y, columns, boxes, depth + 1)
    box.y = (boxes[row.children[0]].y + boxes[row.children[-1]].y) / 2
    return y


def _lanes(boxes: dict[Row, Box]) -> list[Lane]:
    """The lanes, those that are side by side at different x from 0 on."""
    by_target: dict[Row, Lane] = {}
    for box in boxes.values():
        for _, to in box.row.links:
            if to not in by_target:
                color = _COLORS[len(by_target) % len(_COLORS)]
                by_target[to] = Lane(boxes[to], color)
            by_target[to].sources.append(box)
    # A short one nearer to the boxes crosses fewer others.
    lanes = sorted(by_target.values(), key=lambda lane: lane.span[1] - lane.span[0])
    taken: list[list[tuple[float, float]]] = []
    for lane in lanes:
        upper, lower = lane.span
        free = [
            index
            for index, spans in enumerate(taken)
            if all(lower + 4 < one[0] or one[1] + 4 < upper for one in spans)
        ]
        if not free:
            taken.append([])
        index = free[0] if free else len(taken) - 1
        taken[index].append((upper, lower))
        lane.x = index * _LANE
    return lanes


def svg(outline: Outline) -> str:
    """The drawing as the text of an SVG file that needs nothing else."""
    layout = lay_out(outline)
    width, height = _n(layout.width), _n(layout.height)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{_FONT}">',
        f"<title>{_safe(outline.name)}: {_safe(outline.about)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(_MARGIN, 32, 18, outline.name, "#0f172a", bold=True),
        _text(_MARGIN, 50, 12, outline.about, "#64748b"),
        *_tree(layout),
        *_links(layout),
        *(_box(box) for box in layout.boxes.values()),
        _text(_MARGIN, layout.height - 16, 11, _CAPTION, "#64748b"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _tree(layout: Layout) -> Iterator[str]:
    for box in layout.boxes.values():
        for child in (layout.boxes[row] for row in box.row.children):
            bend = child.x - _GAP / 2
            yield (
                f'<path d="M{_n(box.right)} {_n(box.middle)}H{_n(bend)}V{_n(child.middle)}'
                f'H{_n(child.x)}" fill="none" stroke="#94a3b8" stroke-width="1.5"/>'
            )


def _links(layout: Layout) -> Iterator[str]:
    lanes_of: dict[Box, list[Lane]] = {}
    for lane in layout.lanes:
        for source in lane.sources:
            lanes_of.setdefault(source, []).append(lane)
    for source, lanes in lanes_of.items():
        far = max(lanes, key=lambda lane: lane.x)
        color = far.color if len(lanes) == 1 else "#64748b"
        y = source.middle + _OFF
        yield _line(f"M{_n(source.right)} {_n(y)}H{_n(far.x)}", color)
        yield _text(source.right + 6, y + 12, 11, _given(source.row), color)
    for lane in layout.lanes:
        upper, lower = lane.span
        end, y = lane.to.right, lane.to.middle - _OFF
        yield _line(
            f"M{_n(lane.x)} {_n(upper)}V{_n(lower)}M{_n(lane.x)} {_n(y)}H{_n(end)}", lane.color
        )
        yield (f'<path d="M{_n(end)} {_n(y)}l8 -4v8z" fill="{lane.color}"/>')
        for source in lane.sources:
            y = source.middle + _OFF
            yield f'<circle cx="{_n(lane.x)}" cy="{_n(y)}" r="2.5" fill="{lane.color}"/>'


def _box(box: Box) -> str:
    supervisor = not box.row.names
    fill, stroke = ("#e2e8f0", "#475569") if supervisor else ("#ffffff", "#0f172a")
    size = f'width="{_n(box.width)}" height="{_n(_BOX)}" rx="{"12" if supervisor else "3"}"'
    paint = f'fill="{fill}" stroke="{stroke}"'
    behind = ""
    if len(box.row.names) > 1:
        x, y = _n(box.x + _BEHIND), _n(box.y + _BEHIND)
        behind = f'<rect x="{x}" y="{y}" {size} {paint}/>'
    first, second = box.lines
    names = box.row.names
    shown = f"{names[0]} … {names[-1]}" if len(names) > 1 else box.row.title
    return (
        f"<g><title>{_safe(shown)}: {_safe(box.row.details)}</title>{behind}"
        f'<rect class="box" x="{_n(box.x)}" y="{_n(box.y)}" {size} {paint}/>'
        + _text(box.x + _PAD, box.y + 19, 13, first, "#0f172a", bold=True)
        + _text(box.x + _PAD, box.y + 35, 11, second, "#475569")
        + "</g>"
    )


def draw(outline: Outline, path: Path) -> None:
    """Write the drawing; what was there is replaced as a whole.

    Raises:
        GraphError: another suffix than ``.svg``, or the file cannot be written.
    """
    if path.suffix.lower() != ".svg":
        msg = f"draw({str(path)!r}) writes SVG alone: end the name in .svg, or print(graph.text())"
        raise GraphError(msg)
    if not path.parent.is_dir():
        msg = f"draw({str(path)!r}) finds no directory {str(path.parent)!r}; make it first"
        raise GraphError(msg)
    content = svg(outline)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            temporary.write_text(content, encoding="utf-8")
            os.replace(temporary, path)  # noqa: PTH105  (one call, which either is done or is not)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        msg = f"draw({str(path)!r}) cannot write there: {error.strerror}; choose another place"
        raise GraphError(msg) from error


# -- text ------------------------------------------------------------------------------------------


def _given(row: Row) -> str:
    """The parameters by which the links of a row are given, each once."""
    names = dict.fromkeys(name for given, _ in row.links for name in given.split(", "))
    return _short(", ".join(names))


def _lines(row: Row) -> tuple[str, str]:
    return _short(row.heading), _short(row.details)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _wide(text: str, size: float) -> float:
    """The width of a text; letters of East Asia take two places."""
    places = sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)
    return places * size * _LETTER


def _line(path: str, color: str) -> str:
    return f'<path d="{path}" fill="none" stroke="{color}" stroke-width="1.5"/>'


def _text(x: float, y: float, size: int, text: str, color: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" font-size="{size}" fill="{color}"{weight} '
        f'xml:space="preserve">{_safe(text)}</text>'
    )


def _safe(text: str) -> str:
    # XML has no way to write most of what cannot be printed.
    return escape("".join(one if one.isprintable() else "?" for one in text))


def _n(value: float) -> str:
    """A number as short as it can be written."""
    return f"{value:.1f}".removesuffix(".0")
