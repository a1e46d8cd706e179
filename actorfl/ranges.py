"""Numbers that are fields of a frozen dataclass: refused with a sentence where out of range."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import get_args

from actorfl.errors import WrongType, WrongValue
from actors.quantities import is_finite


def check_number(owner: object, name: str, need: str, within: Callable[[float], bool]) -> None:
    """Refuse a field that is no finite number within its range; what is taken becomes a float.

    One spelling for one meaning: values that are equal have the same type and the same hash.

    Args:
        owner: a frozen dataclass that is being made.
        name: of its field.
        need: the range, for people: ``"at least 0 and below 1"``.
        within: whether a finite number is in it.

    Raises:
        WrongType: it is no number.
        WrongValue: it is not finite, or out of range.
    """
    value = getattr(owner, name)
    what = f"`{name}` of {type(owner).__name__}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WrongType(what, f"a number, {need}", value)
    if not (is_finite(value) and within(value)):
        raise WrongValue(what, need, value)
    object.__setattr__(owner, name, float(value))


def check_kind(owner: object, name: str, kinds: object) -> None:
    """Refuse a field that is of none of the classes of a union.

    Args:
        owner: a frozen dataclass that is being made.
        name: of its field.
        kinds: the union.

    Raises:
        WrongType: it is of none.
    """
    value, known = getattr(owner, name), get_args(kinds)
    if not isinstance(value, known):
        *names, last = [f"{kind.__name__}(...)" for kind in known]
        wanted = f"{', '.join(names)} or {last}"
        raise WrongType(f"`{name}` of {type(owner).__name__}", wanted, value)


def check_word(owner: object, name: str, words: Collection[str], what: str = "") -> None:
    """Refuse a field that is none of some words.

    Args:
        owner: a frozen dataclass that is being made.
        name: of its field.
        words: that are taken, two at least.
        what: the field, for people, if not by both names.

    Raises:
        WrongType: it is no word at all.
        WrongValue: it is another one.
    """
    value, what = getattr(owner, name), what or f"`{name}` of {type(owner).__name__}"
    *others, last = [f'"{word}"' for word in words]
    need = f"{', '.join(others)} or {last}"
    if not isinstance(value, str):
        raise WrongType(what, need, value)
    if value not in words:
        raise WrongValue(what, need, value)


def check_count(owner: object, name: str, least: int, most: int | None = None) -> None:
    """Refuse a field that is no whole number within its range.

    Args:
        owner: a frozen dataclass that is being made.
        name: of its field.
        least: the smallest number that is taken.
        most: the greatest; None where there is no bound.

    Raises:
        WrongType: it is no whole number.
        WrongValue: it is out of range.
    """
    value = getattr(owner, name)
    what = f"`{name}` of {type(owner).__name__}"
    need = f"at least {least}" if most is None else f"from {least} to {most}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongType(what, f"an int, {need}", value)
    if value < least or (most is not None and value > most):
        raise WrongValue(what, need, value)
