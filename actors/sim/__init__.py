"""A whole system in one process and in virtual time: nodes, network, disks, crashes, one seed."""

from actors.sim.disk import Disk
from actors.sim.simulation import Simulation, SimulationStatistics

__all__ = ["Disk", "Simulation", "SimulationStatistics"]
