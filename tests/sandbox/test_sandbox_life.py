"""Start, stop, restart, TLS, and waits: the sandbox as an object."""

from __future__ import annotations

import gc
import os
import socket as sockets
import ssl
import stat
import subprocess
import sys
import threading
import time
import warnings

import pytest
import requests
from no_threads import no_threads

from cometchat.sandbox import Sandbox, _journal, make_certificate


def open_sockets():
    """Return the number of open sockets of this process."""
    directory = "/proc/self/fd"
    count = 0
    for name in os.listdir(directory):
        try:
            count += stat.S_ISSOCK(os.stat(f"{directory}/{name}").st_mode)
        except OSError:
            continue  # the listing's own descriptor, closed since then
    return count


def collect():
    """Collect garbage of earlier tests. PyPy's collector needs more than one round."""
    for _ in range(3):
        gc.collect()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts sockets in /proc")
@pytest.mark.parametrize("tls", [False, True])
def test_nothing_is_left_after_stop(make_client, tls):
    """stop() ends the thread and closes every socket: idle and hanging HTTP, WebSockets, half-open TLS, listener."""
    collect()
    before, threads = open_sockets(), threading.active_count()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sandbox = Sandbox(tls=tls).start()
        client = make_client(sandbox)
        client.log_in()
        client.connect()
        client.open()
        silent = sockets.create_connection(("127.0.0.1", sandbox.port), 5)
        sandbox.hang_http()
        with pytest.raises(requests.ReadTimeout):
            client.call("PUT", "/me", timeout=0.05)
        assert [name for name in thread_names() if name.startswith("cometchat-sandbox-")]
        sandbox.stop()
        assert (sandbox.connections, sandbox.sockets, sandbox.running) == (0, 0, False)
        assert threading.active_count() == threads
        with pytest.raises(ConnectionRefusedError):
            sockets.create_connection(("127.0.0.1", sandbox.port), 1)
        silent.close()
        client.close()
        collect()
    assert open_sockets() == before


def thread_names():
    return [thread.name for thread in threading.enumerate()]


def test_the_records_of_weeks_are_limited(sandbox, monkeypatch):
    """A sandbox on the command line runs for weeks. The newest records are kept."""
    monkeypatch.setattr(_journal, "_KEPT", 5)
    monkeypatch.setattr(_journal, "_BEYOND", 2)
    for number in range(20):
        requests.get(f"{sandbox.url}/v3.0/nothing/{number}", timeout=10)
    paths = [request.path for request in sandbox.requests]
    assert 5 <= len(paths) <= 7 and paths[-1].endswith("/nothing/19")


def test_start_and_stop_again_do_nothing(sandbox):
    """start() while it runs and stop() while it is stopped are no-ops. start() returns the sandbox."""
    assert sandbox.start() is sandbox
    sandbox.stop()
    sandbox.stop()
    assert not sandbox.running and sandbox.connections == 0


def test_a_restart_keeps_port_and_state(client, sandbox):
    """After a restart, port, tokens, jwts, users and records are the same, and the sockets have ended."""
    sandbox.add_user("later", "Later")
    token, socket, port = client.log_in("later")["authToken"], client.connect(), sandbox.port
    sandbox.restart()
    assert socket.sock.recv(1) == b""
    assert sandbox.port == port and sandbox.connections == 0
    assert client.me(token).json()["data"]["name"] == "Later"
    client.connect("later")
    assert len(sandbox.attempts) == 2 and sandbox.violations == []


def test_faults_can_be_set_while_stopped(client, sandbox):
    """A fault set on a stopped sandbox is in force from its start. Actions on connections have no effect."""
    sandbox.stop()
    sandbox.fail_http(503)
    assert sandbox.drop_connections() == sandbox.close_connections() == sandbox.send_raw("x") == 0
    assert sandbox.send_frame({}) == sandbox.send_wire(b"x") == 0
    sandbox.start()
    assert client.call("PUT", "/me").status_code == 503
    sandbox.stop()
    sandbox.heal()
    sandbox.start()
    client.log_in()


def test_a_taken_port_raises(sandbox):
    """start() on a port in use raises OSError, and leaves nothing behind."""
    other = Sandbox(port=sandbox.port)
    with pytest.raises(OSError):
        other.start()
    assert not other.running
    sandbox.stop()
    with other:
        assert other.port == sandbox.port


def test_a_failed_start_leaves_nothing(monkeypatch):
    """If the service fails to open, start() raises, and the thread and the port are released."""

    async def fail(self):
        raise RuntimeError("no")

    sandbox = Sandbox()
    with monkeypatch.context() as patch:
        patch.setattr("cometchat.sandbox._service.Service.open", fail)
        with pytest.raises(RuntimeError, match="no"):
            sandbox.start()
    assert not sandbox.running and not [name for name in thread_names() if "sandbox" in name]
    with sandbox:
        assert sandbox.running


