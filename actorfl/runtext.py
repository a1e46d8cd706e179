"""A run as it travels to the processes that carry it out."""

from __future__ import annotations

import functools
import tomllib
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
    for name, known in described.code.items():
        slot, _, level = name.partition(".")
        registry.check_same(SLOTS[slot], type(run.part(slot, level)), known)
    return run


def code_of(run: Run) -> dict[str, dict[str, str]]:
    """What the classes in the slots of a run are, by slot; of levels by ``slot.level``."""
    names = [*SLOTS, *(f"{slot}.{level}" for slot, level in run.levelled)]
    found = {}
    for name in names:
        slot, _, level = name.partition(".")
        value = run.part(slot, level)
        if value is not None:  # `select` may be left out
            found[name] = registry.identity_of(SLOTS[slot], type(value))
    return found
