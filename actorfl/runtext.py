"""A run as it travels to the processes that carry it out."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from actorfl import registry
from actorfl.registry import SLOTS
from actorfl.run import Run


class RunText(msgspec.Struct, frozen=True):
    """A run, and what its classes were where it was started.

    Attributes:
        toml: the resolved configuration.
        base: directory that its relative paths start from.
        code: name and source of the class in each slot, as ``registry.identity_of`` returns them.
        identity: of the run, the same over all its starts.
    """

    toml: str
    base: str
    code: dict[str, dict[str, str]]
    identity: str

    @classmethod
    def of(cls, run: Run, identity: str) -> RunText:
        """Describe a run."""
        return cls(run.to_toml(), str(run.base), code_of(run), identity)

    def read(self) -> Run:
        """Build the run of the classes that are here.

        Raises:
            ConfigError: a class does not import here, or its source is another one.
        """
        return _read(msgspec.json.encode(self, order="sorted"))


@functools.lru_cache(maxsize=1)  # of one run a process may hold thousands of workers
def _read(text: bytes) -> Run:
    described = msgspec.json.decode(text, type=RunText)
    run = Run.from_table(tomllib.loads(described.toml), Path(described.base))
    for name, slot, value in _values(run):
        registry.check_value(SLOTS[slot], value, described.code, name)
    return run


def code_of(run: Run) -> dict[str, dict[str, str]]:
    """What the classes in the slots of a run are, by slot; of levels by ``slot.level``."""
    found: dict[str, dict[str, str]] = {}
    for name, slot, value in _values(run):
        found |= registry.identities(SLOTS[slot], value, name)
    return found


def _values(run: Run) -> Iterator[tuple[str, str, object]]:
    """The name, the slot and the value of each part of a run that can be replaced."""
    for name in (*SLOTS, *(f"{slot}.{level}" for slot, level in run.levelled)):
        slot, _, level = name.partition(".")
        if not run.has(slot):
            continue
        value = run.part(slot, level)
        if value is not None:  # `select` may be left out
            yield name, slot, value
