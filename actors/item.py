"""What one actor message looks like between nodes; the transport batches these."""

from __future__ import annotations

from typing import Final

import msgspec

TELL: Final = 0
ASK: Final = 1
REPLY: Final = 2  # body: the reply
FAILED: Final = 3  # body: Refusal; the handler raised
REFUSED: Final = 4  # body: Refusal; the message was not handled
CANCEL: Final = 5  # the asker no longer waits
SIGNAL: Final = 6  # body: a system signal; `ask` is its sequence number
SIGNAL_ACK: Final = 7  # `ask` is the highest sequence number received in order
HEARTBEAT: Final = 8  # `ask` 0 asks for an answer, 1 is the answer
OBSERVE: Final = 9  # asks a node for its statistics; `ask` is the number of the question
OBSERVED: Final = 10  # body: a part of them; `ask` is the number of the question
TELLS: Final = 11  # within a node: `ask` messages, one behind the other, see actors.runs

#: Encoded size of an item apart from its body, in bytes; an upper estimate for the byte window.
OVERHEAD: Final = 40


class Item(msgspec.Struct, array_like=True, gc=False):
    """One message, reply or signal.

    Attributes:
        to: uid of the receiving actor; 0 is the node itself.
        sender: uid of the sending actor; 0 is no actor.
        kind: one of the constants above.
        body: the encoded message; arrays travel beside it.
        ask: number of the ask at its asker, or of the signal on its link.
        remaining: seconds until the asker gives up (clocks differ, so never a point in time).
        chain: uids of the actors that wait for this ask, outermost first.
    """

    to: int
    sender: int
    kind: int
    body: bytes = b""
    ask: int = 0
    remaining: float = 0.0
    chain: tuple[int, ...] = ()
    label: str = ""


class Refusal(msgspec.Struct, array_like=True, frozen=True):
    """Why an ask was refused or failed."""

    reason: str
    sentence: str
    traceback: str = ""


def tag_of(body: bytes) -> str:
    """The name of a message's type, read from the tag at the head of its encoding; "?" if none."""
    try:
        head = msgspec.msgpack.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # ValueError: of text that is none, which msgspec lets through.
        return "?"
    if isinstance(head, list) and head and isinstance(head[0], str):
        return head[0].rpartition(":")[2]
    return "?"
