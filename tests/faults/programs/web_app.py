"""A WSGI application that is connected from its import on, and answers with how it goes in the worker's process."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any, Callable, Dict, Iterable

import joining

# As an application would have it: warnings go to the server's log.
logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")

IMPORTED_IN = os.getpid()
CLIENT = joining.joined()
# Its threads have done what they had to, and wait: uWSGI without fork hooks forks whoever holds the interpreter's lock,
# and the worker would wait for that for ever, before any code of ours.
CLIENT.ping(10)
joining.wait_until_still(10)


def application(environ: Dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    told = joining.report(CLIENT, timeout=5.0)
    told["imported_in"] = IMPORTED_IN
    if "uwsgi" in sys.modules:
        told["has_threads"] = bool(sys.modules["uwsgi"].has_threads)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
