"""Images in: listing, decoding, identity, labels. What cannot be read is a row of ``rejects``.

Kernels (no Spark): ``record`` turns one listed file into rows; it joins ``source`` (bytes of a
file or of the rows of a Parquet file), ``decode`` (bytes to pixels) and ``identity`` (names).
``listing`` walks a folder, ``contents`` hashes what it found, ``labels`` reads the optional CSV of
labels and sky positions.
"""
