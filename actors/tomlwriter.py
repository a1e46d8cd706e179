"""Write a configuration as TOML 1.0; the standard library only reads it.

It writes what a configuration is made of, one line a top-level key: strings, booleans, integers,
floats, lists, and dictionaries as inline tables. Reading the text back gives the same values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from actors.errors import UsageError

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SHORT_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def dumps(table: Mapping[str, object]) -> str:
    """Return `table` as TOML.

    Raises:
        UsageError: a value, named by its dotted key, that TOML has no way to write.
    """
    return "".join(f"{_key(key)} = {_value(value, key)}\n" for key, value in table.items())


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _string(key, key)


def _value(value: object, at: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        # repr is the shortest text that reads back as the same float, also as `inf` and `nan`.
        return repr(value)
    if isinstance(value, str):
        return _string(value, at)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item, f'{at}[{n}]') for n, item in enumerate(value))}]"
    if isinstance(value, Mapping):
        items = (f"{_key(key)} = {_value(item, f'{at}.{key}')}" for key, item in value.items())
        return f"{{ {', '.join(items)} }}" if value else "{}"
    raise UsageError(f"`{at}` cannot be written in TOML: {type(value).__name__} {value!r}")


def _string(text: str, at: str) -> str:
    return '"' + "".join(_character(character, at) for character in text) + '"'


def _character(character: str, at: str) -> str:
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if character < " " or character == "\x7f":
        return f"\\u{ord(character):04X}"
    if "\ud800" <= character <= "\udfff":
        raise UsageError(f"`{at}` cannot be written in TOML: it holds half of a surrogate pair")
    return character
