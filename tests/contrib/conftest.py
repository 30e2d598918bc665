"""The fixtures of these tests: the shared ones of the integration tests, and a Redis."""

from __future__ import annotations

# pytest finds them by their names here.
from integration.conftest import debug_log, facade, no_thread_left, party, plain_environment  # noqa: F401

from .redis_support import clients, machine, redis_server  # noqa: F401
