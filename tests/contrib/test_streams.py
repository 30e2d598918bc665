"""The number of streams of the status that a server can hold, and the failures that do not end their threads."""

from __future__ import annotations

import contextlib
import gc
import http.client
import json
import os
import signal
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any, Dict, Iterator, List, Optional

import pytest
from no_threads import no_threads

from cometchat import CometChat
from cometchat.contrib import web
from cometchat.contrib.web import _asgi, _wsgi
from cometchat.sandbox import Sandbox

from .django_support import environment
from .support import DEADLINE, HERE, account, eventually, free_port, gunicorn, plain, served


@pytest.fixture
def feed() -> Iterator[web.StatusFeed]:
    with contextlib.closing(web.StatusFeed(CometChat)) as made:
        yield made


# Counting.


def test_a_stream_counts_from_the_answer_on(feed: web.StatusFeed) -> None:
    """Forty requests at once get the five allowed streams, before one of them is read."""
    barrier, answers = threading.Barrier(40), []

    def ask() -> None:
        barrier.wait(DEADLINE)
        answers.append(feed.events_answer(True, 5))

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    streams = [answer for answer in answers if isinstance(answer, web.StreamAnswer)]
    assert (len(answers), len(streams)) == (40, 5)
    for answer in streams:
        answer.body.close()  # type: ignore[attr-defined]
        answer.body.close()  # type: ignore[attr-defined]
    assert [feed.events_answer(True, 5).status for _ in range(2)] == [200, 200], "closed, although nothing was taken"


def test_a_stream_that_is_forgotten_makes_room(feed: web.StatusFeed) -> None:
    """A server may drop the iterator without closing it, before its first piece or after it."""
    for pieces in (0, 1):
        answer: Any = feed.events_answer(True, 1)
        assert answer.status == 200
        for _ in range(pieces):
            next(answer.body)
        del answer
        assert eventually(lambda: not (gc.collect(), feed._slots)[1])  # PyPy drops it only then


def test_a_stream_that_ended_makes_room() -> None:
    """A stream that ends at its maximum age makes room, without a call of close()."""
    with contextlib.closing(web.StatusFeed(CometChat, max_age=0.1)) as feed:
        answer: Any = feed.events_answer(True, 1)
        assert feed.events_answer(True, 1).status == 204
        list(answer.body)
        assert feed.events_answer(True, 1).status == 200


# The capacity of WSGI servers.


def worker_of(module: str, **configuration: int) -> Any:
    return type("Worker", (), {"__module__": module, "cfg": SimpleNamespace(**configuration)})()


CHANNEL = type("Channel", (), {"adj": SimpleNamespace(threads=6), "check": lambda self: False})()


@pytest.mark.parametrize(
    "environ, worker, modules, streams",
    [
        ({"gunicorn.socket": None}, worker_of("gunicorn.workers.gthread", threads=2), {}, 1),
        ({"gunicorn.socket": None}, worker_of("gunicorn.workers.gthread", threads=9), {}, 4),
        ({"gunicorn.socket": None}, None, {}, None),
        ({"waitress.client_disconnected": CHANNEL.check}, None, {}, 3),
        ({"waitress.client_disconnected": lambda: False}, None, {}, None),
        ({"uwsgi.version": b"2"}, None, {"uwsgi": SimpleNamespace(opt={"threads": b"8"})}, 4),
        ({"uwsgi.version": b"2"}, None, {"uwsgi": SimpleNamespace(opt={})}, 0),
        ({"mod_wsgi.version": (5, 0)}, None, {"mod_wsgi": SimpleNamespace(threads_per_process=15)}, 7),
        ({"SERVER_SOFTWARE": "WSGIServer/0.2"}, None, {}, 100),
        ({"SERVER_SOFTWARE": "Werkzeug/3.1"}, None, {}, 100),
        ({"SERVER_SOFTWARE": "Other/1"}, None, {}, None),
    ],
)
def test_half_of_the_servers_threads_may_hold_a_stream(
    environ: Dict[str, Any], worker: Any, modules: Dict[str, Any], streams: Optional[int], monkeypatch: Any
) -> None:
    """The server's own objects say how many threads it has. None means that they do not."""
    monkeypatch.setattr(_wsgi, "signalled_server", lambda: worker)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    assert _wsgi.max_streams(environ) == streams


