"""What a graph consists of as it was declared: supervisors, actors, and handles that link them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, Never, TypeVar

from actors.deploy import Process
from actors.errors import GraphError
from actors.ref import ActorRef
from actors.signals import Overflow
from actors.stray import stray
from actors.supervision import RestartType, Strategy

if TYPE_CHECKING:
    import pykka

    from actors.actor import Actor
    from actors.graph import ActorGraph

    A = TypeVar("A", bound=Actor | pykka.ThreadingActor)
    A_co = TypeVar("A_co", bound=Actor | pykka.ThreadingActor, covariant=True)
else:  # pykka is imported by those who use it
    A = TypeVar("A")
    A_co = TypeVar("A_co", covariant=True)

#: Containers within containers that are looked through for handles; one that holds itself would
#: otherwise never end.
_DEPTH = 32


#: What is asked of a handle where a reference is meant.
_OF_REFERENCES: Final = frozenset(
    {"tell", "ask", "ask_blocking", "send", "stop", "drain", "path", "uid", "node", "ref"}
)


@dataclass(frozen=True, eq=False, repr=False)
class Handle(Generic[A_co]):
    """An actor of a graph; given to another as constructor argument it links the two.

    Attributes:
        name: of the actor.
        cls: its class; None in a link to whatever will be declared by that name.
        graph: that it belongs to.
        mutual: whether it may close a circle of links.
    """

    name: str
    cls: type[A_co] | None
    graph: ActorGraph
    mutual: bool = False

    def __repr__(self) -> str:
        cls = getattr(self.cls, "__name__", self.cls) if self.cls else "of any class"
        return f"<Handle {self.name}: {cls}>"

    def __getattr__(self, name: str) -> Never:
        # Still an AttributeError, which who looks whether there is one expects.
        msg = (
            f"the handle of {self.name!r} has no {name!r}: it stands for an actor that is not "
            f"started; once the graph runs, live[{self.name!r}] is its reference"
            if name in _OF_REFERENCES
            else f"'Handle' object has no attribute {name!r}"
        )
        raise AttributeError(msg)


@dataclass(eq=False)
class ActorNode:
    """An actor as declared; the arguments hold handles where it will get references."""

    handle: Handle[Any]
    cls: Any
    arguments: dict[str, Any]
    place: Process | None
    restart: RestartType
    mailbox: int
    overflow: Overflow
    stop_timeout: float
    above: str

    @property
    def name(self) -> str:
        """Unique in the graph."""
        return self.handle.name

    def links(self) -> Iterator[tuple[str, Handle[Any]]]:
        """(parameter, handle) of each link, in the order of the arguments."""
        for parameter, value in self.arguments.items():
            for handle in handles_in(value, self.name, parameter):
                yield parameter, handle


@dataclass(eq=False)
class SupervisorNode:
    """A supervisor as declared, with its children in the order of their start."""

    name: str
    strategy: Strategy
    place: Process | None
    above: str
    children: list[SupervisorNode | ActorNode] = field(default_factory=list)

    def supervisors(self) -> Iterator[SupervisorNode]:
        """This one and all below it."""
        yield self
        for child in self.children:
            if isinstance(child, SupervisorNode):
                yield from child.supervisors()


def linked(value: Any, ref_of: Callable[[Handle[Any]], ActorRef]) -> Any:
    """The argument with each handle in it replaced by the reference."""
    if isinstance(value, Handle):
        return ref_of(value)
    if isinstance(value, dict):
        return {k: linked(v, ref_of) for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_make"):  # a named tuple
        return value._make(linked(v, ref_of) for v in value)
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(linked(v, ref_of) for v in value)
    return value


def handles_in(value: Any, actor: str, parameter: str, depth: int = 0) -> Iterator[Handle[Any]]:
    """The handles that `linked` would replace.

    Args:
        value: an argument.
        actor: that it is given to, for errors.
        parameter: that it is given as, for errors.
        depth: of the containers around it.

    Raises:
        GraphError: one stands where it would not be replaced, or too deep.
    """
    if isinstance(value, Handle):
        yield value
    elif isinstance(value, dict | list | tuple | set | frozenset):
        if depth == _DEPTH:
            msg = (
                f"{parameter!r} of {actor!r} holds containers more than {_DEPTH} deep, or itself; "
                "flatten it"
            )
            raise GraphError(msg)
        if isinstance(value, dict):
            for key in value:
                if isinstance(key, Handle) or stray(key, Handle):
                    raise _stays(actor, parameter, f"a key of a {type(value).__name__}")
        inner = value.values() if isinstance(value, dict) else value
        for one in _in_order(inner) if isinstance(value, set | frozenset) else inner:
            yield from handles_in(one, actor, parameter, depth + 1)
    else:
        where = stray(value, Handle)
        if where:
            raise _stays(actor, parameter, where)


def _stays(actor: str, parameter: str, where: str) -> GraphError:
    return GraphError(
        f"{parameter!r} of {actor!r} holds a handle in {where}, where it would not become a "
        "reference; give it as an argument, or in a list, tuple, set or dict"
    )


def _in_order(values: Any) -> list[Any]:
    # A set's own order changes from one process to the next, and drawings must not.
    return sorted(values, key=lambda one: one.name if isinstance(one, Handle) else "")
