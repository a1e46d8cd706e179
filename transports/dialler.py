"""The dialler of one lane: makes the connection, and makes it anew when it is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zmq

from transports.address import Address, Lane
from transports.channel import Channel
from transports.clock import Clock, Timer
from transports.limits import Limits
from transports.port import Port
from transports.reading import Dialled
from transports.rng import Rng
from transports.sockets import Context, Socket

PATIENCE = 60
"""A peer that has been away for so many times as long as a wait may wait that long to be asked."""


class Dialler:
    """Keeps one lane of a link connected, with a new socket and a new epoch for each attempt.

    libzmq's own reconnection is off: it would hand frames queued for a dead process to the next
    one that listens there.

    Args:
        channel: the lane.
        address: where the peer listens.
        context: of the sockets.
        hello: encodes the hello of an epoch.
        reading: reads the sockets.
        gone: told why the connection is gone or could not be made.
        clock: timers.
        rng: jitter.
        limits: back-off and time-outs.
    """

    def __init__(
        self,
        channel: Channel[Any],
        address: Address,
        context: Context,
        *,
        hello: Callable[[int], bytes],
        reading: Dialled[Any],
        gone: Callable[[str], None],
        clock: Clock,
        rng: Rng,
        limits: Limits,
    ) -> None:
        self.epoch = 0
        self.attempts = 0
        self._channel = channel
        self._address = address
        self._context = context
        self._hello = hello
        self._reading = reading
        self._gone = gone
        self._clock = clock
        self._rng = rng
        self._limits = limits
        self._port: Port | None = None
        self._timer: Timer | None = None
        self._stopped = False
        # When the connection was lost, or could not be made for the first time.
        self._lost: float | None = None

    @property
    def lane(self) -> Lane:
        """The lane that is dialled."""
        return self._channel.lane

    def connect(self) -> None:
        """Make a connection and say hello on it."""
        self._disarm()
        if self._stopped:
            return
        # The channel's own is ahead where the peer dialled before us.
        self.epoch = max(self.epoch, self._channel.epoch) + 1
        self.attempts += 1
        socket = self._context.socket(zmq.DEALER)
        configure(socket, self._limits)
        socket.setsockopt(zmq.RECONNECT_IVL, -1)
        ask_for_life(socket, self._address, self._limits)
        # Connections within a process have no monitor; their end shows as a send that fails.
        ended = self._ended if self._address.scheme != "inproc" else None
        reading = self._reading
        self._port = Port(
            socket, reading.read, ended, reading.take, stays_awake=self.lane == "control"
        )
        try:
            socket.connect(self._address.endpoint(self.lane))
        except zmq.ZMQError as error:
            self._gone(f"{self._address} cannot be connected to: {error.strerror}")
            return
        self._timer = self._clock.call_later(self._limits.hello_timeout, self._overdue)
        self._channel.greet(self._port, self._hello(self.epoch))

    def welcomed(self) -> None:
        """The peer agreed."""
        self.attempts = 0
        self._lost = None
        self._disarm()

    def retry(self) -> None:
        """Drop the connection and make a new one after a while, longer each time."""
        self._disarm()
        self._drop()
        if self._stopped:
            return
        limits, now = self._limits, self._clock.now()
        if self._lost is None:
            self._lost = now
        # Who has been away for hours is asked for less often than who may be back in a moment.
        slowest = max(
            limits.reconnect_max, min(limits.reconnect_longest, (now - self._lost) / PATIENCE)
        )
        wait = min(slowest, limits.reconnect_min * 2.0 ** min(self.attempts, 30))
        # Jitter, so that all who lost one peer do not come back in step.
        self._timer = self._clock.call_later(self._rng.uniform(wait / 2, wait), self.connect)

    def stop(self, linger: float = 0.0) -> None:
        """Close for good.

        Args:
            linger: seconds that what was sent may take to leave.
        """
        self._stopped = True
        self._disarm()
        self._drop(linger)

    def _ended(self) -> None:
        self._gone(f"the connection to {self._address} ended or was refused")

    def _overdue(self) -> None:
        self._timer = None
        self._gone(
            f"{self._address} did not answer the hello within {self._limits.hello_timeout} s"
        )

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop(self, linger: float = 0.0) -> None:
        if self._port is not None:
            self._port.close(linger)
            self._port = None

    def __repr__(self) -> str:
        return f"<Dialler {self.lane} of {self._address} epoch={self.epoch}>"


def configure(socket: Socket, limits: Limits) -> None:
    """Options that all our sockets share."""
    socket.setsockopt(zmq.SNDHWM, 0)  # our windows bound what is queued, and nothing is dropped
    socket.setsockopt(zmq.RCVHWM, 0)  # ZMTP heartbeats die behind a full receive queue
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, limits.max_frame)


def ask_for_life(socket: Socket, address: Address, limits: Limits) -> None:
    """Have libzmq notice the end of connections that end without a word; before they are made."""
    if address.scheme == "tcp":
        socket.setsockopt(zmq.HEARTBEAT_IVL, round(limits.heartbeat * 1000))
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, round(limits.heartbeat_timeout * 1000))
