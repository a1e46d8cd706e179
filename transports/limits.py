"""Every bound of the transports in one place, with the abuse or the cost that it stops."""

from __future__ import annotations

from dataclasses import dataclass, fields

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one endpoint. All are positive.

    Attributes:
        control_window: bytes a link's control lane may have unacknowledged. Bounds the memory that
            a peer which stops reading costs us. Smaller than a few round trips' worth stalls
            bursts.
        max_message: bytes of one control message, at most half the window so that ``drain()``
            always makes room for it. Models belong on the bulk lane.
        batch_bytes: bytes after which a tick's messages are sent without waiting for its end; one
            frame holds about this much. Larger frames add latency and no throughput (measured).
        batch_messages: messages in one frame at most, up to ``wire.MAX_BATCH``; more would hold the
            receiver's loop for milliseconds.
        max_frame: bytes of one frame that libzmq accepts from a peer; it cuts the connection of
            one that sends more. Stops a peer from making us allocate without end. Equal on all
            nodes, and at least four times ``max_message``, ``chunk`` and ``inline``.
        ack_delay: seconds after which a receipt is acknowledged when nothing travels back; 256 KiB,
            or a quarter of the window, are acknowledged at once. Long enough that on most links an
            answer takes it along; what was received in that time and not acknowledged is in doubt
            when the connection ends.
        inline: bytes of a transfer's arrays up to which they travel inside its header.
        chunk: bytes of one piece of a larger transfer. 1 MiB reuses warm memory in libzmq; one
            large frame page-faults throughout (measured 2.5 times slower at 100 MB).
        chunk_window: pieces a link may have unacknowledged, at least 2. 4 reach full bandwidth
            (measured); more only queue ahead of small transfers.
        max_transfer: bytes of one transfer; a larger one is refused by its receiver.
        max_transfers: transfers a link may have waiting or under way, each way. Bounds the
            tables that a peer fills by opening transfers and never sending.
        max_arrays: arrays in one transfer. Stops layouts that are all header.
        max_handovers: hand-overs of this process that were not picked up yet; beyond, arrays are
            sent.
        max_links: peers one endpoint keeps links with. Stops a flood of hellos under ever new
            names.
        max_fenced: dead incarnations remembered; the oldest is forgotten first.
        reconnect_min: seconds before the first new attempt to connect.
        reconnect_max: seconds between attempts at most in the first minute of an outage; each wait
            is drawn from half to all of it.
        reconnect_longest: seconds between attempts at most later: a sixtieth of the outage so far,
            and no more than this. Bounds what a long partition costs, and how long its end may
            go unnoticed.
        heartbeat: seconds between libzmq's own questions to the other end of a connection over tcp,
            where a pulled cable or a machine without power says nothing. Rare enough to cost
            nothing, often enough that a wait of ``heartbeat_timeout`` covers a lost packet.
        heartbeat_timeout: seconds without an answer, or anything else, after which that connection
            is gone. A process that is frozen for so long is cut off, and connects again; shorter
            would cut off machines that swap. Over ipc a connection's end always shows by itself.
        hello_timeout: seconds a connected peer may take to answer our hello before the connection
            is made anew. Long enough for a peer whose loop is held by an import.
    """

    control_window: int = 8 * MIB
    max_message: int = 4 * MIB
    batch_bytes: int = 64 * KIB
    batch_messages: int = 1024
    max_frame: int = 16 * MIB
    ack_delay: float = 0.25
    inline: int = 64 * KIB
    chunk: int = MIB
    chunk_window: int = 4
    max_transfer: int = 16 * GIB
    max_transfers: int = 1024
    max_arrays: int = 65_536
    max_handovers: int = 65_536
    max_links: int = 4096
    max_fenced: int = 4096
    reconnect_min: float = 0.005
    reconnect_max: float = 1.0
    reconnect_longest: float = 30.0
    heartbeat: float = 10.0
    heartbeat_timeout: float = 30.0
    hello_timeout: float = 10.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) <= 0:
                raise ValueError(
                    f"limit {field.name} = {getattr(self, field.name)} must be positive"
                )
        if self.chunk_window < 2:
            raise ValueError(
                f"chunk_window = {self.chunk_window} must be at least 2: credit comes by halves"
            )
        if self.max_message * 2 > self.control_window:
            raise ValueError(
                f"max_message = {self.max_message} must be at most half of control_window = "
                f"{self.control_window}, or drain() never makes room for it"
            )
        if 4 * max(self.max_message, self.chunk, self.inline) > self.max_frame:
            raise ValueError(
                f"max_frame = {self.max_frame} must be at least four times max_message, chunk and "
                "inline, or peers are cut off for what they may send"
            )

    @property
    def transfer_window(self) -> int:
        """Bytes of transfers that a link may have unacknowledged."""
        return self.chunk * self.chunk_window
