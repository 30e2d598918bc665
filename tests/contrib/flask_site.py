"""Runs the application of ``flask_app`` in gunicorn, in a separate process."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Dict, Iterator

from .support import Server, free_port, gunicorn, plain, served


@contextlib.contextmanager
def site(settings: Dict[str, Any], *options: str) -> Iterator[Server]:
    """Run a site for the time of a ``with`` block."""
    port = free_port()
    command = gunicorn("flask_app:create_app()", port, "--graceful-timeout", "1", *options)
    with served(command, port, plain(SITE_COMETCHAT=json.dumps(settings))) as running:
        running.wait_until_it_listens()
        yield running