@pytest.mark.parametrize("harakiri, code", [(b"20", 204), (b"25", 204), (b"60", 200), (b"0", 200), (None, 200)])
def test_a_uwsgi_that_kills_long_requests_holds_no_stream(
    harakiri: Optional[bytes], code: int, feed: web.StatusFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream lives up to 25 seconds. uWSGI would kill the worker, with its connection, before."""
    options = {"threads": b"4", **({} if harakiri is None else {"harakiri": harakiri})}
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt=options))
    answer = _wsgi.events_answer(feed, {"uwsgi.version": b"2", "wsgi.multithread": True}, 2)
    assert answer.status == code


@pytest.mark.parametrize("is_patched, code", [(True, 200), (False, 204)])
def test_gevents_own_server_can_hold_streams(
    is_patched: bool, code: int, feed: web.StatusFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gevent's server says that it has no threads.

    Its greenlets can wait as well, if the program has patched the threads.
    """
    monkeypatch.setitem(sys.modules, "gevent.monkey", SimpleNamespace(is_module_patched=lambda name: is_patched))
    environ = {"SERVER_SOFTWARE": "gevent/25.9 Python/3.11", "wsgi.multithread": False}
    answer = _wsgi.events_answer(feed, environ)
    assert answer.status == code


def stream(port: int, path: str = "/cometchat/events") -> http.client.HTTPConnection:
    page = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    page.request("GET", path)
    return page


@pytest.mark.skipif(not hasattr(os, "fork"), reason="gunicorn needs a fork")
def test_two_visitors_do_not_stall_a_site_with_two_threads(sandbox: Sandbox) -> None:
    """The second one polls, and every request is answered at once."""
    port = free_port()
    env = plain(SITE_COMETCHAT=json.dumps(account(sandbox)), PYTHONPATH=str(HERE))
    with served(gunicorn("flask_app:create_app()", port, "--threads", "2"), port, env) as server:
        server.wait_until_it_answers("/pid")
        with contextlib.ExitStack() as stack:
            pages = []
            for _ in range(3):
                pages.append(stack.enter_context(contextlib.closing(stream(port))))
            answers = [page.getresponse() for page in pages]  # kept, since a collected response closes its connection
            assert sorted(answer.status for answer in answers) == [200, 204, 204]
            begun = time.monotonic()
            for _ in range(5):
                assert server.fetch("/pid")[0] == 200
            assert time.monotonic() - begun < 5.0


GEVENT = """
from gevent import monkey
monkey.patch_all()
import sys
from gevent.pywsgi import WSGIServer
from flask_app import create_app
WSGIServer(("127.0.0.1", int(sys.argv[1])), create_app(), log=None).serve_forever()
"""


def test_a_site_under_gevents_own_server_streams(sandbox: Sandbox) -> None:
    """Twenty pages have a stream each, and other requests are answered beside them."""
    pytest.importorskip("gevent", reason="gevent is not installed")
    port = free_port()
    env = plain(SITE_COMETCHAT=json.dumps(account(sandbox)), PYTHONPATH=os.pathsep.join([str(HERE), *sys.path]))
    with served([sys.executable, "-c", GEVENT, str(port)], port, env) as server:
        server.wait_until_it_answers("/pid")
        with contextlib.ExitStack() as stack:
            pages = [stack.enter_context(contextlib.closing(stream(port))) for _ in range(20)]
            answers = [page.getresponse() for page in pages]
            assert [answer.status for answer in answers] == [200] * 20
            for answer in answers:
                while not answer.readline().startswith(b"event: status"):
                    """The first lines are for the browser."""
            assert server.fetch("/pid")[0] == 200


def test_waitress_stops_with_open_streams(sandbox: Sandbox) -> None:
    """Two of its four threads may hold a stream. They do not delay its stop, which took five seconds before."""
    pytest.importorskip("waitress", reason="waitress is not installed")
    port = free_port()
    env = plain(SITE_COMETCHAT=json.dumps(account(sandbox)), PYTHONPATH=os.pathsep.join([str(HERE), *sys.path]))
    command = [sys.executable, "-m", "waitress", f"--listen=127.0.0.1:{port}", "--call", "flask_app:create_app"]
    with served(command, port, env) as server, contextlib.ExitStack() as stack:
        server.wait_until_it_answers("/pid")
        pages = [stack.enter_context(contextlib.closing(stream(port))) for _ in range(3)]
        answers = [page.getresponse() for page in pages]  # kept, since a collected response closes its connection
        assert sorted(answer.status for answer in answers) == [200, 200, 204]
        assert server.terminate(signal.SIGINT) < 3.0, server.output


# ASGI.


def test_pages_have_no_thread_each_under_asgi(sandbox: Sandbox) -> None:
    """Forty open streams share one thread, with any middleware of the site. Further pages poll."""
    pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    pytest.importorskip("django", reason="Django is not installed")
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "django_project.asgi:application", "--port", str(port)]
    env = environment(account(sandbox, MAX_STREAMS=40))
    with served(command, port, env) as server, contextlib.ExitStack() as stack:
        before = server.wait_until_it_answers("/process")["threads"]
        pages = [stack.enter_context(contextlib.closing(stream(port))) for _ in range(45)]
        answers = [page.getresponse() for page in pages]  # kept, since a collected response closes its connection
        assert sorted(answer.status for answer in answers) == [200] * 40 + [204] * 5
        assert eventually(lambda: server.get("/process")["threads"] - before < 10)


def test_two_thousand_failures_do_not_end_the_streams_of_asgi(
    feed: web.StatusFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait grows to its limit and stays there, and then the pages get their pieces."""
    waits: List[float] = []
    streams = _asgi.Streams(feed, jitter=lambda: 1.0, wait=waits.append)

    def events(gone: Any) -> Iterator[str]:
        if len(waits) < 2000:  # a stack has fewer levels, and a float can be doubled less often
            raise MemoryError if len(waits) % 2 else SystemExit
        yield "a piece"

    monkeypatch.setattr(feed, "events", events)
    streams._run()
    assert len(waits) == 2000
    assert waits[0] < waits[1] < waits[-1] == 30.0
    assert streams._thread is None


def test_a_page_whose_thread_cannot_be_started_ends(feed: web.StatusFeed) -> None:
    """The page gets the error, its place is free again, and the next page has a thread."""
    asyncio = pytest.importorskip("asyncio")
    streams = _asgi.Streams(feed)

    async def first_piece() -> str:
        page = streams.open(1)
        assert page is not None
        async for piece in page:
            return piece
        raise AssertionError("the stream ended")

    with no_threads(), pytest.raises(RuntimeError):
        asyncio.run(first_piece())
    assert "event: alive" in asyncio.run(asyncio.wait_for(first_piece(), DEADLINE))
    feed.close()
    assert eventually(lambda: streams._thread is None)
