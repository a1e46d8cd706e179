"""The commands ``actorfl topology ...``."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actorfl.saying import EPILOG, Output, can_write, told_in_one_line

if TYPE_CHECKING:
    from actorfl.mixing import Mixing
    from actorfl.registry import Slot
    from actorfl.topology import Topology

topology = typer.Typer(name="topology", help="Look at who talks to whom.", no_args_is_help=True)


@topology.command(epilog=EPILOG)
def show(
    what: Annotated[
        list[str],
        typer.Argument(
            help="A configuration, a file of edges or GraphML; or a kind and its fields, such as "
            "'ring 16' or 'regular nodes=100 degree=4'.",
            metavar="FILE|KIND [NODES] [KEY=VALUE]",
        ),
    ],
    mixing: Annotated[
        str,
        typer.Option(
            help="'metropolis', 'uniform' or 'best-constant'; without it that of a configuration's "
            "algorithm, else the first, or the second where links go one way only.",
            show_default=False,
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="Also draw it into this file, .png or .svg.", metavar="FILE"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON object to standard output.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Tell a graph's degrees, diameter and spectral gap, and draw it."""
    # A class of the user's own may print.
    with told_in_one_line(debug=debug), contextlib.redirect_stdout(sys.stderr):
        from actorfl.graphs import picture, report
        from actorfl.mixing import mixing_of
        from actorfl.topology import Peers

        if out is not None:
            picture.check(out)
        graph, own = _topology(what)
        found = report.report_on(graph, mixing_of(mixing) if mixing else own)
        if out is not None:
            assert isinstance(graph, Peers), "else there is no report"
            picture.draw(graph, out)
    say = Output(sys.stdout)
    if as_json:
        say.line(json.dumps(found.summary()))
        return
    for line in found.lines(report.BLOCKS if can_write(report.BLOCKS) else report.ASCII):
        say.line(line)


def _topology(what: Sequence[str]) -> tuple[Topology, Mixing | None]:
    """The topology that the arguments name, and the mixing of a configuration's algorithm."""
    from actorfl import config
    from actorfl.algorithms.mixed import Mixed
    from actorfl.config import Place
    from actorfl.errors import MissingKey, NotToml, UnknownKey
    from actorfl.graphs import report
    from actorfl.registry import SLOTS, resolve

    first, *rest = what
    slot, base = SLOTS["topology"], Path.cwd()
    given = {"by": "", "example": "degree=4, or the number of nodes"}
    settings = [f"nodes={each}" if each.isdecimal() else each for each in rest]
    keys = [each.partition("=")[0].strip() for each in settings]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise NotToml(f"{' '.join(rest)}: `{twice[0]}` is given twice; leave one out")
    value: Any
    mixing: Mixing | None = None
    if Path(first).suffix == ".toml":
        table, settled = config.override(config.read(first), settings, **given)
        if slot.name not in table:
            raise MissingKey(slot.name, first, "(it is no configuration of a run)")
        place, value, base = (
            Place(first, (slot.name,), settled, by="the command line"),
            table[slot.name],
            Path(first).parent,
        )
        if "algorithm" in table:
            place_of = Place(first, ("algorithm",), settled, by="the command line")
            algorithm = config.build(SLOTS["algorithm"], table["algorithm"], place_of, base)
            mixing = algorithm.mixing if isinstance(algorithm, Mixed) else None
    else:
        fields, _ = config.override({}, settings, **given)
        if first in slot.kinds or ":" in first:
            report.check_kind(resolve(slot, first, "the command line", base))
        elif not (Path(first).suffix or (base / first).exists()):
            raise UnknownKey("graph", first, "(a file ends in .toml, .edges, ...)", _graphs(slot))
        place, value = Place("the command line"), {"kind": first, **fields} if fields else first
    found: Topology = config.build(slot, value, place, base)
    return found, mixing


def _graphs(slot: Slot) -> list[str]:
    """The kinds that are graphs, and so can be shown."""
    from actorfl.peersampling.topologies import Sampled
    from actorfl.registry import resolve
    from actorfl.topology import Peers

    found = ((kind, resolve(slot, kind, kind, Path())) for kind in slot.kinds)
    return [kind for kind, cls in found if issubclass(cls, Peers) and not issubclass(cls, Sampled)]
