"""What a simulated loop refuses: everything whose outcome the seed does not decide."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from transports.sim.errors import RealWorldError

_INSTEAD = {
    "run_in_executor": "threads run when the system likes; await the work, or call it on the loop",
    "set_default_executor": "threads run when the system likes; await the work instead",
    "add_signal_handler": "signals come when the system likes; cancel the task instead",
    "remove_signal_handler": "signals come when the system likes; cancel the task instead",
    "subprocess_exec": "run the node in this process, as a node of the simulated network",
    "subprocess_shell": "run the node in this process, as a node of the simulated network",
}
_NETWORK = "use the simulated network: its context for an Endpoint, addresses sim://name"


def refuse(name: str) -> NoReturn:
    """Say that ``loop.<name>`` does not exist in simulated time, and what to do instead.

    Raises:
        RealWorldError: always.
    """
    raise RealWorldError(
        f"loop.{name}() is not possible in simulated time: {_INSTEAD.get(name, _NETWORK)}"
    )


def _call(name: str) -> Callable[..., Any]:
    def refused(*_: object, **__: object) -> NoReturn:
        refuse(name)

    return refused


def _coroutine(name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def refused(*_: object, **__: object) -> NoReturn:
        refuse(name)

    return refused


class UnrealLoop(asyncio.AbstractEventLoop):
    """An event loop of which everything that touches the real world is refused with a sentence."""

    run_in_executor: Any = _call("run_in_executor")
    set_default_executor: Any = _call("set_default_executor")
    add_signal_handler: Any = _call("add_signal_handler")
    remove_signal_handler: Any = _call("remove_signal_handler")
    add_reader: Any = _call("add_reader")
    remove_reader: Any = _call("remove_reader")
    add_writer: Any = _call("add_writer")
    remove_writer: Any = _call("remove_writer")

    getaddrinfo: Any = _coroutine("getaddrinfo")
    getnameinfo: Any = _coroutine("getnameinfo")
    create_connection: Any = _coroutine("create_connection")
    create_server: Any = _coroutine("create_server")
    create_unix_connection: Any = _coroutine("create_unix_connection")
    create_unix_server: Any = _coroutine("create_unix_server")
    create_datagram_endpoint: Any = _coroutine("create_datagram_endpoint")
    connect_accepted_socket: Any = _coroutine("connect_accepted_socket")
    connect_read_pipe: Any = _coroutine("connect_read_pipe")
    connect_write_pipe: Any = _coroutine("connect_write_pipe")
    sendfile: Any = _coroutine("sendfile")
    start_tls: Any = _coroutine("start_tls")
    subprocess_exec: Any = _coroutine("subprocess_exec")
    subprocess_shell: Any = _coroutine("subprocess_shell")
    sock_recv: Any = _coroutine("sock_recv")
    sock_recv_into: Any = _coroutine("sock_recv_into")
    sock_recvfrom: Any = _coroutine("sock_recvfrom")
    sock_recvfrom_into: Any = _coroutine("sock_recvfrom_into")
    sock_sendall: Any = _coroutine("sock_sendall")
    sock_sendto: Any = _coroutine("sock_sendto")
    sock_connect: Any = _coroutine("sock_connect")
    sock_accept: Any = _coroutine("sock_accept")
    sock_sendfile: Any = _coroutine("sock_sendfile")
