"""The actor runtime: system, refs, mailboxes, supervision, processes; knows nothing of learning."""

from actors.actor import Actor
from actors.deploy import Deployment, Inline, Process, Processes
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
    MailboxFull,
    NodeError,
    NodeStartFailed,
    NoSuchActor,
    NotStarted,
    PeerLost,
    SpawnFailed,
    StorageError,
    Unreachable,
    UsageError,
    WouldDeadlock,
)
from actors.events import (
    ActorFailure,
    ActorRestarted,
    ActorStopped,
    Custom,
    DeadLetter,
    Event,
    EventStream,
    NodeDied,
    NodeStarted,
    SupervisorGaveUp,
)
from actors.graph import ActorGraph, Handle, Live
from actors.message import Message
from actors.ref import ActorRef
from actors.runner import loop_factory, run
from actors.signals import Failure, Terminated
from actors.snapshot import Snapshot, Snapshots
from actors.storage import FileStorage, MemoryStorage, Storage
from actors.supervision import Backoff, Strategy, one_for_one
from actors.supervisor import Supervisor
from actors.system import ActorSystem
from actors.timers import Timers
from actors.world import World

__all__ = [
    "Actor",
    "ActorError",
    "ActorFailed",
    "ActorFailure",
    "ActorGraph",
    "ActorRef",
    "ActorRestarted",
    "ActorStopped",
    "ActorSystem",
    "AskError",
    "AskTimeout",
    "Backoff",
    "CannotEncode",
    "CodeTravelError",
    "Custom",
    "DeadLetter",
    "Deployment",
    "Event",
    "EventStream",
    "Failure",
    "FileStorage",
    "GaveUp",
    "GraphError",
    "Handle",
    "HandlerError",
    "Inline",
    "Live",
    "MailboxFull",
    "MemoryStorage",
    "Message",
    "NoSuchActor",
    "NodeDied",
    "NodeError",
    "NodeStartFailed",
    "NodeStarted",
    "NotStarted",
    "PeerLost",
    "Process",
    "Processes",
    "Snapshot",
    "Snapshots",
    "SpawnFailed",
    "Storage",
    "StorageError",
    "Strategy",
    "Supervisor",
    "SupervisorGaveUp",
    "Terminated",
    "Timers",
    "Unreachable",
    "UsageError",
    "World",
    "WouldDeadlock",
    "loop_factory",
    "one_for_one",
    "run",
]
