"""Frames between nodes over ZeroMQ: links, lanes, transfers; knows nothing of actors."""

import logging

from transports.channel import Channel
from transports.clock import Clock, LoopClock, Timer
from transports.endpoint import Endpoint
from transports.errors import (
    AddressError,
    AddressInUse,
    LayoutError,
    LinkClosed,
    LinkError,
    LinkFull,
    MessageTooLarge,
    ProtocolError,
    TransferRefused,
    TransportError,
    WeightsReleased,
)
from transports.identity import NodeId
from transports.landing import LandingPool
from transports.lane import Lost
from transports.limits import Limits
from transports.link import Link
from transports.noise import Noise, NoisyEndpoint
from transports.rng import Rng, SeededRng, SystemRng
from transports.sockets import Context
from transports.transfer import Transfer
from transports.weights import TensorSpec, Weights

# Whoever uses this decides where its log goes; without a handler Python writes warnings to stderr.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "AddressError",
    "AddressInUse",
    "Channel",
    "Clock",
    "Context",
    "Endpoint",
    "LandingPool",
    "LayoutError",
    "Limits",
    "Link",
    "LinkClosed",
    "LinkError",
    "LinkFull",
    "LoopClock",
    "Lost",
    "MessageTooLarge",
    "NodeId",
    "Noise",
    "NoisyEndpoint",
    "ProtocolError",
    "Rng",
    "SeededRng",
    "SystemRng",
    "TensorSpec",
    "Timer",
    "Transfer",
    "TransferRefused",
    "TransportError",
    "Weights",
    "WeightsReleased",
]
