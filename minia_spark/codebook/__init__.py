"""Codebooks: the k-means vocabulary of visual words."""