def test_a_start_without_threads_leaves_nothing():
    """If the system has no thread left, start() raises what Python raises, and closes the loop and the port."""
    collect()
    sandbox, before = Sandbox(), open_sockets() if os.path.isdir("/proc/self/fd") else 0
    with no_threads(), pytest.raises(RuntimeError, match="can't start new thread"):
        sandbox.start()
    assert not sandbox.running and before == (open_sockets() if os.path.isdir("/proc/self/fd") else 0)
    with sandbox:
        assert sandbox.running


def test_many_sandboxes_at_once(make_client):
    """Two sandboxes have separate ports, users and tokens."""
    with Sandbox() as one, Sandbox(app_id="two", auth_key="k", region="eu") as two:
        assert one.port != two.port
        assert make_client(two).log_in()["settings"]["REGION"] == "eu"
        assert make_client(one).me(two.auth_token("cometchat-uid-1")).status_code == 401


@pytest.mark.parametrize("host, url", [("localhost", "http://localhost"), ("0.0.0.0", "http://127.0.0.1")])
def test_other_hosts(make_client, host, url):
    """Bound to a name, or to every interface, the sandbox has a URL and settings that lead to it."""
    with Sandbox(host=host) as sandbox:
        assert sandbox.url == f"{url}:{sandbox.port}"
        client = make_client(sandbox)
        assert client.log_in()["settings"]["CHAT_HOST"] == url.rpartition("/")[2]


@pytest.mark.parametrize(
    "asked, told",
    [
        ("sandbox.test:8443", "sandbox.test"),
        ("app.apiclient-us.cometchat.io", "127.0.0.1"),
        ("[::1", "127.0.0.1"),
    ],
)
def test_on_every_interface_the_settings_have_the_clients_name(make_client, asked, told):
    """Bound to 0.0.0.0, the settings name the host that the client has reached, and never one of the real service."""
    with Sandbox(host="0.0.0.0") as sandbox:
        answer = make_client(sandbox).me(sandbox.auth_token("cometchat-uid-1"), Host=asked)
        assert answer.json()["data"]["settings"]["CHAT_HOST"] == told


def test_ipv6(make_client):
    """On ::1 the URL has brackets, and a client connects."""
    try:
        sandbox = Sandbox(host="::1").start()
    except OSError:
        pytest.skip("no IPv6 here")
    with sandbox:
        assert sandbox.url == f"http://[::1]:{sandbox.port}"
        assert make_client(sandbox).log_in()["settings"]["CHAT_HOST"] == "::1"


def test_the_url_of_a_port_to_come():
    """Before the first start, a sandbox on port 0 has no URL. One on a given port has a URL."""
    with pytest.raises(RuntimeError):
        Sandbox().url
    assert Sandbox(port=8443).url == "http://127.0.0.1:8443"
    assert "stopped" in repr(Sandbox()) and "8443" in repr(Sandbox(port=8443))


def test_tls(make_client):
    """With tls=True a client that trusts ca_certs logs in and connects. One that does not is refused."""
    with Sandbox(tls=True) as sandbox:
        assert sandbox.url.startswith("https://127.0.0.1:")
        client = make_client(sandbox)
        settings = client.log_in()["settings"]
        assert settings["CHAT_USE_SSL"] is True and settings["CHAT_WSS_PORT"] == str(sandbox.port)
        socket = client.connect()
        sandbox.drop_connections()
        with pytest.raises(Exception, match="lost|reset"):
            socket.recv()
        certificate = sandbox.ca_certs
        sandbox.restart()
        assert sandbox.ca_certs == certificate
        client.connect()
        with pytest.raises(requests.exceptions.SSLError):  # the last: PyPy reports it once more for the next TLS error
            requests.put(sandbox.url + "/me", timeout=5)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "my-app.api-in.cometchat.io"])
def test_the_certificate_passes_the_strictest_checks(name):
    """Python's strict X.509 checks pass, for local names and for the API hosts that a tester maps here."""
    with Sandbox(tls=True, app_id="my-app", region="in") as sandbox:
        context = ssl.create_default_context(cafile=sandbox.ca_certs)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        with sockets.create_connection(("127.0.0.1", sandbox.port), 5) as plain:
            with context.wrap_socket(plain, server_hostname=name) as secure:
                assert secure.getpeercert()


def test_a_given_certificate(tmp_path, make_client):
    """certfile and keyfile turn TLS on. One without the other is a ValueError. Only its owner can read the key."""
    certfile, keyfile = make_certificate(tmp_path, hosts=["example.test"])
    assert make_certificate(tmp_path) == (certfile, keyfile)
    assert stat.S_IMODE(os.stat(keyfile).st_mode) == 0o600
    with Sandbox(certfile=certfile, keyfile=keyfile) as sandbox:
        assert sandbox.ca_certs == certfile
        make_client(sandbox).connect()
    with pytest.raises(ValueError, match="must be used together"):
        Sandbox(certfile=certfile)


