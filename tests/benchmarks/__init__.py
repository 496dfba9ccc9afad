"""Speed and memory against their limits: ``./build.sh bench`` or ``python -m tests.benchmarks``.

Every benchmark does the same work with the plain library and with minia in one run, and prints the
ratio: absolute seconds of a shared machine mean little.
"""
