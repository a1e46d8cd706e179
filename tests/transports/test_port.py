"""A socket on the loop: what was put off to the end of a tick happens, whatever else does."""

from __future__ import annotations

import asyncio

import zmq

from tests.transports.world import LIMIT, World
from transports.port import NOW, Port
from transports.sockets import Socket


async def test_what_waits_for_the_end_of_a_tick_is_called_though_the_port_is_closed_in_it(
    world: World,
) -> None:
    context = world.context("a")
    one, other = context.socket(zmq.DEALER), context.socket(zmq.DEALER)
    one.bind("inproc://one-end")
    other.connect("inproc://one-end")
    came: list[bytes] = []
    ended = asyncio.Event()

    def receive(socket: Socket) -> int:
        came.append(socket.recv(NOW))
        if len(came) == 3:  # not the first of a visit, whose deferred calls come before the next
            port.defer(ended.set)
            port.close()
        return 1

    port = Port(one, receive)
    for number in range(4):
        other.send(b"%d" % number)
    await asyncio.wait_for(ended.wait(), LIMIT)
    assert came == [b"0", b"1", b"2"]
    other.close(0)
