"""Configuration: one typed tree of dataclasses, read from TOML and written as TOML.

A *slot* (task, topology, algorithm, ...) is a table that names its kind; its other keys are the
fields of that kind's dataclass, checked against their annotations. `build` goes from tables to
objects, `describe` back; keys and places are carried along so that a refusal can name them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import re
import tomllib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union

import msgspec

from actorfl import registry
from actorfl.errors import (
    ConfigError,
    MissingFile,
    MissingKey,
    NotToml,
    UnknownKey,
    WrongType,
    WrongValue,
    nearest,
)
from actorfl.registry import Slot

# A configuration is a page of text; a file above this is something else named by mistake.
_FILE_MAX = 2**20
_MSGSPEC = re.compile(
    r"Expected `(?P<expected>.+?)`(?P<bounds> [^`]+?)?(?:, got [^ ]+)?(?: - at `\$(?P<at>.*)`)?"
)
# A bare number that was meant as a table is smaller than this, and short enough to be said again.
_MEANT = 10**9
# What msgspec calls a thing, and what TOML does.
_WORDS = {"array": "a list", "object": "a table"}

#: How settings are given.
BY: Final = "--set "

Table = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a value stands, so that a refusal can say it.

    Attributes:
        source: the file, for people.
        path: the keys that lead to the value.
        settings: paths that were set on the command line.
        by: how they were set there, for people.
    """

    source: str
    path: tuple[str, ...] = ()
    settings: frozenset[tuple[str, ...]] = frozenset()
    by: str = BY.strip()

    def of(self, key: str) -> Place:
        """Return the place of a key below this one."""
        return dataclasses.replace(self, path=(*self.path, key))

    def at(self, index: int) -> Place:
        """Return the place of an item of the list that is here."""
        return self.below(f"[{index}]")

    def below(self, path: str) -> Place:
        """Return the place at the end of a path such as ``[1][0]``."""
        *above, last = self.path
        return dataclasses.replace(self, path=(*above, last + path))

    def inside(self, key: str) -> str:
        """Say where a key that has this place as its table was written."""
        table = f"in `{'.'.join(self.path)}` " if self.path else ""
        return f"{table}{self.of(key).origin}"

    @property
    def origin(self) -> str:
        """Say which file, or the command line, the value comes from."""
        # An item of a list was set where the list was.
        keys = tuple(key.partition("[")[0] for key in self.path)
        if any(keys[:length] in self.settings for length in range(len(keys) + 1)):
            return f"of {self.by}"
        partly = any(path[: len(keys)] == keys for path in self.settings)
        return f"of {self.source} with {self.by}" if partly and self.path else f"of {self.source}"

    def __str__(self) -> str:
        return f"`{'.'.join(self.path)}` {self.origin}" if self.path else self.source


