"""Deep echo-state networks: a reservoir that all share, and readouts that are solved for."""
