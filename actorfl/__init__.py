"""Distributed learning with actors: what is learned, who aggregates, who talks to whom, when."""
