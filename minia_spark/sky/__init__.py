"""Input with known truth, for the demo, the tests and the benchmarks.

``survey``: generated images of galaxies in which a few patterns recur. ``corpus``: bags of words in
which a few word sets recur. ``deepfield``: sources cut from a real image that a fresh machine has.
"""
