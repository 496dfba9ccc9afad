"""Bags of visual words: nearest word, counts and sizes, outlier words, exchange formats."""
