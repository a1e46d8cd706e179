"""The actor runtime: system, refs, mailboxes, supervision, processes; knows nothing of learning."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.actor import Actor
    from actors.children import ChildRecord, Children
    from actors.code import CodeRef
    from actors.crashpoints import AtClock, CrashPoint
    from actors.declared import Handle
    from actors.deploy import Deployment, Inline, Process, Processes, Simulated
    from actors.errors import (
        ActorError,
        ActorFailed,
        AskError,
        AskTimeout,
        CannotEncode,
        CodeTravelError,
        GaveUp,
        GraphError,
        HandlerError,
        HandlerWarning,
        MailboxFull,
        NodeError,
        NodeStartFailed,
        NoSuchActor,
        NotStarted,
        ObserveError,
        PeerLost,
        SpawnFailed,
        StashFull,
        StorageError,
        Unreachable,
        UsageError,
        WouldDeadlock,
    )
    from actors.events import (
        ActorFailure,
        ActorRestarted,
        ActorStopped,
        CrashPointMissed,
        Custom,
        DeadLetter,
        Event,
        EventStream,
        NodeAnswers,
        NodeDied,
        NodeQuarantined,
        NodeStarted,
        NodeStuck,
        ShutdownTaskFailed,
        SpareDied,
        SpareReady,
        SupervisorGaveUp,
        ThreadAbandoned,
        Unacknowledged,
    )
    from actors.exits import Exit
    from actors.faults import FaultPlan, Kill
    from actors.graph import ActorGraph
    from actors.live import Live
    from actors.message import Message
    from actors.observer import Observer, observe
    from actors.receptionist import Listing, Receptionist, ServiceKey
    from actors.ref import ActorRef
    from actors.runner import loop_factory, run
    from actors.shutdown import CoordinatedShutdown
    from actors.signals import ActorState, Failure, Terminated
    from actors.snapshot import Snapshot, Snapshots
    from actors.spawner import PopenSpawner, ProcessSpec, Spawner
    from actors.stash import Stash
    from actors.state import LiveActor, LiveNode, LiveState
    from actors.storage import FileStorage, MemoryStorage, Storage
    from actors.supervision import Backoff, Strategy, one_for_all, one_for_one, rest_for_one
    from actors.supervisor import Supervisor
    from actors.system import ActorSystem
    from actors.timers import Timers
    from actors.world import World

# Where each public name lives; it is loaded when it is first used, so that a node's process
# can attach to its launcher, and a command line answer, before anything heavy is imported.
_HOMES = {
    "Actor": "actors.actor",
    "ActorError": "actors.errors",
    "ActorFailed": "actors.errors",
    "ActorFailure": "actors.events",
    "ActorGraph": "actors.graph",
    "ActorRef": "actors.ref",
    "ActorRestarted": "actors.events",
    "ActorStopped": "actors.events",
    "ActorState": "actors.signals",
    "ActorSystem": "actors.system",
    "AskError": "actors.errors",
    "AskTimeout": "actors.errors",
    "AtClock": "actors.crashpoints",
    "Backoff": "actors.supervision",
    "CannotEncode": "actors.errors",
    "ChildRecord": "actors.children",
    "Children": "actors.children",
    "CodeRef": "actors.code",
    "CodeTravelError": "actors.errors",
    "CoordinatedShutdown": "actors.shutdown",
    "CrashPoint": "actors.crashpoints",
    "CrashPointMissed": "actors.events",
    "Custom": "actors.events",
    "DeadLetter": "actors.events",
    "Deployment": "actors.deploy",
    "Event": "actors.events",
    "EventStream": "actors.events",
    "Exit": "actors.exits",
    "Failure": "actors.signals",
    "FaultPlan": "actors.faults",
    "FileStorage": "actors.storage",
    "GaveUp": "actors.errors",
    "GraphError": "actors.errors",
    "Handle": "actors.declared",
    "HandlerError": "actors.errors",
    "HandlerWarning": "actors.errors",
    "Inline": "actors.deploy",
    "Kill": "actors.faults",
    "Listing": "actors.receptionist",
    "Live": "actors.live",
    "LiveActor": "actors.state",
    "LiveNode": "actors.state",
    "LiveState": "actors.state",
    "MailboxFull": "actors.errors",
    "MemoryStorage": "actors.storage",
    "Message": "actors.message",
    "NoSuchActor": "actors.errors",
    "NodeAnswers": "actors.events",
    "NodeDied": "actors.events",
    "NodeError": "actors.errors",
    "NodeQuarantined": "actors.events",
    "NodeStartFailed": "actors.errors",
    "NodeStarted": "actors.events",
    "NodeStuck": "actors.events",
    "NotStarted": "actors.errors",
    "ObserveError": "actors.errors",
    "Observer": "actors.observer",
    "PeerLost": "actors.errors",
    "PopenSpawner": "actors.spawner",
    "Process": "actors.deploy",
    "ProcessSpec": "actors.spawner",
    "Processes": "actors.deploy",
    "Receptionist": "actors.receptionist",
    "ServiceKey": "actors.receptionist",
    "ShutdownTaskFailed": "actors.events",
    "Simulated": "actors.deploy",
    "Snapshot": "actors.snapshot",
    "Snapshots": "actors.snapshot",
    "SpareDied": "actors.events",
    "SpareReady": "actors.events",
    "SpawnFailed": "actors.errors",
    "Spawner": "actors.spawner",
    "Stash": "actors.stash",
    "StashFull": "actors.errors",
    "Storage": "actors.storage",
    "StorageError": "actors.errors",
    "Strategy": "actors.supervision",
    "Supervisor": "actors.supervisor",
    "SupervisorGaveUp": "actors.events",
    "Terminated": "actors.signals",
    "ThreadAbandoned": "actors.events",
    "Timers": "actors.timers",
    "Unacknowledged": "actors.events",
    "Unreachable": "actors.errors",
    "UsageError": "actors.errors",
    "World": "actors.world",
    "WouldDeadlock": "actors.errors",
    "loop_factory": "actors.runner",
    "observe": "actors.observer",
    "one_for_all": "actors.supervision",
    "one_for_one": "actors.supervision",
    "rest_for_one": "actors.supervision",
    "run": "actors.runner",
}

__all__ = [
    "Actor",
    "ActorError",
    "ActorFailed",
    "ActorFailure",
    "ActorGraph",
    "ActorRef",
    "ActorRestarted",
    "ActorState",
    "ActorStopped",
    "ActorSystem",
    "AskError",
    "AskTimeout",
    "AtClock",
    "Backoff",
    "CannotEncode",
    "ChildRecord",
    "Children",
    "CodeRef",
    "CodeTravelError",
    "CoordinatedShutdown",
    "CrashPoint",
    "CrashPointMissed",
    "Custom",
    "DeadLetter",
    "Deployment",
    "Event",
    "EventStream",
    "Exit",
    "Failure",
    "FaultPlan",
    "FileStorage",
    "GaveUp",
    "GraphError",
    "Handle",
    "HandlerError",
    "HandlerWarning",
    "Inline",
    "Kill",
    "Listing",
    "Live",
    "LiveActor",
    "LiveNode",
    "LiveState",
    "MailboxFull",
    "MemoryStorage",
    "Message",
    "NoSuchActor",
    "NodeAnswers",
    "NodeDied",
    "NodeError",
    "NodeQuarantined",
    "NodeStartFailed",
    "NodeStarted",
    "NodeStuck",
    "NotStarted",
    "ObserveError",
    "Observer",
    "PeerLost",
    "PopenSpawner",
    "Process",
    "ProcessSpec",
    "Processes",
    "Receptionist",
    "ServiceKey",
    "ShutdownTaskFailed",
    "Simulated",
    "Snapshot",
    "Snapshots",
    "SpareDied",
    "SpareReady",
    "SpawnFailed",
    "Spawner",
    "Stash",
    "StashFull",
    "Storage",
    "StorageError",
    "Strategy",
    "Supervisor",
    "SupervisorGaveUp",
    "Terminated",
    "ThreadAbandoned",
    "Timers",
    "Unacknowledged",
    "Unreachable",
    "UsageError",
    "World",
    "WouldDeadlock",
    "loop_factory",
    "observe",
    "one_for_all",
    "one_for_one",
    "rest_for_one",
    "run",
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
