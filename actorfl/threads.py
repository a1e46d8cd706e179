"""How many threads torch uses within a fit: another count gives other bits, so it is a setting."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Final

from actorfl.errors import WrongValue
from actors import Deployment, Processes

VARIABLE: Final = "ACTORFL_THREADS"
"""Environment variable that holds the count; children inherit it, so inline and processes agree."""

_OPENMP = "OMP_NUM_THREADS"
_WAITING = "OMP_WAIT_POLICY"

# Far above any machine's cores. The kernels' pool makes a thread for each, so that a slip of the
# finger (or a process id pasted here) would take the machine down.
_MOST = 1024


def threads_per_fit(environ: Mapping[str, str] | None = None) -> int:
    """Read how many threads torch uses within a fit.

    OMP_NUM_THREADS does not count here: it is what a shell or a batch system happened to set, and
    would make an inline run differ from one over processes, whose children start with 1.

    Args:
        environ: The environment; this process's own by default.

    Returns:
        The count, in [1, 1024]; 1 where nothing is set.

    Raises:
        WrongValue: The variable holds no such number.
    """
    return _count((os.environ if environ is None else environ).get(VARIABLE), VARIABLE) or 1


def child_environment(overlay: Mapping[str, str]) -> dict[str, str]:
    """Complete the variables that a deployment lays over a child process's environment.

    There OMP_NUM_THREADS is written on purpose, so it counts for the fits of that process; and a
    count of fits is handed to OpenMP, which sizes its pool before torch is asked.

    Args:
        overlay: Variables as ``Processes(n, env={name: overlay})`` has them.

    Returns:
        The overlay with both variables, where it had one of them, and with what lets several
        threads a process share the cores with other processes.

    Raises:
        WrongValue: One of them holds no number of threads.
    """
    own = _count(overlay.get(VARIABLE), VARIABLE)
    # A list ("4,2") gives OpenMP's counts by depth of nesting; fits are at the outermost.
    openmp = _count(overlay.get(_OPENMP, "").split(",")[0], _OPENMP)
    count = own or openmp
    if count is None:
        return dict(overlay)
    # Threads that wait actively take the cores from the neighbours that they wait for: a probe of
    # 30 ms took 1,400-4,400 ms with two threads on two busy cores, and 150 ms with these asleep.
    waiting = {_WAITING: "passive"} if count > 1 else {}
    return {_OPENMP: str(count), VARIABLE: str(count), **waiting, **overlay}


def deployed(on: Deployment) -> Deployment:
    """The deployment with `child_environment` for each overlay that it has.

    Raises:
        WrongValue: a variable holds no number of threads.
    """
    if not isinstance(on, Processes) or not on.env:
        return on
    env = {name: child_environment(overlay) for name, overlay in on.env.items()}
    return dataclasses.replace(on, env=env)


def _count(text: str | None, variable: str) -> int | None:
    if text is None or not text.strip():
        return None
    try:
        count = int(text)
    except ValueError:
        count = 0
    if not 1 <= count <= _MOST:
        raise WrongValue(
            f"the environment variable {variable}", f"a whole number from 1 to {_MOST}", text
        )
    return count
