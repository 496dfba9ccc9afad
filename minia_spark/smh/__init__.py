"""Sampled Min-Hashing: the client of the native program, and its twin on datasketch; no Spark."""
