"""What the system permits one process."""

from __future__ import annotations

import contextlib


def raise_descriptors() -> int:
    """Allow this process as many open files as it may have; how many those are."""
    try:
        import resource
    except ImportError:  # Windows
        return 512
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return 10**6 if soft == resource.RLIM_INFINITY else soft
