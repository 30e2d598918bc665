"""Between the client and the service: TLS 1.2 or newer, checked certificates and host names, and no downgrade.

tests/integration checks the transports alone. Here, a client with its secrets meets a server that must not get them.
"""

from __future__ import annotations

import socket
import ssl
import warnings
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest
import requests
import urllib3
from integration.conftest import DEADLINE, QUICK, UID, Peer, RawServer, Recorder, finished, in_thread
from integration.transport_peers import Authority

from cometchat import Client, CometChatException, FileSessionStore
from cometchat._transport.http import RequestsRest
from cometchat.sandbox import Sandbox

from .fuzz_peers import Service
from .fuzz_values import check

Serve = Callable[..., RawServer]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def secure() -> Iterator[Sandbox]:
    """A sandbox with TLS."""
    with Sandbox(tls=True) as running:
        yield running


def both_trusted(sandbox: Sandbox, authority: Authority, folder: Path) -> str:
    """Return a bundle with the sandbox's certificate and a CA."""
    bundle = folder / "bundle.pem"
    assert sandbox.ca_certs is not None
    bundle.write_text(Path(sandbox.ca_certs).read_text() + Path(authority.bundle).read_text())
    return str(bundle)


class Listening:
    """The script of a server that should get no data. It keeps the received bytes."""

    def __init__(self) -> None:
        self.heard: List[str] = []

    def __call__(self, peer: Peer) -> None:
        self.heard.append(peer.read_head())


# Close frames.


def test_every_goodbye_arrives(secure: Sandbox) -> None:
    """60 ends just after the connection came up, close to a read, lead to 60 close frames."""
    with Client(secure.app_id, secure.settings()) as client:
        client.login(UID, secure.auth_key)
        for number in range(60):
            client.connect(DEADLINE)
            client.disconnect()
            assert secure.wait_until(lambda: len(secure.close_codes) > number, DEADLINE)
    assert secure.close_codes == [1000] * 60


# Versions.


