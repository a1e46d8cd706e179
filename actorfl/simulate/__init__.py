"""A run in simulated time with thousands of nodes: ``actorfl simulate``; see docs/simulate.md."""
