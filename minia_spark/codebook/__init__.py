"""Codebooks: visual words by k-means over the descriptors."""