def test_the_certificate_goes_with_the_sandbox():
    """The files of a made certificate are removed with the object, and not by a stop."""
    sandbox = Sandbox(tls=True)
    path = sandbox.ca_certs
    with sandbox:
        assert os.path.exists(path)
    assert os.path.exists(path)
    del sandbox
    for _ in range(3):  # PyPy's collector takes more than one round
        gc.collect()
    assert not os.path.exists(os.path.dirname(path))


def test_serve_forever_ends_with_stop(make_client):
    """serve_forever() starts, blocks, and returns after another thread has called stop()."""
    sandbox = Sandbox()
    thread = threading.Thread(target=sandbox.serve_forever)
    thread.start()
    assert sandbox.wait_until(lambda: sandbox.running)
    make_client(sandbox).log_in()
    assert thread.is_alive()
    sandbox.stop()
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to itself")
def test_serve_forever_ends_with_ctrl_c():
    """On SIGINT serve_forever() stops the sandbox and returns. The process ends with 0 and prints nothing."""
    script = (
        "import os, signal, threading\n"
        "from cometchat.sandbox import Sandbox\n"
        "sandbox = Sandbox()\n"
        "threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "sandbox.serve_forever()\n"
        "assert not sandbox.running\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, b"")


def test_wait_until_waits_without_polling(client, sandbox):
    """wait_until() looks again at a change, not by a clock, and ends in time."""
    looks = []
    start = time.monotonic()
    assert not sandbox.wait_until(lambda: looks.append(1), 0.2)
    assert 0.2 <= time.monotonic() - start < 1 and len(looks) == 2
    timer = threading.Timer(0.1, client.log_in)
    timer.start()
    assert sandbox.wait_until(lambda: len(sandbox.requests) == 2 and sandbox.requests[1].status, 5) == 200
    timer.join()


def test_waiting_for_connections_and_attempts(client, sandbox):
    """The helpers return whether there were exactly this many connections, and at least this many attempts."""
    assert not sandbox.wait_for_connections(1, timeout=0.01)
    assert not sandbox.wait_for_attempts(1, timeout=0.01)
    client.connect()
    assert sandbox.wait_for_connections(1) and sandbox.wait_for_attempts(1)
    assert not sandbox.wait_for_connections(0, timeout=0.01)


def test_a_predicate_may_call_the_sandbox(client, sandbox):
    """A predicate of wait_until() may set faults without a deadlock."""
    client.connect()
    assert sandbox.wait_until(lambda: sandbox.drop_connections() == 0)


def test_a_loop_that_is_busy_raises_on_time(sandbox, monkeypatch):
    """A fault that the thread does not set in time raises TimeoutError at the deadline."""
    monkeypatch.setattr("cometchat.sandbox._sandbox.DEADLINE", 0.05)
    release = threading.Event()
    blocker = threading.Thread(target=lambda: sandbox._thread.call(block(release), 5))
    blocker.start()
    sandbox.wait_until(lambda: False, 0.05)
    with pytest.raises(TimeoutError):
        sandbox.ignore_pings()
    release.set()
    blocker.join(5)


def test_the_loop_thread_is_not_called_from_itself(sandbox):
    """A call from the sandbox's own thread raises at once, since it could only wait for itself."""
    done = []

    async def call_back():
        with pytest.raises(RuntimeError, match="another thread"):
            sandbox._thread.call(block(threading.Event()), 1)
        done.append(True)

    sandbox._thread.call(call_back(), 5)
    assert done


async def block(release):
    release.wait(5)


def test_an_error_inside_is_answered_and_logged(client, sandbox, caplog, monkeypatch):
    """A mistake in the sandbox itself is a 500 in the envelope. Its traceback is in the log, without secrets."""

    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(sandbox._chat.credentials, "issue_token", fail)
    answer = client.create_token("cometchat-uid-1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "ERR_MISSION_FAILED")
    assert "ZeroDivisionError" in caplog.text and sandbox.auth_key not in caplog.text


def test_nothing_of_it_is_logged_in_peace(client, sandbox, caplog):
    """A login and a connection leave no credential in the log, at any level."""
    caplog.set_level("DEBUG", logger="cometchat.sandbox")
    caplog.set_level("DEBUG", logger="aiohttp")
    me = client.log_in()
    client.connect()
    assert me["jwt"] not in caplog.text and me["authToken"] not in caplog.text


def test_settings_are_for_the_sdk():
    """settings() returns AppSettings for the sandbox, with the CA bundle under TLS, and overrides."""
    pytest.importorskip("cometchat.client", reason="the SDK's own part is not there yet")
    with Sandbox(tls=True, region="eu") as sandbox:
        settings = sandbox.settings(auth_timeout=1)
        assert settings.admin_host == settings.client_host == sandbox.url
        assert (settings.ca_certs, settings.auth_timeout, settings.region) == (sandbox.ca_certs, 1, "eu")
