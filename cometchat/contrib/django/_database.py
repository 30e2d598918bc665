"""The database on the SDK's threads, which handle no request: Django renews its connections for requests only."""

from __future__ import annotations

import contextlib
from typing import Iterator

from django.db import close_old_connections


@contextlib.contextmanager
def renewed_connections() -> Iterator[None]:
    """Treat the site's code in this context like a request: it uses no database connection that has ended."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()
