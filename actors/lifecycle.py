"""The states that an actor goes through."""

from __future__ import annotations

import enum


class State(enum.Enum):
    """Where an actor is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    SUSPENDED = "suspended"
    FAILED = "failed"
    HALTING = "halting"
    HALTED = "halted"
    STOPPING = "stopping"
    STOPPED = "stopped"
