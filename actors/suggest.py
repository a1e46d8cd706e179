"""The end of a sentence about a name that does not exist: the nearest one, and what there is."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Final

#: Names that a sentence lists: more are not read.
_SHOWN: Final = 12
#: Characters of a value that a sentence shows.
_LENGTH: Final = 100


def among(name: Any, names: Sequence[str]) -> str:
    """For example ``did you mean 'store'? there are store, packer0``.

    Args:
        name: the wrong one.
        names: those that exist, in the order in which to show them.
    """
    if not names:
        return "there are none"
    hint = meant(name, names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    verb = "there is" if len(names) == 1 else "there are"
    return f"{hint}{verb} {', '.join(names[:_SHOWN])}{more}"


def meant(name: Any, names: Sequence[str]) -> str:
    """For example ``did you mean 'store'? ``; empty where none is near."""
    # difflib compares with each name, which takes a second for some ten thousand.
    close = difflib.get_close_matches(str(name), names[:10_000], n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def shown(value: Any) -> str:
    """A value in a sentence: on one line, and not too long."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # noqa: BLE001  (its repr is user code)
        text = f"a {type(value).__name__}"
    return text if len(text) <= _LENGTH else f"{text[: _LENGTH - 3]}..."
