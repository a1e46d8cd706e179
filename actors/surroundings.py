"""What a child process finds around it: environment, import path, directory, descriptors."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.spawner import ProcessSpec

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Surroundings:
    """All that a process is given before it runs, and that nobody can change afterwards.

    Attributes:
        module: what ``python -m`` runs.
        environment: of the process, complete. OpenMP and torch read theirs when they load.
        path: its ``sys.path``.
        cwd: its working directory; None for the launcher's.
        pass_fds: descriptors that it inherits.
    """

    module: str
    environment: Mapping[str, str]
    path: tuple[str, ...]
    cwd: str | None
    pass_fds: tuple[int, ...]

    @classmethod
    def of(cls, spec: ProcessSpec) -> Surroundings:
        """Those of a process that would be started now."""
        return cls(
            spec.module,
            environment(spec.env),
            tuple(import_path(spec.env.get("PYTHONPATH"))),
            spec.cwd,
            spec.pass_fds,
        )


def environment(overlay: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with the overlay, and what every child has."""
    variables = dict(os.environ)
    # A shell's setting would make results depend on the shell (the number of threads changes
    # bits), so only the overlay may raise it.
    variables.update(dict.fromkeys(_ONE_THREAD, "1"))
    variables["PYTHONFAULTHANDLER"] = "1"
    variables["PYTHONUNBUFFERED"] = "1"  # what a killed process had printed is not lost
    variables.update(overlay)
    standard = _standard_folders()
    found = [
        entry
        for entry in import_path(overlay.get("PYTHONPATH"))
        if entry not in standard and os.pathsep not in entry
    ]
    variables["PYTHONPATH"] = os.pathsep.join(found)
    return variables


def import_path(first: str | None) -> list[str]:
    """The ``sys.path`` of a child whose overlay begins it so."""
    # Absolute: "" and "." mean another folder after a change of directory.
    own = first.split(os.pathsep) if first else []
    return [os.path.abspath(entry) for entry in (*own, *sys.path)]  # noqa: PTH100  (keeps links)


def _standard_folders() -> set[str]:
    # The child finds these by itself, and another version of Python that it may start must not
    # be given them.
    paths = sysconfig.get_paths()
    keys = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {paths[key] for key in keys}
    stdlib = sysconfig.get_path("stdlib", vars={"base": sys.base_prefix})
    version = f"{sys.version_info.major}{sys.version_info.minor}"
    return folders | {
        stdlib,
        os.path.join(stdlib, "lib-dynload"),  # noqa: PTH118  (compared as text with sys.path)
        os.path.join(os.path.dirname(stdlib), f"python{version}.zip"),  # noqa: PTH118, PTH120
    }
