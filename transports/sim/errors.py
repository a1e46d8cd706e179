"""Everything by which a simulation says that it cannot go on.

SimulationError (a TransportError)
├── SimulatedDeadlock     tasks wait and nothing will ever wake them
├── SimulationRunaway     more steps or more virtual time than the simulation was allowed
└── RealWorldError        code under simulation reached for a socket, a thread or a process
"""

from __future__ import annotations

from transports.errors import TransportError


class SimulationError(TransportError):
    """Root of the errors of the simulation."""


class SimulatedDeadlock(SimulationError):  # noqa: N818  (the sentence is the name)
    """Nothing is ready and no timer is set while something is awaited; the sentence names who."""


class SimulationRunaway(SimulationError):  # noqa: N818
    """The simulation took more steps, or more virtual time, than it was allowed."""


class RealWorldError(SimulationError, NotImplementedError):
    """Code under simulation asked for what is not simulated: real I/O, threads, processes.

    A ``NotImplementedError`` too, which asyncio documents for what a loop does not offer.
    """
