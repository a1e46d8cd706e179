"""What can be seen to be wrong with a graph before anything of it starts."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from actors import arguments as arguments_of
from actors.argumentcheck import check_arguments
from actors.blocking import actor_class
from actors.code import reference
from actors.codec import Codec
from actors.declared import ActorNode, Handle, linked
from actors.deploy import Deployment, Simulated
from actors.errors import (
    CannotEncode,
    CodeTravelError,
    GraphError,
    HandlerError,
    UsageError,
)
from actors.handlers import handlers_of
from actors.linktypes import accepts
from actors.placement import check_names, placed
from actors.ref import ActorRef
from actors.suggest import among
from transports import Limits

if TYPE_CHECKING:
    from actors.graph import ActorGraph

#: Bytes around the arguments in the message that has an actor made: names, path, code, node. Each
#: is bounded far below.
_AROUND = 32 << 10

#: Keywords of ``ActorGraph.actor`` that a constructor's own parameter cannot have.
_TAKEN = ("place", "restart", "mailbox", "overflow", "stop_timeout")


def check(graph: ActorGraph, on: Deployment, limits: Limits | None = None) -> dict[str, str]:
    """Check everything that can be checked without starting; see ``ActorGraph.validate``.

    Args:
        graph: as declared.
        on: the deployment.
        limits: of the launcher's node, the default ones where not given.

    Returns:
        Name of the node of each actor, by its name.
    """
    if not graph.declared:
        msg = f"graph {graph.name!r} has no actors; declare at least one"
        raise GraphError(msg)
    nodes = placed(graph.name, graph.declared, on)
    check_links(graph)
    check_cycles(graph)
    limits = limits or Limits()
    codec = Codec(ActorRef, lambda ref: ref.parts, _nowhere)
    for name, actor in graph.declared.items():
        _check_made(graph, actor)
        if nodes[name] != graph.name:
            _check_travel(actor, nodes, limits, codec)
    if isinstance(on, Simulated):
        on.running_loop()
    check_names(graph.name, nodes, on)
    return nodes


def check_links(graph: ActorGraph) -> None:
    """Refuse links that lead nowhere.

    Raises:
        GraphError: to an actor that does not exist, or of another graph.
    """
    for actor in graph.declared.values():
        for parameter, handle in actor.links():
            if handle.graph is not graph:
                msg = (
                    f"{actor.name!r} is linked to {handle.name!r} by {parameter!r}, which graph "
                    f"{graph.name!r} does not have: it is of graph {handle.graph.name!r}"
                )
                raise GraphError(msg)
            _check_link(graph, handle, f"{actor.name!r} is linked by {parameter!r} to")
    for handle in graph.links:
        _check_link(graph, handle, "link() was asked for")


def _check_link(graph: ActorGraph, handle: Handle[Any], who: str) -> None:
    known = graph.declared.get(handle.name)
    if known is None:
        msg = (
            f"{who} {handle.name!r}, which graph {graph.name!r} does not have; "
            f"{among(str(handle.name), list(graph.declared))}"
        )
        raise GraphError(msg)
    if handle.cls is not None and not _is_a(known.cls, handle.cls):
        msg = (
            f"{who} {handle.name!r} as {_class(handle.cls)}, but that is declared with "
            f"{_class(known.cls)}; make the two agree"
        )
        raise GraphError(msg)


def check_cycles(graph: ActorGraph) -> None:
    """Refuse constructor arguments that lead in a circle, unless one of the links is mutual.

    Raises:
        GraphError: with the circle spelled out.
    """
    after: TopologicalSorter[str] = TopologicalSorter()
    for actor in graph.declared.values():
        links = [one for _, one in actor.links()]
        after.add(
            actor.name, *(one.name for one in links if not one.mutual or one.name == actor.name)
        )
    try:
        after.prepare()
    except CycleError as error:
        # Each comes before the next one there, which is linked to it: read from its end.
        circle = list(reversed(error.args[1]))
        start = circle.index(min(circle[:-1], key=list(graph.declared).index))
        shown = [*circle[start:-1], *circle[: start + 1]]
        if len(shown) == 2:
            msg = f"{shown[0]!r} is linked to itself; in its handlers it is self.ref"
        else:
            msg = (
                f"constructor arguments lead in a circle: {' -> '.join(shown)}; send one of "
                "them the other's reference in a message instead, or let peers know each other by "
                "link(..., mutual=True)"
            )
        raise GraphError(msg) from None


def _check_made(graph: ActorGraph, actor: ActorNode) -> None:
    """Class, handlers and arguments fit each other."""
    try:
        handlers_of(actor_class(actor.cls))
    except HandlerError:
        raise
    except UsageError as error:
        msg = f"{actor.name!r} is declared with {actor.cls!r}, which is not an actor class"
        raise GraphError(msg) from error
    check_arguments(actor.name, actor.cls, actor.arguments, options=_TAKEN, in_graph=True)
    if not any(True for _ in actor.links()):
        return
    try:
        hints = arguments_of.hints_of(actor.cls)
    except UsageError:
        return  # within a process nobody has to read them
    for parameter, value in actor.arguments.items():
        if parameter not in hints:
            continue
        wrong = accepts(hints[parameter], value, lambda handle: graph.declared[handle.name].cls)
        if wrong is not None:
            handle, wanted = wrong
            cls = _class(graph.declared[handle.name].cls)
            msg = (
                f"{parameter!r} of {actor.name!r} is linked to {handle.name!r}, {cls}, but "
                f"{_class(actor.cls)} wants {wanted} there; link another actor, or annotate it "
                f"ActorRef[{cls}]"
            )
            raise GraphError(msg)


def _check_travel(actor: ActorNode, nodes: dict[str, str], limits: Limits, codec: Codec) -> None:
    """Class and arguments can cross to the process that the actor is placed in."""

    def ref_of(handle: Handle[Any]) -> ActorRef:
        return _nowhere(nodes[handle.name], handle.name, 1)

    try:
        reference(actor.cls)
        arguments = {k: linked(v, ref_of) for k, v in actor.arguments.items()}
        encoded = arguments_of.encode(codec, actor.cls, arguments)
        arguments_of.decode(codec, actor.cls, encoded)
    except UsageError as error:
        place = nodes[actor.name]
        msg = f"{actor.name!r} cannot be placed in process {place!r}: {error}"
        kind = CodeTravelError if isinstance(error, CannotEncode) else type(error)
        raise (kind if kind is not UsageError else CodeTravelError)(msg) from error
    size = sum(len(name) + len(body) for name, body in encoded.items())
    if size + _AROUND > limits.max_message:
        largest = max(encoded, key=lambda name: len(encoded[name]))
        msg = (
            f"{actor.name!r} cannot be placed in process {nodes[actor.name]!r}: its arguments "
            f"take {size} bytes ({largest!r} {len(encoded[largest])} of them), over the "
            f"{limits.max_message - _AROUND} that travel with the order to make it; give it a "
            "path to read, or send it a message"
        )
        raise CodeTravelError(msg)


def _nowhere(node: str, path: str, uid: int) -> ActorRef:
    system: Any = None  # it is encoded and decoded, and nothing is sent to it
    return ActorRef(system, node, path, uid)


def _is_a(cls: Any, wanted: Any) -> bool:
    return isinstance(cls, type) and isinstance(wanted, type) and issubclass(cls, wanted)


def _class(cls: Any) -> str:
    return getattr(cls, "__qualname__", None) or repr(cls)
