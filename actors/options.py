"""The options that each actor has, wherever it is declared or started."""

from __future__ import annotations

from typing import Any, get_args

from actors.errors import UsageError
from actors.quantities import is_count, is_seconds
from actors.signals import Overflow
from actors.supervision import RestartType


def check_options(
    name: str,
    *,
    restart: Any,
    mailbox: Any,
    overflow: Any,
    stop_timeout: Any,
    error: type[UsageError] = UsageError,
) -> None:
    """Refuse options that cannot be.

    Args:
        name: of the actor, for the sentence.
        restart: permanent, transient or temporary.
        mailbox: messages, at least 1.
        overflow: "reject", "drop_oldest" or "drop_new".
        stop_timeout: seconds above 0, finite.
        error: what to raise.

    Raises:
        UsageError: one of them is none of those that exist; of the kind that is given.
    """
    kinds = get_args(RestartType)
    if restart not in kinds:
        msg = f"actor {name!r} has restart={restart!r}; there are {', '.join(kinds)}"
        raise error(msg)
    if overflow not in get_args(Overflow):
        msg = f"actor {name!r} has overflow={overflow!r}; there are {', '.join(get_args(Overflow))}"
        raise error(msg)
    if not is_count(mailbox, 1):
        msg = f"actor {name!r} has mailbox={mailbox!r}; give a number of messages, at least 1"
        raise error(msg)
    if not is_seconds(stop_timeout):
        msg = (
            f"actor {name!r} has stop_timeout={stop_timeout!r}; give a number of seconds above 0 "
            "that is finite"
        )
        raise error(msg)
