"""One value for each level of aggregators: ``sync={"edge": BSP(rounds=5), "root": ASP()}``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actorfl import config, registry
from actorfl.config import Place
from actorfl.errors import Misfit, MissingKey, UnknownKey
from actorfl.registry import Slot
from actorfl.topology import Topology
from actorfl.tree import Levelled


def are_levels(slot: Slot, value: Mapping[str, object]) -> bool:
    """Whether a table holds one value for each level, and not the fields of one value."""
    return (
        bool(value)
        and "kind" not in value
        and all(isinstance(each, (str, Mapping)) for each in value.values())
        and not any(key in slot.kinds for key in value)
    )


def levels_of(
    slot: Slot, value: object, topology: Topology, base: Path
) -> tuple[tuple[str, Any], ...]:
    """The values by level, outermost first; empty where there is one for all.

    Args:
        slot: what they fill.
        value: a mapping from levels to values or names of kinds, or anything else.
        topology: whose levels they are.
        base: directory that relative paths in kinds start from.

    Raises:
        Misfit: the topology has no levels.
        MissingKey: a level is left out.
        UnknownKey: there is no such level.
        ConfigError: a value is refused.
    """
    if not isinstance(value, Mapping):
        return ()
    if not isinstance(topology, Levelled):
        raise Misfit(
            f"{slot.name} is given for the levels {', '.join(map(str, value))}, and "
            f"{type(topology).__name__} has none; give one value, or use Tree"
        )
    levels = [level for level, _ in topology.levels[:-1]]
    for name in value:
        if name not in levels:
            near = difflib.get_close_matches(str(name), levels, n=1) or levels
            raise UnknownKey(f"level of {slot.name}", str(name), "in Tree", near)
    found = []
    for level in levels:
        if level not in value:
            raise MissingKey(level, slot.name, "(one for each level of aggregators)")
        each = value[level]
        if isinstance(each, str):
            each = config.build(slot, each, Place("Run", (slot.name, level)), base)
        registry.check_instance(slot, each)
        found.append((level, each))
    return tuple(found)
