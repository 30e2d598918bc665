"""The system's limits for one process."""

from __future__ import annotations

import contextlib


def raise_descriptors() -> int:
    """Raise this process's limit of open files to the maximum, and return the maximum."""
    try:
        import resource
    except ImportError:  # Windows
        return 512
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return 10**6 if soft == resource.RLIM_INFINITY else soft
