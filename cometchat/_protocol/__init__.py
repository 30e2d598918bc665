"""The protocol, pure: no I/O, no threads, no clock, no randomness. Time comes in as ``now``.

What is here takes data and returns data, so that all of it can be tested without a socket and without waiting. It must
not import ``threading``, ``socket``, ``time`` or ``random``, nor anything of the floors above.
"""
