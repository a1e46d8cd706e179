"""Rules about workers by pattern, of which the first that fits a worker decides."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from actorfl.errors import Misfit

# Workers named in a sentence.
_NAMED: Final = 3


def check_rules(who: str, patterns: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a rule that decides about no worker: of those that fit one the first decides."""
    left = list(names)
    for place, pattern in enumerate(patterns):
        rest = [name for name in left if not fnmatchcase(name, pattern)]
        if len(rest) < len(left):
            left = rest
            continue
        fitting = [name for name in names if fnmatchcase(name, pattern)]
        if not fitting:
            more = ", ..." if len(names) > _NAMED else ""
            raise Misfit(
                f"{who} of the workers {pattern!r}, and none has such a name; there are "
                f"{', '.join(names[:_NAMED])}{more}"
            )
        first = next(one for one in patterns[:place] if fnmatchcase(fitting[0], one))
        raise Misfit(
            f"{who} of the workers {pattern!r}, and about {fitting[0]} an earlier rule decides, "
            f"that of {first!r}, as about all others; remove one of them"
        )
