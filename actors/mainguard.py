"""Whether a script starts its processes where each of them would start them again.

A process that is to make an actor whose class stands in the script loads the script. What stands
outside ``if __name__ == "__main__":`` runs then, in every process: ``multiprocessing`` notices that
in its children; here it is seen before any is started, and in the children for what was not seen.
"""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from actors.errors import CodeTravelError

GUARD: Final = 'if __name__ == "__main__":'


def refuse_unguarded(classes: Iterable[type[Any]]) -> None:
    """Refuse to start processes that would load the script and start processes in turn.

    Only a script that is sure to do so is refused: it makes
    no comparison with ``__name__`` up to the statement that has led here.

    Args:
        classes: what is to be made in processes.

    Raises:
        CodeTravelError: one is of the script, whose main guard is missing.
    """
    ours = next((cls for cls in classes if cls.__module__ == "__main__"), None)
    line = _line_of_main() if ours is not None else None
    file = getattr(sys.modules["__main__"], "__file__", None)
    if ours is None or line is None or file is None:
        return
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return  # it was edited since, or is no source
    if not _guarded(tree, line):
        raise CodeTravelError(
            f"{file} starts processes in line {line}, and each of them loads it for "
            f"{ours.__qualname__} and would start them again; put that line under `{GUARD}`"
        )


def _line_of_main() -> int | None:
    """Where the script is, at its top level, while this is called, in whatever thread."""
    main_thread = threading.main_thread().ident
    frame: FrameType | None = sys._current_frames().get(main_thread or 0)  # noqa: SLF001
    main = sys.modules["__main__"].__dict__
    while frame is not None:
        if frame.f_globals is main and frame.f_code.co_name == "<module>":
            return frame.f_lineno
        frame = frame.f_back
    return None


def _guarded(tree: ast.Module, line: int) -> bool:
    for statement in tree.body:
        if statement.lineno > line:
            break
        # One before it may well have left, or noted who it is; within it, only what decides.
        if any(_compares_name(node) for node in ast.walk(statement)):
            return True
    return False


def _compares_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Compare) and any(
        isinstance(part, ast.Name) and part.id == "__name__"
        for part in (node.left, *node.comparators)
    )
