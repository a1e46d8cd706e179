"""The end of a sentence about a name that does not exist: the nearest one, and what there is."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

#: Names that a sentence lists: more are not read.
_SHOWN = 12


def among(name: str, names: Sequence[str]) -> str:
    """For example ``did you mean 'store'? there are store, packer0``.

    Args:
        name: the wrong one.
        names: those that exist, in the order in which to show them.
    """
    if not names:
        return "there are none"
    # difflib compares with each name, which takes a second for some ten thousand.
    close = difflib.get_close_matches(name, names[:10_000], n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    verb = "there is" if len(names) == 1 else "there are"
    return f"{hint}{verb} {', '.join(names[:_SHOWN])}{more}"
