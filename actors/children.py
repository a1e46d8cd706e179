"""The children of a supervisor, from outside: started, terminated, restarted and listed."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from actors import arguments as arguments_of
from actors.argumentcheck import check_arguments
from actors.blocking import ActorClass, actor_class
from actors.code import reference
from actors.errors import SpawnFailed, UsageError
from actors.given import check_ref, check_text, check_timeout
from actors.message import Message
from actors.names import check_name
from actors.options import check_options
from actors.ref import ActorRef
from actors.signals import ActorSpec, Overflow
from actors.supervision import RestartType

MAX_CHILDREN: Final = 100_000
"""Children of one supervisor; a client that starts them without end meets it."""


#: Keywords of ``Children.start`` that a constructor's own parameter cannot have.
_OPTIONS: Final = ("node", "restart", "mailbox", "overflow", "stop_timeout")


class ChildRecord(msgspec.Struct, frozen=True, array_like=True):
    """A child as its supervisor knows it.

    Attributes:
        name: last part of its path.
        ref: its reference.
        kind: name of its class.
        restart: permanent, transient or temporary.
        stage: down, starting, up, failed, halting, halted or ending.
        restarts: how often its supervisor restarted it.
    """

    name: str
    ref: ActorRef
    kind: str
    restart: str
    stage: str
    restarts: int


class StartAnswer(msgspec.Struct, frozen=True, array_like=True):
    """The child that was started, or why there is none."""

    ref: ActorRef | None
    refusal: str = ""


class StartChild(Message[StartAnswer]):
    """To a supervisor: start this beside the others; on ``node``, or on its own."""

    spec: ActorSpec
    node: str | None = None
    restart: RestartType = "permanent"


class TerminateChild(Message[bool]):
    """To a supervisor: stop that child for good."""

    name: str


class RestartChild(Message[bool]):
    """To a supervisor: restart that child, and those that its strategy takes along."""

    name: str


class WhichChildren(Message[tuple[ChildRecord, ...]]):
    """To a supervisor: whom do you supervise?"""


class Children:
    """The children of one supervisor, which may live on another node.

    Args:
        supervisor: reference of a ``Supervisor``.
        timeout: seconds that each request may take.

    Raises:
        UsageError: no reference, or no seconds from 0.
    """

    def __init__(self, supervisor: ActorRef, *, timeout: float = 30.0) -> None:
        check_ref("Children", supervisor)
        check_timeout("Children", timeout)
        self.supervisor = supervisor
        self._timeout = timeout

    async def start(
        self,
        name: str,
        cls: ActorClass,
        /,
        *,
        node: str | None = None,
        restart: RestartType = "permanent",
        mailbox: int = 10_000,
        overflow: Overflow = "reject",
        stop_timeout: float = 5.0,
        **arguments: Any,
    ) -> ActorRef:
        """Start a child and wait until it is up.

        It is supervised as the others, but for its first start: one that fails then is not
        restarted. The supervisor's own restart does not bring it back.

        Args:
            name: no other child's.
            cls: its class; it travels, as do its arguments, so it is defined in a file.
            node: the process that it lives in; the supervisor's own where not given.
            restart: permanent, transient or temporary.
            mailbox: bound of its mailbox, messages, at least 1.
            overflow: what a full mailbox does with one more: "reject", "drop_oldest", "drop_new".
            stop_timeout: seconds that it is given at stop, above 0.
            **arguments: of its constructor.

        Raises:
            SpawnFailed: the name is taken, there is no such process, or its start failed.
            UsageError: an option is none of those that exist, what is no name, or arguments that
                the constructor does not take or needs.
            CodeTravelError: its class or an argument does not travel.
        """
        check_options(
            name, restart=restart, mailbox=mailbox, overflow=overflow, stop_timeout=stop_timeout
        )
        check_name(name)
        if node is not None:
            check_text("start", "node=", node)
        actor_class(cls)
        check_arguments(name, cls, arguments, options=_OPTIONS)
        code = reference(cls)
        spec = ActorSpec(
            name=name,
            code=code.text,
            sha256=code.sha256,
            args=arguments_of.encode(self.supervisor.system.codec, cls, arguments),
            mailbox=mailbox,
            overflow=overflow,
            stop_timeout=stop_timeout,
        )
        answer = await self.supervisor.ask(StartChild(spec, node, restart), timeout=self._timeout)
        if answer.ref is None:
            raise SpawnFailed(answer.refusal)
        return answer.ref

    async def terminate(self, name: str) -> None:
        """Stop a child for good and wait until it is gone.

        Raises:
            UsageError: there is none of that name.
        """
        check_text("terminate", "a child's name", name)
        if not await self.supervisor.ask(TerminateChild(name), timeout=self._timeout):
            raise self._unknown(name)

    async def restart(self, name: str) -> None:
        """Have a child restarted, with those that the supervisor's strategy takes along.

        Raises:
            UsageError: there is none of that name.
        """
        check_text("restart", "a child's name", name)
        if not await self.supervisor.ask(RestartChild(name), timeout=self._timeout):
            raise self._unknown(name)

    async def list(self) -> tuple[ChildRecord, ...]:
        """Who they are, in the order of their start."""
        return await self.supervisor.ask(WhichChildren(), timeout=self._timeout)

    def _unknown(self, name: str) -> UsageError:
        return UsageError(f"{self.supervisor.path} has no child named {name!r}; list() tells whom")

    def __repr__(self) -> str:
        return f"<Children of {self.supervisor.path}>"
