"""Sampled Min-Hashing: items that occur in the same documents far more often than by chance.

Where the logic is: ``hashing`` (what every engine agrees on), ``twin`` (the NumPy engine over
datasketch), ``native`` (the client of the ``smh`` binary) under one ``engine`` protocol, ``sets``
and ``model`` (from sets and links to structures), ``overlap`` (images of a structure),
``significance`` (what chance alone would give), ``corpus`` (the whole on one machine), ``wire`` and
``process`` (streams to and from the binary), ``stage`` (Spark).
"""
