"""The simulated network: ``sim://`` between nodes of one process, in virtual time, by one seed."""
