"""Graphs of nodes without a centre: who is whose neighbour."""