def read(path: str | Path) -> Table:
    """Read a TOML file.

    Raises:
        MissingFile: it is not there, cannot be read, or is no configuration by its size.
        NotToml: it is not TOML; the sentence names line and column.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(_FILE_MAX + 1)
    except OSError as error:
        raise MissingFile(path, (error.strerror or str(error)).lower()) from error
    if len(content) > _FILE_MAX:
        raise MissingFile(path, f"it is larger than {_FILE_MAX} bytes; is it a configuration?")
    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NotToml(f"{path} is not TOML: {error}") from error
    except RecursionError as error:
        raise NotToml(f"{path} is not TOML that anyone wrote: it is nested too deeply") from error


def override(
    table: Table, settings: Iterable[str], *, by: str = BY, example: str = "until.rounds=5"
) -> tuple[Table, frozenset[tuple[str, ...]]]:
    """Apply settings such as ``until.rounds=5`` to a table.

    Args:
        table: what the file holds; it is left alone.
        settings: key, ``=``, a TOML value; what is no TOML value is taken as a string. With
            nothing after ``=`` the key is taken out; an empty string is ``""``.
        by: what stands before a setting where it was written.
        example: of a setting.

    Returns:
        The new table, and the paths that were set.

    Raises:
        NotToml: a setting without ``=``, or with a key that is no TOML key.
        UnknownKey: a key that is to be taken out is not there.
    """
    result, paths = table, set()
    for setting in settings:
        key, equals, text = setting.partition("=")
        path = _keys(key, f"{by}{setting}") if equals else None
        if path is None:
            raise NotToml(f"{by}{setting}: expected KEY=VALUE, such as {example}")
        if text.strip():
            result = _with(result, path, _setting_value(text.strip()))
        else:
            result = _without(result, path, f"{by}{setting}")
        paths.add(path)
    return result, frozenset(paths)


def build(slot: Slot, value: object, place: Place, base: Path) -> Any:
    """Return the object that a slot's table describes.

    Args:
        slot: the slot.
        value: a table with ``kind``, or a kind alone; ``{ rounds = 20 }`` is short for
            ``{ kind = "rounds", rounds = 20 }``; where the slot takes several, a list of them.
        place: where the value stands.
        base: the directory that a relative file name in a kind starts from.

    Raises:
        ConfigError: the value is refused.
    """
    if slot.listed and isinstance(value, list):
        if not value:
            raise WrongValue(str(place), f"one {slot.word} at least", value)
        values = [_single(slot, each, place.at(n), base) for n, each in enumerate(value)]
        if len(values) == 1:
            return values[0]
        try:
            return registry.join(slot, values)
        except ConfigError as error:
            error.args = (f"{place}: {error}",)
            raise
    return _single(slot, value, place, base)


def _single(slot: Slot, value: object, place: Place, base: Path) -> Any:
    if isinstance(value, str) and slot.filed and value.endswith(".toml"):
        file = base / value
        table = {"kind": slot.filed, **read(file)}
        return _single(slot, table, Place(str(file)), base)
    if isinstance(value, str):
        described = registry.table_of(slot, base / value)
        if described is not None:
            return _single(slot, described, Place(str(base / value)), base)
        value = {"kind": value}
    if not isinstance(value, dict):
        need = f"a table with `kind`, or the name of {slot.a} {slot.word}"
        raise WrongType(str(place), need + _short(slot, value, place, base), value)
    fields = dict(value)
    kind = fields.pop("kind", None)
    if kind is None:
        kind, *others = [key for key in fields if key in slot.kinds] or [None]
        if others and others[0] not in _fields(slot, kind):
            raise WrongValue.saying(
                f"{place} says two kinds of {slot.word}, `{kind}` and `{others[0]}`; take one out"
                + (f", as {BY}{'.'.join(place.of(kind).path)}= does" if place.settings else "")
            )
    if kind is None:
        if len(fields) == 1:
            (key,) = fields
            raise UnknownKey("key", key, place.inside(key), [*slot.kinds, "kind"])
        raise MissingKey("kind", f"{slot.a} {slot.word}", f"in {place}")
    if not isinstance(kind, str):
        raise WrongType(str(place.of("kind")), "a string", kind)
    return build_fields(registry.resolve(slot, kind, str(place.of("kind")), base), fields, place)


def _short(slot: Slot, value: object, place: Place, base: Path) -> str:
    """How a bare number may have been meant, as ``{ rounds = 20 }``; nothing of other values."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _MEANT:
        return ""
    for kind in slot.kinds:
        with contextlib.suppress(ConfigError):
            build(slot, {kind: value}, place, base)
            return f", such as `{{ {kind} = {value} }}`"
    return ""


def _fields(slot: Slot, kind: str) -> set[str]:
    cls = registry.resolve(slot, kind, kind, Path())
    return {field.name for field in dataclasses.fields(cls)}


def build_fields(cls: type[Any], table: Mapping[str, object], place: Place) -> Any:
    """Return an instance of a dataclass, its fields taken from a table and checked.

    Raises:
        UnknownKey: a key that is no field.
        MissingKey: a field without default that has no key.
        WrongType: a value that its field's annotation does not take.
        WrongValue: the class refused the values; its sentence with the place before it.
    """
    if not dataclasses.is_dataclass(cls):
        raise ConfigError(
            f"{place}: {cls.__qualname__} must be a dataclass: put @dataclass(frozen=True) above it"
        )
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    try:
        registry.check_keys(cls)
    except ConfigError as error:
        error.args = (f"{place}: {error}",)
        raise
    for key in table:
        if key not in fields:
            raise UnknownKey("key", key, place.inside(key), fields)
    for name, field in fields.items():
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and name not in table:
            raise MissingKey(name, cls.__qualname__, f"in {place}")
    hints = _hints(cls, place) if table else {}
    values = {key: convert(value, hints[key], place.of(key)) for key, value in table.items()}
    try:
        return cls(**values)
    except ConfigError as error:
        error.args = (f"{place}: {error}",)
        raise
    except (TypeError, ValueError) as error:
        raise WrongValue.saying(f"{place}: {error}") from error


