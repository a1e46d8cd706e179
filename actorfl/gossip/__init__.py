"""Gossip learning in parts: how models merge, what is sent of them, and who may send when."""
