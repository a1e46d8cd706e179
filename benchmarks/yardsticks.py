"""What messaging is measured against: raw pyzmq, an asyncio.Queue actor and pykka."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pykka
import uvloop
import zmq
import zmq.asyncio

Socket = zmq.Socket[bytes]
DATA = bytes(range(100))
END = b"end"

# The default of 1,000 makes raw pyzmq wait for the receiver at every turn: a softer yardstick.
_HIGH_WATER = 100_000


def _socket(kind: int) -> Socket:
    context: zmq.Context[Socket] = zmq.Context.instance()
    socket = context.socket(kind)
    socket.sndhwm = socket.rcvhwm = _HIGH_WATER
    socket.linger = 0
    return socket


def blocking_server(path: str) -> None:
    """Counts frames of 100 B up to END, and answers each other frame of 1 B more."""
    socket = _socket(zmq.ROUTER)
    socket.bind(path)
    count = 0
    while True:
        route = socket.recv()
        data = socket.recv()
        if len(data) == 100:
            count += 1
        elif data == END:
            socket.send(route, zmq.SNDMORE)
            socket.send(str(count).encode())
            count = 0
        else:
            socket.send(route, zmq.SNDMORE)
            socket.send(data)


async def asyncio_server(path: str) -> None:
    """The same count, read by zmq.asyncio."""
    socket = zmq.asyncio.Context.instance().socket(zmq.ROUTER)
    socket.sndhwm = socket.rcvhwm = _HIGH_WATER
    socket.bind(path)
    count = 0
    while True:
        route, data = await socket.recv_multipart()
        if data == END:
            await socket.send_multipart([route, str(count).encode()])
            count = 0
        else:
            count += 1


@contextmanager
def serving(directory: Path) -> Iterator[None]:
    """Another process with both servers."""
    command = [sys.executable, "-m", "benchmarks.yardsticks", str(directory)]
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.kill()


class Blocking:
    """Blocking pyzmq in this process."""

    def __init__(self, directory: Path) -> None:
        self._socket = _socket(zmq.DEALER)
        self._socket.connect(f"ipc://{directory}/blocking")
        self.ask()

    def tell(self, count: int) -> None:
        send, recv = self._socket.send, self._socket.recv
        for _ in range(count):
            send(DATA)
        send(END)
        _check(int(recv()), count)

    async def tell_lone(self, count: int) -> None:
        """One in each turn of the loop: what the turns and libzmq's thread leave of the rate."""
        send = self._socket.send
        for _ in range(count):
            send(DATA, zmq.NOBLOCK)
            await asyncio.sleep(0)
        self._socket.send(END)
        _check(int(self._socket.recv()), count)

    def ask(self) -> None:
        self._socket.send(DATA + b"?")
        self._socket.recv()

    def close(self) -> None:
        self._socket.close(0)


class ZmqAsyncio:
    """zmq.asyncio in this process, on the loop that runs."""

    def __init__(self, directory: Path) -> None:
        self._socket = zmq.asyncio.Context.instance().socket(zmq.DEALER)
        self._socket.sndhwm = self._socket.rcvhwm = _HIGH_WATER
        self._socket.connect(f"ipc://{directory}/asyncio")

    async def tell(self, count: int) -> None:
        for _ in range(count):
            await self._socket.send(DATA)
        await self._socket.send(END)
        _check(int(await self._socket.recv()), count)

    def close(self) -> None:
        self._socket.close(0)


class QueueActor:
    """A task behind an asyncio.Queue: the limit of what one loop can do."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._count = 0
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while True:
            message = await self._queue.get()
            if isinstance(message, asyncio.Future):
                message.set_result(self._count)
                self._count = 0
            else:
                self._count += 1

    async def tell(self, count: int, burst: int) -> None:
        put = self._queue.put_nowait
        for _ in range(count // burst):
            for _ in range(burst):
                put(DATA)
            await asyncio.sleep(0)
        reply: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        put(reply)
        _check(await reply, count)

    async def ask(self) -> None:
        reply: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(reply)
        await reply

    def close(self) -> None:
        self._task.cancel()


class Pykka(pykka.ThreadingActor):
    """Counts, in its own thread."""

    use_daemon_thread = True

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def on_receive(self, message: Any) -> Any:
        if message is None:
            count, self._count = self._count, 0
            return count
        if message == b"?":
            return message
        self._count += 1
        return None


def pykka_tell(actor: pykka.ActorRef[Pykka], count: int) -> None:
    for _ in range(count):
        actor.tell(DATA)
    counted: Any = actor.ask(None)
    _check(counted, count)


class Inproc:
    """Mode (iv): two plain sockets of one loop, read by add_reader until there is no more."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server, self._client = _socket(zmq.ROUTER), _socket(zmq.DEALER)
        self._server.bind("inproc://yardstick")
        self._client.connect("inproc://yardstick")
        self._reply: asyncio.Future[bytes] | None = None
        self._loop.add_reader(_descriptor(self._server), self._serve)
        self._loop.add_reader(_descriptor(self._client), self._replied)

    def _serve(self) -> None:
        socket = self._server
        while _readable(socket):
            route = socket.recv(zmq.NOBLOCK)
            data = socket.recv(zmq.NOBLOCK)
            socket.send(route, zmq.NOBLOCK | zmq.SNDMORE)
            socket.send(data, zmq.NOBLOCK)

    def _replied(self) -> None:
        socket = self._client
        while _readable(socket):
            data = socket.recv(zmq.NOBLOCK)
            if self._reply is not None:
                self._reply.set_result(data)
                self._reply = None

    async def ask(self) -> None:
        reply = self._reply = self._loop.create_future()
        # A send may swallow the signal of what came before it; here nothing can have.
        self._client.send(DATA, zmq.NOBLOCK)
        await reply

    def close(self) -> None:
        for socket in (self._server, self._client):
            self._loop.remove_reader(_descriptor(socket))
            socket.close(0)


def _descriptor(socket: Socket) -> int:
    return int(socket.getsockopt(zmq.FD))


def _readable(socket: Socket) -> bool:
    events: Any = socket.getsockopt(zmq.EVENTS)
    return bool(events & zmq.POLLIN)


def _check(counted: int, sent: int) -> None:
    if counted != sent:
        raise RuntimeError(f"{sent} messages were sent and {counted} counted")


if __name__ == "__main__":
    place = sys.argv[1]
    threading.Thread(target=blocking_server, args=(f"ipc://{place}/blocking",), daemon=True).start()
    uvloop.run(asyncio_server(f"ipc://{place}/asyncio"))