def old(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return the context, for TLS 1.0 and 1.1 only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def skip_without_old_tls(port: int, authority: Authority) -> None:
    """Skip the test if not even a lenient client connects, since then the SDK is not the one that refuses."""
    lenient = old(ssl.create_default_context(cafile=authority.bundle))
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as raw:
        try:
            lenient.wrap_socket(raw, server_hostname="127.0.0.1").close()
        except (ssl.SSLError, ConnectionError) as error:
            pytest.skip(f"this OpenSSL has no TLS 1.1 at all: {error}")


def test_https_with_tls_1_1_is_refused(serve: Serve, authority: Authority) -> None:
    """A login at a server with TLS 1.1 at most fails before the auth key is sent, with the reason."""
    script = Listening()
    port = serve(script, old(authority.server())).port
    skip_without_old_tls(port, authority)
    service = Service()
    with Client("app", service.settings(**_at(port), ca_certs=authority.bundle)) as client:
        with pytest.raises(CometChatException) as caught:
            client.login(UID, "the-auth-key")
    check(caught.value)
    assert caught.value.code == "FAILED_TO_FETCH" and "TLS: " in caught.value.message
    assert script.heard == []


def test_wss_with_tls_1_1_is_refused(secure: Sandbox, serve: Serve, authority: Authority, tmp_path: Path) -> None:
    """A WebSocket does not connect there either: the attempts fail, and the jwt is not sent."""
    script = Listening()
    port = serve(script, old(authority.server())).port
    skip_without_old_tls(port, authority)
    error = _refusal_of_socket(secure, port, both_trusted(secure, authority, tmp_path))
    assert error.code == "WS_CONNECTION_FAIL" and error.message.startswith("TLS: ")
    assert script.heard == []


def _at(port: int) -> Dict[str, Any]:
    return {"admin_host": f"https://127.0.0.1:{port}", "client_host": f"https://127.0.0.1:{port}"}


def _refusal_of_socket(sandbox: Sandbox, port: int, bundle: str) -> Any:
    """Return the first error of a client whose API is the sandbox, and whose WebSocket is at that port."""
    sandbox.override_settings(CHAT_HOST_OVERRIDE="127.0.0.1", CHAT_WSS_PORT=port)
    recorder = Recorder()
    with Client(sandbox.app_id, sandbox.settings(ca_certs=bundle, reconnect_wait=QUICK)) as client:
        client.add_connection_listener("heard", recorder)
        client.login(UID, sandbox.auth_key)
        error = recorder.wait_for("on_connection_error").argument
        check(error)
        assert client.get_connection_status() != "connected"
    return error


def test_the_contexts_of_both_ask_for_tls_1_2(
    secure: Sandbox, serve: Serve, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With any defaults of Python, OpenSSL and urllib3, each context of a handshake requires it."""
    seen: List[Tuple[Any, Any, Any]] = []
    wrap = ssl.SSLContext.wrap_socket

    def note(self: ssl.SSLContext, *args: Any, **options: Any) -> ssl.SSLSocket:
        if not options.get("server_side"):
            seen.append((self.minimum_version, self.verify_mode, bool(options.get("server_hostname"))))
        return wrap(self, *args, **options)

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", note)
    with Client(secure.app_id, secure.settings()) as client:
        client.login(UID, secure.auth_key)
        client.connect(DEADLINE)
    assert len(seen) >= 2
    # urllib3 before 2 sends no host name for an address, and compares the address with the certificate itself.
    strict = {(ssl.TLSVersion.TLSv1_2, ssl.CERT_REQUIRED, True)}
    by_itself = {(ssl.TLSVersion.TLSv1_2, ssl.CERT_REQUIRED, False)} if urllib3.__version__.startswith("1.") else set()
    assert strict <= set(seen) <= strict | by_itself


# Certificates.


def test_both_trust_the_bundle_of_requests(secure: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a bundle in the settings and the environment. (requests 2.32.2 to 2.32.4 keeps its bundle to itself.)"""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    monkeypatch.setattr(requests.utils, "DEFAULT_CA_BUNDLE_PATH", secure.ca_certs)
    with Client(secure.app_id, secure.settings(ca_certs=None)) as client:
        client.login(UID, secure.auth_key)
        client.connect(DEADLINE)
        assert client.get_connection_status() == "connected"


NOW = datetime.now(timezone.utc)

WRONG: Dict[str, Tuple[Tuple[str, ...], Dict[str, Any], str]] = {
    "another host": (("other.example",), {}, "mismatch|doesn't match"),
    "a part of the name": (("127.0.0",), {}, "mismatch|doesn't match"),
    "a wildcard": (("*.0.1",), {}, "mismatch|doesn't match"),
    "over": (("127.0.0.1",), {"not_before": NOW - timedelta(9), "not_after": NOW - timedelta(2)}, "expired"),
    "not yet": (("127.0.0.1",), {"not_before": NOW + timedelta(2), "not_after": NOW + timedelta(9)}, "not yet valid"),
}


@pytest.mark.parametrize("names, validity, why", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_certificate_gets_neither_auth_key_nor_jwt(
    secure: Sandbox, serve: Serve, authority: Authority, tmp_path: Path, names: Any, validity: Any, why: str
) -> None:
    """For a certificate of a trusted CA with a wrong host or day, neither HTTP nor the WebSocket sends a byte."""
    script = Listening()
    port = serve(script, authority.server(*names, **validity)).port
    bundle = both_trusted(secure, authority, tmp_path)
    with Client("app", Service().settings(**_at(port), ca_certs=bundle)) as client:
        with pytest.raises(CometChatException) as caught:
            client.login(UID, "the-auth-key")
    for error in (caught.value, _refusal_of_socket(secure, port, bundle)):
        assert "TLS: the certificate of 127.0.0.1:" in error.message and "not trusted" in error.message
        assert any(word in error.message for word in why.split("|")), error.message
    assert script.heard == []


@pytest.mark.parametrize("names, why", [(("localhost",), None), (("other.example", "127.0.0.1"), "mismatch")])
def test_openssl_compares_the_name_of_a_host(serve: Serve, authority: Authority, names: Any, why: Any) -> None:
    """Over HTTP, with any version of urllib3."""
    script = Listening()
    rest = RequestsRest(ca_certs=authority.bundle)
    with pytest.raises(CometChatException) as caught:
        url = f"https://localhost:{serve(script, authority.server(*names)).port}/me"
        rest.call("GET", url, headers={}, timeout=DEADLINE)
    rest.close()
    if why is None:
        assert "TLS" not in caught.value.message and script.heard
    else:
        assert "TLS: the certificate of localhost:" in caught.value.message and why in caught.value.message
        assert script.heard == []


def test_an_untrusted_certificate_is_refused(secure: Sandbox, serve: Serve, authority: Authority) -> None:
    """Both refuse a certificate that is self-signed, or of a CA outside of the bundle, in any environment."""
    script = Listening()
    port = serve(script, authority.server()).port
    assert secure.ca_certs is not None
    error = _refusal_of_socket(secure, port, secure.ca_certs)
    assert "not trusted" in error.message
    secure.clear_records()
    with Client(secure.app_id, secure.settings(ca_certs=authority.bundle)) as client:
        with pytest.raises(CometChatException) as caught:
            client.login(UID, secure.auth_key)
    assert "not trusted" in caught.value.message
    assert script.heard == [] and secure.requests == []


@pytest.mark.parametrize("value", ["", "0", "False"])
@pytest.mark.parametrize("name", ["CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "PYTHONHTTPSVERIFY"])
def test_no_variable_of_the_environment_switches_the_check_off(
    serve: Serve, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    """An empty CA bundle, or a word for "no", does not make an untrusted certificate trusted.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)
    script = Listening()
    rest = RequestsRest()
    with pytest.raises(CometChatException) as caught:
        url = f"https://127.0.0.1:{serve(script, authority.server()).port}/me"
        rest.call("GET", url, headers={}, timeout=DEADLINE)
    rest.close()
    assert "TLS: " in caught.value.message and script.heard == []


# Downgrades.

PLAIN: Dict[str, Dict[str, Any]] = {
    "CHAT_USE_SSL 0": {"CHAT_USE_SSL": 0},
    "CHAT_USE_SSL '0'": {"CHAT_USE_SSL": "0"},
    "CHAT_USE_SSL false": {"CHAT_USE_SSL": False},
    "a host with ws": {"CHAT_HOST_OVERRIDE": "ws://127.0.0.1:{port}"},
    "a host with WS": {"CHAT_HOST_OVERRIDE": "WS://127.0.0.1:{port}/"},
    "a host with http": {"CHAT_HOST": "http://127.0.0.1:{port}"},
    "a host with another scheme": {"CHAT_HOST": "ftp://127.0.0.1:{port}"},
}


@pytest.fixture
def plain(serve: Serve) -> Tuple[Listening, int]:
    """A server without TLS that should get no data."""
    script = Listening()
    return script, serve(script).port


def _lead_to(sandbox: Sandbox, settings: Dict[str, Any], port: int) -> None:
    fields = {key: value.format(port=port) if isinstance(value, str) else value for key, value in settings.items()}
    # Only the first host counts.
    sandbox.override_settings(**{"CHAT_HOST_OVERRIDE": "", "CHAT_HOST": "127.0.0.1", "CHAT_WS_PORT": port, **fields})


@pytest.mark.parametrize("settings", PLAIN.values(), ids=PLAIN.keys())
def test_a_socket_without_tls_is_refused_where_the_api_has_it(
    secure: Sandbox, plain: Tuple[Listening, int], settings: Dict[str, Any]
) -> None:
    """``ERR_INSECURE_SOCKET`` is raised once, without another attempt, and without a byte to the settings' address."""
    script, port = plain
    _lead_to(secure, settings, port)
    recorder = Recorder()
    with Client(secure.app_id, secure.settings(reconnect_wait=QUICK)) as client:
        client.add_connection_listener("heard", recorder)
        client.login(UID, secure.auth_key)
        recorder.wait_for_names("on_connecting", "on_connection_error", "on_disconnected")
        with pytest.raises(CometChatException) as caught:
            client.connect(DEADLINE)
        for error in (*recorder.errors, caught.value):
            check(error)
            assert error.code == "ERR_INSECURE_SOCKET"
            assert f"127.0.0.1:{port}" in error.message and "allow_insecure_socket" in error.message
        assert client.connection_info().websocket_url is None
    assert script.heard == [] and secure.attempts == []


def test_settings_that_change_later_lead_to_no_plain_socket(secure: Sandbox, plain: Tuple[Listening, int]) -> None:
    """The connection is up, and new settings take TLS away. The next attempt is refused, and is the last."""
    script, port = plain
    recorder = Recorder()
    with Client(secure.app_id, secure.settings(reconnect_wait=QUICK, settings_refresh_interval=0.05)) as client:
        client.add_connection_listener("heard", recorder)
        client.login(UID, secure.auth_key)
        client.connect(DEADLINE)
        _lead_to(secure, {"CHAT_USE_SSL": 0}, port)
        asked = len(secure.requests)
        assert secure.wait_until(lambda: len(secure.requests) > asked + 1, DEADLINE)
        secure.drop_connections()
        recorder.wait_for("on_disconnected", 2)
        assert recorder.errors[-1].code == "ERR_INSECURE_SOCKET"
    assert script.heard == []


def test_a_socket_without_tls_is_taken_where_it_is_allowed(secure: Sandbox, plain: Tuple[Listening, int]) -> None:
    """``allow_insecure_socket=True`` accepts the settings as they are. An API without TLS does not need it."""
    script, port = plain
    _lead_to(secure, {"CHAT_USE_SSL": 0}, port)
    recorder = Recorder()
    with Client(secure.app_id, secure.settings(reconnect_wait=QUICK, allow_insecure_socket=True)) as client:
        client.add_connection_listener("heard", recorder)
        client.login(UID, secure.auth_key)
        assert recorder.wait_for("on_connection_error").argument.code == "WS_CONNECTION_FAIL"
    assert script.heard[0].startswith("GET / HTTP/1.1")


def test_a_kept_session_leads_to_no_plain_socket_either(
    secure: Sandbox, plain: Tuple[Listening, int], tmp_path: Path
) -> None:
    """A restart with a stored login asks for the settings again, and checks them in the same way."""
    script, port = plain
    store = FileSessionStore(tmp_path / "session.json")
    settings = secure.settings(session_store=store, reconnect_wait=QUICK, auto_establish_socket_connection=False)
    with Client(secure.app_id, settings) as client:
        client.login(UID, secure.auth_key)
    _lead_to(secure, {"CHAT_USE_SSL": 0}, port)
    with Client(secure.app_id, settings) as client:
        thread, outcome = in_thread(lambda: client.connect(DEADLINE))
        error = finished(thread, outcome)
        assert error.code == "ERR_INSECURE_SOCKET" and client.get_connection_status() == "disconnected"
    assert script.heard == []
