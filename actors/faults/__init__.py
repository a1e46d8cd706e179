"""Faults: what can be ordered to go wrong, and who carries it out."""
