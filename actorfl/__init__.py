"""Distributed learning with actors: what is learned, who aggregates, who talks to whom, when."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actorfl.algorithm import Algorithm, Closed, Ctx, Mine, ServerState
    from actorfl.algorithms.admm import ConsensusADMM
    from actorfl.algorithms.adpsgd import ADPSGD
    from actorfl.algorithms.averagedreadout import AveragedReadout
    from actorfl.algorithms.chocosgd import ChocoSGD
    from actorfl.algorithms.consensus import AverageConsensus
    from actorfl.algorithms.dfedavg import DFedAvg
    from actorfl.algorithms.ditto import Ditto
    from actorfl.algorithms.dpsgd import DPSGD
    from actorfl.algorithms.epidemic import EpidemicLearning
    from actorfl.algorithms.fedadagrad import FedAdagrad
    from actorfl.algorithms.fedadam import FedAdam
    from actorfl.algorithms.fedasync import FedAsync
    from actorfl.algorithms.fedavg import FedAvg
    from actorfl.algorithms.fedavgm import FedAvgM
    from actorfl.algorithms.fedbn import FedBN
    from actorfl.algorithms.fedbuff import FedBuff
    from actorfl.algorithms.fednova import FedNova
    from actorfl.algorithms.fedprox import FedProx
    from actorfl.algorithms.fedrep import FedRep
    from actorfl.algorithms.fedsgd import FedSGD
    from actorfl.algorithms.fedyogi import FedYogi
    from actorfl.algorithms.geometricmedian import GeometricMedian
    from actorfl.algorithms.gossip import Gossip
    from actorfl.algorithms.hierfavg import HierFAVG
    from actorfl.algorithms.krum import Krum
    from actorfl.algorithms.median import Median
    from actorfl.algorithms.multikrum import MultiKrum
    from actorfl.algorithms.normclipping import NormClipping
    from actorfl.algorithms.parameterserver import ParameterServer
    from actorfl.algorithms.pushsum import PushSum
    from actorfl.algorithms.readoutadmm import ReadoutADMM
    from actorfl.algorithms.readoutconsensus import ReadoutConsensus
    from actorfl.algorithms.ridgereadout import RidgeReadout
    from actorfl.algorithms.scaffold import Scaffold
    from actorfl.algorithms.sgp import StochasticGradientPush
    from actorfl.algorithms.trimmedmean import TrimmedMean
    from actorfl.availability import Available, Presence
    from actorfl.compression import Compression
    from actorfl.compressions.eightbit import EightBit
    from actorfl.compressions.onebit import OneBit
    from actorfl.compressions.randomk import RandomK
    from actorfl.compressions.topk import TopK
    from actorfl.errors import ActorflError, ConfigError, RunDirectoryError, RunFailed
    from actorfl.esn.forecast import ForecastTask
    from actorfl.esn.reservoir import Reservoir
    from actorfl.esn.task import EchoStateTask, series
    from actorfl.estimator import EstimatorTask
    from actorfl.every import Every
    from actorfl.execute import Result, Running, running
    from actorfl.exitcodes import ExitCode
    from actorfl.flatmodel import Model, average
    from actorfl.gossip.merges import ByAge, Overwrite
    from actorfl.gossip.sends import Partitioned, SubSampled, Whole
    from actorfl.gossip.tokens import Generalised, Proactive, Randomised, Simple
    from actorfl.graphs.chance import (
        BlockModelGraph,
        ErdosRenyiGraph,
        ScaleFreeGraph,
        SmallWorld,
    )
    from actorfl.graphs.complete import CompleteGraph, StarGraph
    from actorfl.graphs.edges import EdgeListGraph
    from actorfl.graphs.exponential import ExponentialGraph, HypercubeGraph, OnePeerExponentialGraph
    from actorfl.graphs.lattice import GridGraph, TorusGraph
    from actorfl.graphs.regular import FreshRegularGraph, RegularGraph
    from actorfl.graphs.ring import PathGraph, RingGraph
    from actorfl.graphs.schedule import ScheduleGraph
    from actorfl.graphs.vehicles import RoadGrid, Vehicles
    from actorfl.layout import Layout
    from actorfl.local import SGD, Gradients, Local
    from actorfl.logistic import LogisticTask
    from actorfl.mean import Mean
    from actorfl.merging import Merged
    from actorfl.mixing import BestConstant, Metropolis, Mixing, Uniform
    from actorfl.nested import Group, Member, Nested
    from actorfl.nodes import Me, NodeLoop, NothingReceived, NotTaken, Received
    from actorfl.ownfit import FitCtx, FitOptimizer
    from actorfl.pairing import PairAlgorithm, PairCtx, PairState
    from actorfl.partition import Iid, Partitioner, Sampled
    from actorfl.partitions.contiguous import Contiguous
    from actorfl.partitions.groups import ByGroup
    from actorfl.partitions.labels import ByLabel, Shards
    from actorfl.partitions.singleclass import SingleClass
    from actorfl.partitions.skew import Dirichlet, Quantity
    from actorfl.parts import Parts
    from actorfl.peersampling.topologies import Cyclon, Newscast, UniformPeers
    from actorfl.perexample import PerExample
    from actorfl.personal import personal_model
    from actorfl.run import Run
    from actorfl.sampling import Sample, Selection
    from actorfl.stay import Stay
    from actorfl.supervision import Supervision
    from actorfl.sweep import Sweep, Swept
    from actorfl.switch import Switch
    from actorfl.sync import ASP, BSP, SSP, Buffered, Period, Quorum, Sync
    from actorfl.target import Target
    from actorfl.task import Batch, Dataset, Task, Who
    from actorfl.terms import Sum, Terms
    from actorfl.topology import Peers, Star, Topology
    from actorfl.tree import Tree
    from actorfl.until import (
        AnyOf,
        Clocks,
        Hours,
        Minutes,
        Rounds,
        Seconds,
        Until,
        Updates,
        Versions,
    )
    from actors.deploy import Inline, Processes, Simulated

# Another distribution installs a top-level package of that name, too; found out here and not by
# an AttributeError deep inside a run.
_spec = importlib.util.find_spec("transports")
if (
    _spec is None
    or _spec.origin is None
    or not Path(_spec.origin).with_name("endpoint.py").exists()
):
    _where = _spec.origin if _spec is not None else "nowhere"
    _msg = (
        f"actorfl needs the package `transports` that it ships, but {_where} was found; "
        "run `pip uninstall transports`, then reinstall actorfl"
    )
    raise ImportError(_msg)

# Whoever uses this decides where its log goes; without a handler Python writes warnings to stderr.
logging.getLogger(__name__).addHandler(logging.NullHandler())

# Where each public name lives; it is loaded when it is first used, so that a node's process
# can attach to its launcher, and a command line answer, before anything heavy is imported.
_HOMES = {
    "ADPSGD": "actorfl.algorithms.adpsgd",
    "ASP": "actorfl.sync",
    "ActorflError": "actorfl.errors",
    "Algorithm": "actorfl.algorithm",
    "AnyOf": "actorfl.until",
    "Available": "actorfl.availability",
    "AverageConsensus": "actorfl.algorithms.consensus",
    "AveragedReadout": "actorfl.algorithms.averagedreadout",
    "BSP": "actorfl.sync",
    "Batch": "actorfl.task",
    "BestConstant": "actorfl.mixing",
    "BlockModelGraph": "actorfl.graphs.chance",
    "Buffered": "actorfl.sync",
    "ByAge": "actorfl.gossip.merges",
    "ByGroup": "actorfl.partitions.groups",
    "ByLabel": "actorfl.partitions.labels",
    "ChocoSGD": "actorfl.algorithms.chocosgd",
    "Clocks": "actorfl.until",
    "Closed": "actorfl.algorithm",
    "CompleteGraph": "actorfl.graphs.complete",
    "Compression": "actorfl.compression",
    "ConfigError": "actorfl.errors",
    "ConsensusADMM": "actorfl.algorithms.admm",
    "Contiguous": "actorfl.partitions.contiguous",
    "Ctx": "actorfl.algorithm",
    "Cyclon": "actorfl.peersampling.topologies",
    "DFedAvg": "actorfl.algorithms.dfedavg",
    "DPSGD": "actorfl.algorithms.dpsgd",
    "Dataset": "actorfl.task",
    "Dirichlet": "actorfl.partitions.skew",
    "Ditto": "actorfl.algorithms.ditto",
    "EchoStateTask": "actorfl.esn.task",
    "EdgeListGraph": "actorfl.graphs.edges",
    "EightBit": "actorfl.compressions.eightbit",
    "EpidemicLearning": "actorfl.algorithms.epidemic",
    "ErdosRenyiGraph": "actorfl.graphs.chance",
    "EstimatorTask": "actorfl.estimator",
    "Every": "actorfl.every",
    "ExitCode": "actorfl.exitcodes",
    "ExponentialGraph": "actorfl.graphs.exponential",
    "FedAdagrad": "actorfl.algorithms.fedadagrad",
    "FedAdam": "actorfl.algorithms.fedadam",
    "FedAsync": "actorfl.algorithms.fedasync",
    "FedAvg": "actorfl.algorithms.fedavg",
    "FedAvgM": "actorfl.algorithms.fedavgm",
    "FedBN": "actorfl.algorithms.fedbn",
    "FedBuff": "actorfl.algorithms.fedbuff",
    "FedNova": "actorfl.algorithms.fednova",
    "FedProx": "actorfl.algorithms.fedprox",
    "FedRep": "actorfl.algorithms.fedrep",
    "FedSGD": "actorfl.algorithms.fedsgd",
    "FedYogi": "actorfl.algorithms.fedyogi",
    "FitCtx": "actorfl.ownfit",
    "FitOptimizer": "actorfl.ownfit",
    "ForecastTask": "actorfl.esn.forecast",
    "FreshRegularGraph": "actorfl.graphs.regular",
    "Generalised": "actorfl.gossip.tokens",
    "GeometricMedian": "actorfl.algorithms.geometricmedian",
    "Gossip": "actorfl.algorithms.gossip",
    "Gradients": "actorfl.local",
    "GridGraph": "actorfl.graphs.lattice",
    "Group": "actorfl.nested",
    "HierFAVG": "actorfl.algorithms.hierfavg",
    "Hours": "actorfl.until",
    "HypercubeGraph": "actorfl.graphs.exponential",
    "Iid": "actorfl.partition",
    "Inline": "actors.deploy",
    "Krum": "actorfl.algorithms.krum",
    "Layout": "actorfl.layout",
    "Local": "actorfl.local",
    "LogisticTask": "actorfl.logistic",
    "Me": "actorfl.nodes",
    "Mean": "actorfl.mean",
    "Median": "actorfl.algorithms.median",
    "Member": "actorfl.nested",
    "Merged": "actorfl.merging",
    "Metropolis": "actorfl.mixing",
    "Mine": "actorfl.algorithm",
    "Minutes": "actorfl.until",
    "Mixing": "actorfl.mixing",
    "Model": "actorfl.flatmodel",
    "MultiKrum": "actorfl.algorithms.multikrum",
    "Nested": "actorfl.nested",
    "Newscast": "actorfl.peersampling.topologies",
    "NodeLoop": "actorfl.nodes",
    "NormClipping": "actorfl.algorithms.normclipping",
    "NotTaken": "actorfl.nodes",
    "NothingReceived": "actorfl.nodes",
    "OneBit": "actorfl.compressions.onebit",
    "OnePeerExponentialGraph": "actorfl.graphs.exponential",
    "Overwrite": "actorfl.gossip.merges",
    "PairAlgorithm": "actorfl.pairing",
    "PairCtx": "actorfl.pairing",
    "PairState": "actorfl.pairing",
    "ParameterServer": "actorfl.algorithms.parameterserver",
    "Partitioned": "actorfl.gossip.sends",
    "Partitioner": "actorfl.partition",
    "Parts": "actorfl.parts",
    "PathGraph": "actorfl.graphs.ring",
    "Peers": "actorfl.topology",
    "PerExample": "actorfl.perexample",
    "Period": "actorfl.sync",
    "Presence": "actorfl.availability",
    "Proactive": "actorfl.gossip.tokens",
    "Processes": "actors.deploy",
    "PushSum": "actorfl.algorithms.pushsum",
    "Quantity": "actorfl.partitions.skew",
    "Quorum": "actorfl.sync",
    "RandomK": "actorfl.compressions.randomk",
    "Randomised": "actorfl.gossip.tokens",
    "ReadoutADMM": "actorfl.algorithms.readoutadmm",
    "ReadoutConsensus": "actorfl.algorithms.readoutconsensus",
    "Received": "actorfl.nodes",
    "RegularGraph": "actorfl.graphs.regular",
    "Reservoir": "actorfl.esn.reservoir",
    "Result": "actorfl.execute",
    "RidgeReadout": "actorfl.algorithms.ridgereadout",
    "RingGraph": "actorfl.graphs.ring",
    "RoadGrid": "actorfl.graphs.vehicles",
    "Rounds": "actorfl.until",
    "Run": "actorfl.run",
    "RunDirectoryError": "actorfl.errors",
    "RunFailed": "actorfl.errors",
    "Running": "actorfl.execute",
    "SGD": "actorfl.local",
    "SSP": "actorfl.sync",
    "Sample": "actorfl.sampling",
    "Sampled": "actorfl.partition",
    "Scaffold": "actorfl.algorithms.scaffold",
    "ScaleFreeGraph": "actorfl.graphs.chance",
    "ScheduleGraph": "actorfl.graphs.schedule",
    "Seconds": "actorfl.until",
    "Selection": "actorfl.sampling",
    "ServerState": "actorfl.algorithm",
    "Shards": "actorfl.partitions.labels",
    "Simple": "actorfl.gossip.tokens",
    "Simulated": "actors.deploy",
    "SingleClass": "actorfl.partitions.singleclass",
    "SmallWorld": "actorfl.graphs.chance",
    "Star": "actorfl.topology",
    "StarGraph": "actorfl.graphs.complete",
    "Stay": "actorfl.stay",
    "StochasticGradientPush": "actorfl.algorithms.sgp",
    "SubSampled": "actorfl.gossip.sends",
    "Sum": "actorfl.terms",
    "Supervision": "actorfl.supervision",
    "Sweep": "actorfl.sweep",
    "Swept": "actorfl.sweep",
    "Switch": "actorfl.switch",
    "Sync": "actorfl.sync",
    "Target": "actorfl.target",
    "Task": "actorfl.task",
    "Terms": "actorfl.terms",
    "TopK": "actorfl.compressions.topk",
    "Topology": "actorfl.topology",
    "TorusGraph": "actorfl.graphs.lattice",
    "Tree": "actorfl.tree",
    "TrimmedMean": "actorfl.algorithms.trimmedmean",
    "Uniform": "actorfl.mixing",
    "UniformPeers": "actorfl.peersampling.topologies",
    "Until": "actorfl.until",
    "Updates": "actorfl.until",
    "Vehicles": "actorfl.graphs.vehicles",
    "Versions": "actorfl.until",
    "Who": "actorfl.task",
    "Whole": "actorfl.gossip.sends",
    "average": "actorfl.flatmodel",
    "personal_model": "actorfl.personal",
    "running": "actorfl.execute",
    "series": "actorfl.esn.task",
}

__all__ = [
    "ADPSGD",
    "ASP",
    "BSP",
    "DPSGD",
    "SGD",
    "SSP",
    "ActorflError",
    "Algorithm",
    "AnyOf",
    "Available",
    "AverageConsensus",
    "AveragedReadout",
    "Batch",
    "BestConstant",
    "BlockModelGraph",
    "Buffered",
    "ByAge",
    "ByGroup",
    "ByLabel",
    "ChocoSGD",
    "Clocks",
    "Closed",
    "CompleteGraph",
    "Compression",
    "ConfigError",
    "ConsensusADMM",
    "Contiguous",
    "Ctx",
    "Cyclon",
    "DFedAvg",
    "Dataset",
    "Dirichlet",
    "Ditto",
    "EchoStateTask",
    "EdgeListGraph",
    "EightBit",
    "EpidemicLearning",
    "ErdosRenyiGraph",
    "EstimatorTask",
    "Every",
    "ExitCode",
    "ExponentialGraph",
    "FedAdagrad",
    "FedAdam",
    "FedAsync",
    "FedAvg",
    "FedAvgM",
    "FedBN",
    "FedBuff",
    "FedNova",
    "FedProx",
    "FedRep",
    "FedSGD",
    "FedYogi",
    "FitCtx",
    "FitOptimizer",
    "ForecastTask",
    "FreshRegularGraph",
    "Generalised",
    "GeometricMedian",
    "Gossip",
    "Gradients",
    "GridGraph",
    "Group",
    "HierFAVG",
    "Hours",
    "HypercubeGraph",
    "Iid",
    "Inline",
    "Krum",
    "Layout",
    "Local",
    "LogisticTask",
    "Me",
    "Mean",
    "Median",
    "Member",
    "Merged",
    "Metropolis",
    "Mine",
    "Minutes",
    "Mixing",
    "Model",
    "MultiKrum",
    "Nested",
    "Newscast",
    "NodeLoop",
    "NormClipping",
    "NotTaken",
    "NothingReceived",
    "OneBit",
    "OnePeerExponentialGraph",
    "Overwrite",
    "PairAlgorithm",
    "PairCtx",
    "PairState",
    "ParameterServer",
    "Partitioned",
    "Partitioner",
    "Parts",
    "PathGraph",
    "Peers",
    "PerExample",
    "Period",
    "Presence",
    "Proactive",
    "Processes",
    "PushSum",
    "Quantity",
    "Quorum",
    "RandomK",
    "Randomised",
    "ReadoutADMM",
    "ReadoutConsensus",
    "Received",
    "RegularGraph",
    "Reservoir",
    "Result",
    "RidgeReadout",
    "RingGraph",
    "RoadGrid",
    "Rounds",
    "Run",
    "RunDirectoryError",
    "RunFailed",
    "Running",
    "Sample",
    "Sampled",
    "Scaffold",
    "ScaleFreeGraph",
    "ScheduleGraph",
    "Seconds",
    "Selection",
    "ServerState",
    "Shards",
    "Simple",
    "Simulated",
    "SingleClass",
    "SmallWorld",
    "Star",
    "StarGraph",
    "Stay",
    "StochasticGradientPush",
    "SubSampled",
    "Sum",
    "Supervision",
    "Sweep",
    "Swept",
    "Switch",
    "Sync",
    "Target",
    "Task",
    "Terms",
    "TopK",
    "Topology",
    "TorusGraph",
    "Tree",
    "TrimmedMean",
    "Uniform",
    "UniformPeers",
    "Until",
    "Updates",
    "Vehicles",
    "Versions",
    "Who",
    "Whole",
    "average",
    "personal_model",
    "running",
    "series",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
