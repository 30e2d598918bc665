"""The figures of docs/performance.rst: the SDK and its peers in one run, on the same stream.

Run ``python -m benchmarks [figure ...] [--quick] [--write-docs]``. ``make bench`` first creates the environment for it.
"""