def convert(value: object, hint: Any, place: Place) -> Any:
    """Return a value from TOML as the type that an annotation asks for.

    Raises:
        WrongType: the annotation does not take it.
        WrongValue: it takes others of this type, not this one.
        ConfigError: what the annotation asks for has no form in TOML.
    """
    if typing.get_origin(hint) in {Union, UnionType}:
        # A table or a list among the choices is gone into, so that a refusal names what is inside.
        inner = [one for one in typing.get_args(hint) if one is not type(None)]
        kinds = _kinds(hint)
        if kinds and (isinstance(value, dict) or (isinstance(value, str) and str not in inner)):
            return _of_kind(kinds, value, place)
        fitting = inner if len(inner) == 1 else [one for one in inner if _is_inside(value, one)]
        if len(fitting) == 1:
            return convert(value, fitting[0], place)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise WrongType(str(place), f"a table with fields of {hint.__name__}", value)
        return build_fields(hint, value, place)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if _is_inside(value, hint):
        if isinstance(value, dict):
            _, item = typing.get_args(hint)
            return {key: convert(one, item, place.of(key)) for key, one in value.items()}
        if isinstance(value, list):
            item, _ = typing.get_args(hint)
            return tuple(convert(one, item, place.at(n)) for n, one in enumerate(value))
    try:
        return msgspec.convert(value, hint, strict=True, dec_hook=_no_form)
    except msgspec.ValidationError as error:
        raise _refusal(value, hint, place, str(error)) from error
    except TypeError as error:
        raise _without_form(hint, place) from error
    except _NoForm as error:
        if hint is Path:
            raise WrongType(str(place), "a path, written as a string", value) from None
        raise _without_form(hint, place) from error


def _kinds(hint: Any) -> dict[str, type[Any]]:
    """The dataclasses that a union chooses among, by the names that a table calls them by."""
    if typing.get_origin(hint) not in {Union, UnionType}:
        return {}
    found: list[type[Any]] = [
        one
        for one in typing.get_args(hint)
        if isinstance(one, type) and dataclasses.is_dataclass(one)
    ]
    return {_hyphened(one): one for one in found} if len(found) > 1 else {}


def _hyphened(cls: Any) -> str:
    """The kind of a class in a union: ``ByAge`` is ``by-age``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()


def _of_kind(kinds: Mapping[str, type[Any]], value: object, place: Place) -> Any:
    """Return what a table with ``kind``, or a kind alone, stands for in a union of dataclasses."""
    fields = dict(value) if isinstance(value, dict) else {"kind": value}
    kind = fields.pop("kind", None)
    if kind is None:
        raise MissingKey("kind", " or ".join(f'"{one}"' for one in kinds), f"in {place}")
    if not isinstance(kind, str):
        raise WrongType(str(place.of("kind")), "a string", kind)
    if kind not in kinds:
        raise UnknownKey("kind", kind, f"in {place}", list(kinds))
    return build_fields(kinds[kind], fields, place)


def _is_inside(value: object, hint: Any) -> bool:
    """Whether a hint is a dataclass, a mapping or a tuple of any length, and the value its form."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(value, list):
        return origin is tuple and arguments[1:] == (...,)
    if isinstance(value, dict):
        keyed = origin in {dict, Mapping} and arguments[0] is str
        return keyed or (isinstance(hint, type) and dataclasses.is_dataclass(hint))
    return False


def _refusal(value: object, hint: Any, place: Place, sentence: str) -> ConfigError:
    """Say with the key, and in the words of TOML, what msgspec says of a value."""
    match = _MSGSPEC.fullmatch(sentence)
    where = place
    if match is not None and match["at"]:
        where = place.below(match["at"])
        value = _item(value, match["at"])
    allowed = _allowed(hint) if where is place else []
    if allowed and isinstance(value, str):
        near = nearest(value, _choices(hint))
        meant = f"; {near}" if near.startswith("did") else ""
        quoted = json.dumps(value, ensure_ascii=False)
        sentence = f"{where} must be {' or '.join(allowed)}, got {quoted}{meant}"
        return WrongValue.saying(sentence)
    if allowed:
        return WrongType(str(where), " or ".join(allowed), value)
    if match is None:
        return WrongValue.saying(f"{where}: {sentence[:1].lower()}{sentence[1:]}, got {value!r}")
    kinds = [_WORDS.get(one, one) for one in match["expected"].split(" | ") if one != "null"]
    expected = " or ".join(kinds) + (match["bounds"] or "")
    if match["bounds"]:
        return WrongValue.saying(f"{where}: expected {expected}, got {value!r}")
    return WrongType(str(where), expected, value)


def _without_form(hint: Any, place: Place) -> ConfigError:
    name = hint.__qualname__ if isinstance(hint, type) else str(hint)
    return ConfigError(
        f"{place}: its annotation {name} has no form in TOML; use int, float, bool, str, Path, "
        "tuple[..., ...], Mapping[str, ...] or a dataclass of these"
    )


def _choices(hint: Any) -> list[str]:
    """The strings that an annotation takes, where it is a ``Literal`` or has one in it."""
    if typing.get_origin(hint) is Literal:
        return [choice for choice in typing.get_args(hint) if isinstance(choice, str)]
    if typing.get_origin(hint) in {Union, UnionType}:
        return [choice for inner in typing.get_args(hint) for choice in _choices(inner)]
    return []


