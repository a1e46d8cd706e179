"""Partitioners that deal unequally; each is a kind that a configuration can name."""
