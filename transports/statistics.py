"""Frozen records of what links and endpoints did; tools read only these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from transports.identity import NodeId


@dataclass(frozen=True, slots=True)
class LaneStatistics:
    """One lane of one link.

    Attributes:
        state: "down", "greeting", "up" or "closed".
        epoch: number of the connection, 0 before the first.
        messages_out: items that left; on the bulk lane, events of transfers.
        messages_in: items received, in order and once.
        batches_out: frames that left, acknowledgements alone included.
        batches_in: frames received.
        bytes_out: bytes of frames that left, pieces of transfers included.
        bytes_in: bytes of frames received, pieces of transfers included.
        queued: items that wait to leave.
        unacknowledged: items that left and were not acknowledged yet.
        held: bytes, by estimate, queued and unacknowledged; the window bounds them.
        window: bytes of the window.
        lost: items that left and were given up when a connection was cut.
        missed: items of the peer that never came.
        dropped: items that no frame could hold.
    """

    state: str
    epoch: int
    messages_out: int
    messages_in: int
    batches_out: int
    batches_in: int
    bytes_out: int
    bytes_in: int
    queued: int
    unacknowledged: int
    held: int
    window: int
    lost: int
    missed: int
    dropped: int


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """One link.

    Attributes:
        peer: who is at the other end.
        state: "connecting", "up", "down" or "closed".
        trouble: why it is not up, where a connection ended or could not be made; else None.
        control: the control lane.
        bulk: the bulk lane.
        transfers_out: transfers that the peer has passed on.
        transfers_in: transfers passed on to the floor above.
        transfers_refused: transfers that the peer refused.
        outgoing: transfers that wait or are under way to the peer.
        incoming: large transfers under way from the peer.
        refused: frames and events of the peer that were refused, by reason.
    """

    peer: NodeId
    state: str
    trouble: str | None
    control: LaneStatistics
    bulk: LaneStatistics
    transfers_out: int
    transfers_in: int
    transfers_refused: int
    outgoing: int
    incoming: int
    refused: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class EndpointStatistics:
    """One endpoint.

    Attributes:
        node: whose endpoint this is.
        addresses: where it listens.
        local: the node's link to itself.
        links: links to peers that have not ended.
        refused: everything refused, by reason, ended links and strangers included.
        handler_errors: exceptions that the floor above let out.
        fenced: dead incarnations that are remembered.
        ended: links that have ended.
    """

    node: NodeId
    addresses: tuple[str, ...]
    local: LinkStatistics | None
    links: tuple[LinkStatistics, ...]
    refused: Mapping[str, int]
    handler_errors: int
    fenced: int
    ended: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """What an endpoint could not deliver before it closed.

    Attributes:
        unsent: control messages that never left.
        unacknowledged: control messages that left; whether they arrived is unknown.
        transfers: transfers that were not acknowledged.
        links: the peers concerned, and how many of each (messages of both kinds and transfers).
    """

    unsent: int = 0
    unacknowledged: int = 0
    transfers: int = 0
    links: Mapping[NodeId, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.unsent or self.unacknowledged or self.transfers)