def _allowed(hint: Any) -> list[str]:
    """What an annotation with a ``Literal`` in it takes, for people; of others nothing."""
    if typing.get_origin(hint) is Literal:
        return [json.dumps(choice) for choice in typing.get_args(hint) if choice is not None]
    if typing.get_origin(hint) not in {Union, UnionType}:
        return []
    inner = [one for one in typing.get_args(hint) if one is not type(None)]
    if not any(_allowed(one) for one in inner):
        return []
    return [word for one in inner for word in _allowed(one) or [getattr(one, "__name__", str(one))]]


def describe(value: object) -> Table:
    """Return the fields of a dataclass as TOML could hold them; ``None`` is kept.

    Raises:
        ConfigError: a value that has no form in TOML, named.
    """
    assert dataclasses.is_dataclass(value)
    table: Table = {}
    for field in dataclasses.fields(value):
        if field.init:
            try:
                held = getattr(value, field.name)
                table[field.name] = _plain(held)
                if dataclasses.is_dataclass(held) and _is_chosen(type(value), field.name):
                    table[field.name] = {"kind": _hyphened(type(held)), **table[field.name]}
            except TypeError as error:
                name = f"{type(value).__qualname__}.{field.name}"
                raise ConfigError(f"`{name}` cannot be written in TOML: {error}") from error
    return table


def _is_chosen(cls: type[Any], name: str) -> bool:
    """Whether a field takes dataclasses of several kinds."""
    try:
        hints = _type_hints(cls)  # type: ignore[arg-type]  # every class is hashable
        return bool(_kinds(hints.get(name)))
    except (NameError, TypeError):
        return False  # refused where a value is to be read by it


def describe_slot(slot: Slot, value: object, base: Path) -> Any:
    """Return the table that `build` turns into `value`, every default written out; or the list."""
    parts = registry.parts_of(slot, value)
    if parts is not None:
        return [describe_slot(slot, part, base) for part in parts]
    fields = {key: item for key, item in describe(value).items() if item is not None}
    kind = registry.kind_of(slot, type(value), base)
    return fields if kind in fields else {"kind": kind, **fields}


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {key: item for key, item in describe(value).items() if item is not None}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("its keys are not all strings")
        return {key: _plain(item) for key, item in value.items()}
    if value is None or type(value) in {bool, int, float, str}:
        return value
    raise TypeError(f"it is of type {type(value).__qualname__}")


def _item(value: Any, at: str) -> object:
    """Return what is at a path such as ``[1][0]``; the whole where it goes through a table."""
    if re.fullmatch(r"(\[\d+\])*", at):
        for index in re.findall(r"\d+", at):
            value = value[int(index)]
    return value


class _NoForm(Exception):  # noqa: N818  (said in other words to people)
    """TOML has no form for what an annotation asks for."""


def _no_form(kind: type[Any], _: Any) -> Any:
    # Not a TypeError: msgspec would take that for a fault of the value.
    raise _NoForm(kind)


@functools.cache  # each worker reads the run, and there are as many classes as in the program
def _type_hints(cls: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _hints(cls: type[Any], place: Place) -> dict[str, Any]:
    try:
        return _type_hints(cls)  # type: ignore[arg-type]  # every class is hashable
    except (NameError, TypeError) as error:
        raise ConfigError(
            f"{place}: the annotations of {cls.__qualname__} cannot be read: {error}; "
            "import at run time what they name"
        ) from error


def _keys(key: str, setting: str) -> tuple[str, ...] | None:
    """Read a dotted key as TOML does, quotes included."""
    if "\n" in key:
        return None
    try:
        table: object = tomllib.loads(f"{key} = 0")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise NotToml(f"{setting}: `{key}` is not a key of TOML") from error
    path: list[str] = []
    while isinstance(table, dict):
        if len(table) != 1:
            return None
        ((name, table),) = table.items()
        path.append(name)
    return tuple(path)


def _setting_value(text: str) -> object:
    try:
        table = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    return table["value"] if table.keys() == {"value"} else text


def _without(table: Table, path: tuple[str, ...], setting: str) -> Table:
    key, *rest = path
    if key not in table or (rest and not isinstance(table[key], dict)):
        meant = nearest(key, table)
        missing = f"there is no `{setting.partition('=')[0].removeprefix(BY).strip()}` to take out"
        hint = f"; {meant}" if meant.startswith("did") else '; an empty string is written ""'
        raise UnknownKey.saying(f"{setting}: {missing}{hint}", key)
    if rest:
        return {**table, key: _without(table[key], tuple(rest), setting)}
    return {name: value for name, value in table.items() if name != key}


def _with(table: Table, path: tuple[str, ...], value: object) -> Table:
    key, *rest = path
    if not rest:
        return {**table, key: value}
    below = table.get(key, {})
    if isinstance(below, str):
        below = {"kind": below}
    # What is no table cannot be gone into: the value takes its place, and is refused by its type.
    inner = below if isinstance(below, dict) else {}
    return {**table, key: _with(inner, tuple(rest), value)}
