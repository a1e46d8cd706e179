"""The simulated network: ``sim://`` between nodes of one process, in virtual time, by one seed.

``SimLoop`` is an event loop whose time is virtual, ``SimNetwork`` connects the nodes on it, and
``SimNetwork.node(name)`` is what an ``Endpoint`` takes as its ``context``, with a ``SimClock``.
"""

from transports.sim.clock import EPOCH, SimClock
from transports.sim.errors import (
    RealWorldError,
    SimulatedDeadlock,
    SimulationError,
    SimulationRunaway,
)
from transports.sim.loop import MAX_STEPS, SimLoop
from transports.sim.loopstatistics import LoopStatistics
from transports.sim.net import Net, Nets
from transports.sim.network import NetworkStatistics, SimNetwork, SimNode
from transports.sim.owner import owned
from transports.sim.trace import TRACE_VERSION, Event, Trace

__all__ = [
    "EPOCH",
    "MAX_STEPS",
    "TRACE_VERSION",
    "Event",
    "LoopStatistics",
    "Net",
    "Nets",
    "NetworkStatistics",
    "RealWorldError",
    "SimClock",
    "SimLoop",
    "SimNetwork",
    "SimNode",
    "SimulatedDeadlock",
    "SimulationError",
    "SimulationRunaway",
    "Trace",
    "owned",
]
