"""Frames between nodes over ZeroMQ: wire format, links, lanes, transfers; knows nothing of actors."""
