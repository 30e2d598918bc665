"""A WSGI application that is connected from its import on, and answers with the client's state in the worker's process.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any, Callable, Dict, Iterable

import joining

# As an application would set it: warnings go to the server's log.
logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")

IMPORTED_IN = os.getpid()
CLIENT = joining.joined()
# Its threads have done their work, and wait. uWSGI without fork hooks forks while any thread may hold the interpreter's
# lock. The worker would then wait for that lock forever, before any code of ours.
CLIENT.ping(10)
joining.wait_until_still(10)


def application(environ: Dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    told = joining.report(CLIENT, timeout=5.0)
    told["imported_in"] = IMPORTED_IN
    if "uwsgi" in sys.modules:
        told["has_threads"] = bool(sys.modules["uwsgi"].has_threads)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]
