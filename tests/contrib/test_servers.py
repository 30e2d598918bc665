"""The servers of these tests."""

from __future__ import annotations

import sys
import threading

import pytest

from .support import free_port, plain, served

PROGRAM = """
import http.server, sys
print("It serves", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def test_an_answer_comes_after_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """At an answer, the output has all that the server printed before, even if no thread of the test runs."""
    monkeypatch.setattr(threading.Thread, "start", lambda thread: None)
    port = free_port()
    with served([sys.executable, "-c", PROGRAM, str(port)], port, plain()) as server:
        server.wait_until_it_listens()
        assert server.fetch("/unknown")[0] == 404
        assert server.output.startswith("It serves\n")
        server.kill()
        server.start()
        server.wait_until_it_listens()
        assert server.output.count("It serves\n") == 2
    assert server.output.count("It serves\n") == 2
