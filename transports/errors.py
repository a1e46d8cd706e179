"""Everything that can go wrong between nodes; the name says who is at fault.

TransportError
├── AddressError          an address or node name that cannot work; nothing was opened
│   └── AddressInUse      somebody already listens there
├── LinkError             trouble with the link to one peer
│   ├── LinkFull          this side sends faster than the peer acknowledges; nothing was sent
│   ├── LinkClosed        the link has ended; what was not acknowledged may or may not have arrived
│   └── MessageTooLarge   a message that no window holds; nothing was sent
├── TransferRefused       the receiver refused a transfer and said why
├── ProtocolError         a peer sent what the protocol does not allow; refused and counted
│   └── DamagedFrame      bytes changed on their way; the connection begins anew
├── LayoutError           a description of arrays that does not fit together
└── WeightsReleased       arrays were used after their release
"""

from __future__ import annotations


class TransportError(Exception):
    """Root of all errors of the transports."""


class AddressError(TransportError):
    """An address or a node name that cannot work; nothing was opened."""


class AddressInUse(AddressError):  # noqa: N818  (the sentence is the name, as in the field's APIs)
    """Somebody already listens at this address."""


class LinkError(TransportError):
    """Trouble with the link to one peer; the sentence names it."""


class LinkFull(LinkError):  # noqa: N818
    """The window to this peer is used up, nothing was sent: ``await link.drain()``, try again."""


class LinkClosed(LinkError):  # noqa: N818
    """The link has ended; what was not acknowledged may or may not have arrived."""


class MessageTooLarge(LinkError):  # noqa: N818
    """A message that is larger than the lane allows; nothing was sent."""


class TransferRefused(TransportError):  # noqa: N818
    """The receiver refused a transfer; the sentence carries its reason."""


class LayoutError(TransportError):
    """A description of arrays that does not fit together or exceeds a bound."""


class WeightsReleased(TransportError):  # noqa: N818
    """Arrays were used after ``Weights.release()``."""


class ProtocolError(TransportError):
    """A peer sent what the protocol does not allow.

    Attributes:
        reason: one of ``transports.wire.REFUSALS``; what the refusal is counted under.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class DamagedFrame(ProtocolError):  # noqa: N818
    """Bytes that changed on their way, or never were a frame; counted as "malformed".

    What they held is unknown, so the connection they came on cannot go on: its end tells the
    sender what was lost.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__("malformed", sentence)
