"""Where in the user's own code an exception came from: what a person looks for first."""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path

_FRAME = re.compile(r'^  File "([^"]+)", line (\d+), in (.+)$', re.MULTILINE)
_PACKAGES = frozenset({"site-packages", "dist-packages"})
_OURS = ("actorfl", "actors", "transports")


def own_place(traceback: str) -> str:
    """Return the innermost line of a traceback that is neither ours nor a library's.

    Args:
        traceback: as Python prints it.

    Returns:
        ``"shape.py, line 18, in loss"``, or nothing where there is no such line.
    """
    for file, line, function in reversed(_FRAME.findall(traceback)):
        if not _foreign(file):
            return f"{Path(file).name}, line {line}, in {function}"
    return ""


def _foreign(file: str) -> bool:
    if file.startswith("<"):
        return True
    path = Path(file)
    if not _PACKAGES.isdisjoint(path.parts):  # of another interpreter, or of the user
        return True
    return any(path.is_relative_to(folder) for folder in _folders())


def _folders() -> list[Path]:
    root = Path(__file__).parents[1]
    paths = sysconfig.get_paths()
    libraries = [Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return [*libraries, *(root / name for name in _OURS)]
