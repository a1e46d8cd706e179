"""The traps of actor systems that others fell into, one test for each."""
