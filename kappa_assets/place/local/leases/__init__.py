"""Leases and turns of a local lake: who may write, one process at a time, as the kernel knows it."""
