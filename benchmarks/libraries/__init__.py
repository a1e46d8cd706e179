"""Actor libraries that benchmarks.peers measures, a module each.

``RUNS`` of a module has, by place ("inside" one process or "across" two), a coroutine function
that gives tells per second and microseconds per ask, of ``DATA`` to one counting actor.
"""
