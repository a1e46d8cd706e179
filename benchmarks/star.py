"""The bare star: what the rounds of actorfl are measured against, written raw over pyzmq.

A server sends its model to each of its clients and adds up what they send back, weighted, as long
as it is asked to. The clients live in another process, or each in its own, and send back what
came. There is no selection, no timeout, no metric, no check and no snapshot.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zmq

from benchmarks.processes import busy

_HIGH_WATER = 10_000
_END = b"end"


def _socket(kind: int) -> zmq.Socket[bytes]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    socket = context.socket(kind)
    socket.sndhwm = socket.rcvhwm = _HIGH_WATER
    socket.linger = 0
    return socket


def serve_clients(path: str) -> None:
    """A process of clients, behind one socket: each sends back the model that comes for it."""
    socket = _socket(zmq.DEALER)
    socket.connect(path)
    socket.send(b"here")
    while True:
        client = socket.recv()
        if client == _END:
            return
        model = socket.recv(copy=False)
        socket.send(client, zmq.SNDMORE)
        socket.send(model, copy=False)


def rounds(clients: int, size: int, seconds: float, processes: int = 1) -> dict[str, float]:
    """Rounds per second of the star, and milliseconds that all its processes compute in one.

    Args:
        clients: how many.
        size: float32 numbers of the model.
        seconds: how long it runs at the least.
        processes: over which the clients are spread.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = f"ipc://{Path(directory) / 'star'}"
        socket = _socket(zmq.ROUTER)
        socket.bind(path)
        command = [sys.executable, "-m", "benchmarks.star", path]
        started = [subprocess.Popen(command) for _ in range(processes)]
        try:
            routes = [socket.recv_multipart()[0] for _ in started]
            found = _played(socket, routes, clients, size, seconds)
            for route in routes:
                socket.send_multipart([route, _END])
        except BaseException:
            for process in started:
                process.kill()
            raise
        finally:
            for process in started:
                process.wait()
            socket.close()
    return found


def _played(
    socket: zmq.Socket[bytes], routes: list[bytes], clients: int, size: int, seconds: float
) -> dict[str, float]:
    model = np.zeros(size, dtype=np.float32)
    total, scratch = np.empty(size), np.empty(size)
    names = [b"%d" % client for client in range(clients)]
    began, computed, done = 0.0, 0.0, -1
    while True:
        for number, name in enumerate(names):
            socket.send(routes[number % len(routes)], zmq.SNDMORE)
            socket.send(name, zmq.SNDMORE)
            socket.send(zmq.Frame(model.data), copy=False)
        total[:] = 0.0
        for _ in names:
            socket.recv()
            socket.recv()
            part = np.frombuffer(socket.recv(copy=False).buffer, dtype=np.float32)
            np.multiply(part, 1.0 / clients, out=scratch)
            np.add(total, scratch, out=total)
        model = total.astype(np.float32)
        done += 1
        now = time.perf_counter()
        if done == 0:  # the first one makes connections and touches pages
            began, computed = now, busy()
        elif now - began >= seconds:
            return {
                "rounds": done / (now - began),
                "busy": 1000 * (busy() - computed) / done,
            }


if __name__ == "__main__":
    serve_clients(sys.argv[1])
