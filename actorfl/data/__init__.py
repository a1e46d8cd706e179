"""Ready-made tasks on data that is at hand; each is a module of its own, imported by name."""
