"""Bytes to pixels: formats, decoding, stretches, names of images; no Spark."""
