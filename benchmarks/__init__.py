"""The figures of docs/performance.rst: the SDK and its peers, in one run, on the same stream.

``python -m benchmarks [figure ...] [--quick] [--write-docs]``; ``make bench`` makes the environment for it first.
"""
