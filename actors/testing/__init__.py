"""What tests of actors are made of: probes, recorded events, nodes on a network that can be cut.

```
probe        TestProbe: an actor that a test holds by the hand
answers      what a probe answers to asks
events       record(system, ActorFailure): events as they come
deadletters  dead_letters(system): messages that nobody handled
nodes        systems("a", "b"): connected nodes, simulated or real
runner       ActorsRunner: the loop of one test, for fixtures
received     a message as it came; read as the type that is asked for
arrivals     waiting for something, by the system's clock
```

Fixtures for pytest stand in ``actors.testing.pytest_plugin``; nothing else here needs pytest. All
times are seconds of the system's clock: virtual ones in a simulation. An expectation that is not
met raises ``AssertionError``.
"""

from actors.testing.answers import Asked, When
from actors.testing.deadletters import DeadLetters, dead_letters
from actors.testing.events import Recorded, record
from actors.testing.nodes import Nodes, systems
from actors.testing.probe import TestProbe
from actors.testing.runner import ActorsRunner

__all__ = [
    "ActorsRunner",
    "Asked",
    "DeadLetters",
    "Nodes",
    "Recorded",
    "TestProbe",
    "When",
    "dead_letters",
    "record",
    "systems",
]
