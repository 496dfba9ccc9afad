"""Sampled Min-Hashing in dicts and sets, to be read: what both engines are compared with.

Nothing here is shared with the package, only datasketch and hashlib. Documents are a list of
(key, {item: frequency}, weight); everything is exponentially slower than it could be.
"""

import math
import struct
from collections import Counter

import numpy as np
from datasketch import MinHash


def minhash(keys, *, seed, count):
    """MinHash values of a set of 32-bit keys, by datasketch."""
    sketch = MinHash(num_perm=count, seed=seed, hashfunc=lambda key: key)
    for key in keys:
        sketch.update(key)
    return [int(value) for value in sketch.hashvalues]


def uniform_values(key, *, seed, count):
    """Values of one key: the minimum over a single element."""
    return minhash([key], seed=seed, count=count)


def replicas(key, frequency):
    return [(key + j * 0x9E3779B9) % 2**32 for j in range(frequency)]


def sketch(documents, *, tuple_size, tables, seed, expand=False, weighted=False):
    """{item: (documents, occurrences, minima)}"""
    count = tuple_size * tables
    rows = {}
    for item in sorted({item for _, bag, _ in documents for item in bag}):
        holders = [(key, bag[item], weight) for key, bag, weight in documents if item in bag]
        hashed = [
            (replica, weight)
            for key, frequency, weight in holders
            for replica in (replicas(key, frequency) if expand else [key])
        ]
        if weighted:
            values = [
                [weighted_value(v, weight) for v in uniform_values(key, seed=seed, count=count)]
                for key, weight in hashed
            ]
            minima = [min(column) for column in zip(*values, strict=True)]
        else:
            minima = minhash([key for key, _ in hashed], seed=seed, count=count)
        occurrences = sum(f for _, f, _ in holders) if expand else len(holders)
        rows[item] = (len(holders), occurrences, minima)
    return rows


def weighted_value(value, weight):
    """-ln((v + 1) / 2**32) / w by the documented recipe, in Python floats, as float32."""
    m, e = math.frexp(value + 1.0)
    if m < 0.7071067811865476:
        m, e = m * 2.0, e - 1
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = 1.0 / 21.0
    for divisor in (19, 17, 15, 13, 11, 9, 7, 5, 3, 1):
        p = p * z + 1.0 / divisor
    logarithm = (e - 32) * 0.6931471805599453 + (2.0 * s) * p
    return struct.unpack("<f", np.float32((0.0 - logarithm) / weight).tobytes())[0]


def mine(rows, *, tuple_size, tables, min_set_size=3):
    """[(items, multiplicity)] in canonical order; items is a sorted tuple."""
    found = Counter()
    for table in range(tables):
        buckets = {}
        for item, (_, _, minima) in rows.items():
            key = tuple(minima[table * tuple_size : (table + 1) * tuple_size])
            buckets.setdefault(key, []).append(item)
        for items in buckets.values():
            if len(items) >= min_set_size:
                found[tuple(sorted(items))] += 1
    return sorted(found.items(), key=lambda entry: (-len(entry[0]), entry[0]))


def cluster(sets, *, tuple_size=3, tables=255, overlap=0.7, seed):
    """All links, as a set of (hub, member)."""
    count = tuple_size * tables
    minima = [minhash(items, seed=(seed + 1) % 2**32, count=count) for items, _ in sets]
    links = set()
    for table in range(tables):
        buckets = {}
        for index, values in enumerate(minima):
            key = tuple(values[table * tuple_size : (table + 1) * tuple_size])
            buckets.setdefault(key, []).append(index)
        for hub, *members in buckets.values():
            for member in members:
                a, b = set(sets[hub][0]), set(sets[member][0])
                if len(a & b) / min(len(a), len(b)) > overlap:
                    links.add((hub, member))
    return links


def components(count, links):
    """For each set the smallest index that it is connected with."""
    labels = list(range(count))
    for a, b in links:
        low, high = sorted((labels[a], labels[b]))
        labels = [low if label == high else label for label in labels]
    return labels


def model(sets, links, *, min_cluster_size=3):
    """[(number of sets, [(item, frequency), ...])]"""
    labels = components(len(sets), links)
    structures = []
    for label in sorted(set(labels)):
        members = [sets[i] for i in range(len(sets)) if labels[i] == label]
        total = sum(multiplicity for _, multiplicity in members)
        if total < min_cluster_size:
            continue
        frequencies = Counter()
        for items, multiplicity in members:
            for item in items:
                frequencies[item] += multiplicity
        entries = sorted(frequencies.items(), key=lambda entry: (-entry[1], entry[0]))
        structures.append((total, entries))
    return sorted(structures, key=lambda s: (-s[0], -len(s[1]), [item for item, _ in s[1]]))


def overlap(structure, image):
    """Multiset overlap of two {word: count}."""
    common = sum(min(count, image.get(word, 0)) for word, count in structure.items())
    return common / min(sum(structure.values()), sum(image.values()))
