"""What names of nodes, actors and processes look like."""

from __future__ import annotations

import re
from typing import Any

from actors.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")


def check_name(name: Any) -> None:
    """Refuse what is not a name.

    Raises:
        UsageError: it is not.
    """
    if not isinstance(name, str) or not _NAME.match(name):
        shown = repr(name) if len(repr(name)) <= 100 else f"{repr(name)[:97]}..."
        msg = (
            f"{shown} is not a name: use up to 64 letters, digits, '_', '-' and '.', "
            "starting with a letter or digit"
        )
        raise UsageError(msg)
