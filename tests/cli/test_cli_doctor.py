"""doctor: it finds each failure at its step, and explains it."""

from __future__ import annotations

import errno
import io
import json
import re
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest
from integration.conftest import DEADLINE
from integration.transport_peers import blackhole
from rows import each_row

from cometchat import Client, CometChatException
from cometchat.cli import _doctor as doctor
from cometchat.cli import main
from cometchat.cli._advice import advice_for, network_advice
from cometchat.cli._probes import HostCheck, Problem, Skipped
from cometchat.sandbox import Sandbox

STEPS = [
    "settings",
    "API: DNS",
    "API: TCP",
    "API: TLS",
    "login",
    "jwt",
    "WebSocket: DNS",
    "WebSocket: TCP",
    "WebSocket: TLS",
    "upgrade",
    "authentication",
    "ping",
]

Examine = Callable[..., Dict[str, str]]


def parse(output: str) -> Dict[str, str]:
    """Return name of the step -> its line."""
    lines = output.splitlines()[: len(STEPS)]
    found = {next(name for name in STEPS if line[3:].startswith(name)): line for line in lines}
    assert list(found) == STEPS
    return found


@pytest.fixture
def examine(account: List[str], capsys: pytest.CaptureFixture[str]) -> Examine:
    """Run the doctor on the sandbox. Returns the steps' lines, with the explanation under ""."""

    def run(*options: str, fails_at: Optional[str] = None) -> Dict[str, str]:
        code = main(["doctor", "--timeout", "1", *account, *options])
        captured = capsys.readouterr()
        steps = parse(captured.out)
        assert code == (0 if fails_at is None else 1), captured.out
        assert captured.err == ""
        if fails_at is not None:
            assert_fails_at(steps, fails_at)
            assert f"It fails at: {fails_at}\nWhat it means    " in captured.out
        steps[""] = " ".join(" ".join(captured.out.splitlines()[len(STEPS) :]).split())
        return steps

    return run


def assert_fails_at(steps: Dict[str, str], name: str) -> None:
    """Assert that this step is the first failure, and that the later steps were not tried."""
    position = STEPS.index(name)
    assert steps[name].startswith("✗"), steps
    assert all(steps[before][0] in "✓-!" and "not tried" not in steps[before] for before in STEPS[:position]), steps
    assert all("not tried" in steps[after] for after in STEPS[position + 1 :]), steps


def test_all_is_well(examine: Examine, sandbox: Sandbox) -> None:
    """On a healthy service each step has a time and a verdict, and the doctor ends with 0."""
    steps = examine()
    assert steps[""] == f"Every step passed. Hosts in use {sandbox.url.partition('//')[2]}"
    timed = [name for name in STEPS if re.search(r" \d+\.\d{3} s ", steps[name])]
    assert timed == ["settings", "API: TCP", "login", "jwt", "WebSocket: TCP", "authentication", "ping"]
    assert "skipped: 127.0.0.1 is an address" in steps["API: DNS"]
    assert "skipped: plain http" in steps["API: TLS"]
    assert "(in 60 days)" in steps["jwt"]
    assert "ms" in steps["ping"]


def test_tls_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    """With TLS the doctor prints the version and the certificate's time, and looks up a name."""
    with Sandbox("localhost", tls=True) as sandbox:
        assert sandbox.ca_certs is not None
        assert main(["doctor", *_options(sandbox), "--ca-certs", sandbox.ca_certs]) == 0
        steps = parse(capsys.readouterr().out)
        assert "localhost is " in steps["API: DNS"]
        assert re.search(r"TLSv1\.[23], certificate trusted until \d{4}-\d\d-\d\d \(36\d days\)", steps["API: TLS"])
        assert "TLSv1" in steps["WebSocket: TLS"]


def test_the_ca_file_may_be_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A ``~`` that the shell has left in --ca-certs is expanded for the TLS step too."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with Sandbox(tls=True) as sandbox:
        (tmp_path / "ca.pem").write_bytes(Path(str(sandbox.ca_certs)).read_bytes())
        assert main(["doctor", *_options(sandbox), "--ca-certs=~/ca.pem"]) == 0, capsys.readouterr().out


def test_an_untrusted_certificate(capsys: pytest.CaptureFixture[str]) -> None:
    """A self-signed certificate fails at TLS, and the advice is --ca-certs."""
    with Sandbox(tls=True) as sandbox:
        assert main(["doctor", *_options(sandbox)]) == 1
    output = capsys.readouterr().out
    assert_fails_at(parse(output), "API: TLS")
    assert "--ca-certs FILE" in output


def test_json(sandbox: Sandbox, account: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints one object: every step with its verdict, the hosts, and the failure with its explanation."""
    assert main(["doctor", "--json", *account]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["failure"]) == (True, None)
    assert report["hosts"] == [sandbox.url.partition("//")[2]]
    assert [step["step"] for step in report["steps"]] == STEPS
    assert {step["verdict"] for step in report["steps"]} == {"passed", "skipped"}
    assert main(["doctor", "--json", *account, "--auth-key", "a-wrong-key"]) == 1
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert (report["ok"], report["failure"]["step"]) == (False, "login")
    assert report["failure"]["error"].startswith("AUTH_ERR_APIKEY_NOT_FOUND") and report["failure"]["action"]
    assert report["steps"][-1] == {"step": "ping", "verdict": "not tried", "seconds": None, "text": ""}
    assert captured.err == "" and "a-wrong-key" not in captured.out


def test_an_unknown_region_is_a_warning(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """For an unknown region the doctor prints the known regions and the app's hosts."""

    def unknown(*args: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert main(["doctor", "--app-id", "app", "--region", "usa", "--auth-key", "a-key", "--uid", "me"]) == 1
    output = capsys.readouterr().out
    steps = parse(output)
    assert steps["settings"].startswith("!") and "region 'usa' is not one of us, eu, in" in steps["settings"]
    hosts = output.partition("Hosts in use")[2].split()
    for step, host in (
        ("API: DNS", "app.api-usa.cometchat.io"),
        ("API: DNS", "app.apiclient-usa.cometchat.io"),
        ("WebSocket: DNS", "app.websocket-usa.cometchat.io"),
    ):
        assert f"no address for {host}" in steps[step]
        assert f"{host}:443" in [name.rstrip(",") for name in hosts]
    assert [name for name in STEPS if "not tried" not in steps[name]] == ["settings", "API: DNS", "WebSocket: DNS"]
    assert "It fails at: API: DNS" in output


def _options(sandbox: Sandbox) -> List[str]:
    hosts = ["--admin-host", sandbox.url, "--client-host", sandbox.url]
    return ["--app-id", sandbox.app_id, "--uid", "cometchat-uid-1", "--auth-key", sandbox.auth_key, *hosts]


# --- before the login


def test_a_wrong_value_fails_at_settings(examine: Examine) -> None:
    """A value that cannot be right fails at the first step, which names the field."""
    steps = examine("--region", "no such place", fails_at="settings")
    assert "region" in steps["settings"]


def test_no_address(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name without an address fails at DNS."""

    def unknown(*args: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    steps = examine("--admin-host", "nowhere.invalid", fails_at="API: DNS")
    assert "DNS: no address for nowhere.invalid: Name or service not known" in steps["API: DNS"]
    assert "look for typing errors" in steps[""]


def test_a_name_server_that_does_not_answer(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit for each step is that for a lookup too, which the system ends after up to a minute."""
    over = threading.Event()
    look_up = socket.getaddrinfo

    def hang(*arguments: Any, **options: Any) -> Any:
        over.wait(30)
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        steps = examine("--admin-host", "nowhere.invalid", fails_at="API: DNS")
    finally:
        over.set()
    assert "DNS: no name server answered for nowhere.invalid within 1 s" in steps["API: DNS"]
    assert "this machine's network and DNS" in steps[""]


def test_a_refused_connection(examine: Examine, sandbox: Sandbox) -> None:
    """A port where nothing listens fails at TCP."""
    sandbox.refuse_connections()
    steps = examine(fails_at="API: TCP")
    assert f"connection refused by 127.0.0.1:{sandbox.port}" in steps["API: TCP"]
    assert "no server listens" in steps[""]


def test_tls_against_a_plain_server(examine: Examine, sandbox: Sandbox) -> None:
    """An override without a scheme means https. A plain server then fails at TLS, and the advice names the cause."""
    plain = f"127.0.0.1:{sandbox.port}"
    steps = examine("--admin-host", plain, "--client-host", plain, fails_at="API: TLS")
    assert "An override without http:// means https" in steps[""]


def test_two_hosts(examine: Examine, sandbox: Sandbox) -> None:
    """If the admin and the client API are on different hosts, the doctor checks both."""
    steps = examine("--client-host", f"http://localhost:{sandbox.port}")
    assert "127.0.0.1:" in steps["API: TCP"] and "localhost:" in steps["API: TCP"]


def test_one_host_with_and_without_tls(examine: Examine, sandbox: Sandbox) -> None:
    """The doctor checks TLS where only the admin API uses it. It says once what both have in common."""
    secure = sandbox.url.replace("http:", "https:")
    steps = examine("--admin-host", secure, fails_at="API: TLS")
    name = sandbox.url.partition("//")[2]
    assert f"at {name};" in steps["settings"] and steps["API: TCP"].endswith(f"  {name} accepts connections")
    assert steps[""].endswith(f"Hosts in use {name}")


def test_a_proxy(examine: Examine, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a proxy the doctor skips the lower layers, which are the proxy's, and does not show its password."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("http_proxy", f"http://user:pass-of-proxy@127.0.0.1:{port}")
    steps = examine(fails_at="login")
    assert f"skipped: through the proxy http://127.0.0.1:{port}" in steps["API: TCP"]
    assert "FAILED_TO_FETCH" in steps["login"]
    assert "pass-of-proxy" not in "".join(steps.values())


def test_a_host_that_needs_no_proxy(examine: Examine, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor reads no_proxy like the client, which accepts an address with a port. (requests does not.)"""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", f"127.0.0.1:{sandbox.port}")
    assert "accepts connections" in examine()["API: TCP"]


def test_an_invalid_address_of_a_proxy(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor says what would be right, and shows no part of the password. (Python's error quotes a part.)"""
    monkeypatch.setenv("http_proxy", "http://user:pa/ss@127.0.0.1:9")
    steps = examine(fails_at="settings")
    assert "proxy: invalid proxy address (http_proxy): expected scheme://" in steps["settings"]
    assert "'pa'" not in "".join(steps.values())


# --- the login


@pytest.mark.parametrize(
    "options, code, advice",
    [
        (["--uid", "nobody"], "ERR_UID_NOT_FOUND", "Create the user"),
        (["--auth-key", "wrong"], "AUTH_ERR_APIKEY_NOT_FOUND", "auth key of this app"),
        (["--app-id", "another"], "AUTH_ERR_INVALID_APPID", "An app is in one region only"),
    ],
)
def test_a_refused_login(options: List[str], code: str, advice: str, examine: Examine) -> None:
    """A refusal by the service at the login is named and explained."""
    steps = examine(*options, fails_at="login")
    assert code in steps["login"]
    assert advice in steps[""]


def test_a_void_token(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """A revoked auth token fails at the login, with the client API alone."""
    token = sandbox.auth_token("cometchat-uid-1")
    options = ["--app-id", sandbox.app_id, "--admin-host", "http://127.0.0.1:1", "--client-host", sandbox.url]
    assert main(["doctor", *options, "--auth-token", token]) == 0
    sandbox.revoke_tokens()
    assert main(["doctor", *options, "--auth-token", token]) == 1
    output = capsys.readouterr().out
    assert "AUTH_ERR_AUTH_TOKEN_NOT_FOUND" in output and "Create a new auth token" in output
    assert token not in output


def test_too_many_requests(examine: Examine, sandbox: Sandbox) -> None:
    """HTTP 429 fails at the login, and says for how long."""
    sandbox.fail_http(429, retry_after=7)
    steps = examine(fails_at="login")
    assert "(retry after 7 s)" in steps["login"] and "FileSessionStore" in steps[""]


def test_not_the_api(examine: Examine, sandbox: Sandbox) -> None:
    """A page in place of the API's JSON fails at the login."""
    sandbox.fail_http(200, body="<html>Welcome to our hotel</html>")
    steps = examine(fails_at="login")
    assert "ERR_BAD_RESPONSE" in steps["login"]
    assert "captive portal" in steps[""]


def test_no_http_answer(examine: Examine, sandbox: Sandbox) -> None:
    """An API that accepts the request and never answers fails at the login, within the limit."""
    sandbox.hang_http()
    started = time.monotonic()
    assert "FAILED_TO_FETCH" in examine(fails_at="login")["login"]
    assert time.monotonic() - started < 5
    sandbox.heal()


# --- the jwt and the WebSocket


@pytest.mark.parametrize(
    "lifetime, text",
    [(3 * 3600, "(in 3.0 hours)"), (600, "(in 10 minutes)"), (-60, "is the clock right?"), (1e12, "does not say")],
)
def test_the_jwt_s_end(
    lifetime: float, text: str, sandbox: Sandbox, account: List[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The doctor prints how long the jwt is valid. An expired jwt is a warning, since the clock may be wrong."""
    sandbox.jwt_lifetime = lifetime
    main(["doctor", "--timeout", "1", *account])
    assert text in parse(capsys.readouterr().out)["jwt"]


def test_a_jwt_without_an_end(monkeypatch: pytest.MonkeyPatch, examine: Examine) -> None:
    """A jwt without an end is fine."""
    info = Client.connection_info

    def without_end(client: Client) -> object:
        class Info:
            jwt_expires_at = None

            def __getattr__(self, name: str) -> object:
                return getattr(info(client), name)

        return Info()

    monkeypatch.setattr(Client, "connection_info", without_end)
    assert "does not say when" in examine()["jwt"]


def test_the_websocket_host_has_its_own_steps(examine: Examine, sandbox: Sandbox) -> None:
    """A WebSocket host that refuses connections fails at its TCP step, although the API works."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    sandbox.override_settings(CHAT_WS_PORT=port)
    assert f"connection refused by 127.0.0.1:{port}" in examine(fails_at="WebSocket: TCP")["WebSocket: TCP"]


def test_no_websocket_host(examine: Examine, sandbox: Sandbox) -> None:
    """Settings without a usable WebSocket address fail at the upgrade."""
    sandbox.override_settings(CHAT_WS_PORT="none of your business")
    steps = examine(fails_at="upgrade")
    assert "the server named no usable address" in steps["WebSocket: DNS"]
    assert "ERR_BAD_RESPONSE" in steps["upgrade"]


@pytest.mark.parametrize(
    "status, advice", [(403, "refuses the upgrade"), (503, "overloaded"), (404, "not a WebSocket server")]
)
def test_a_refused_upgrade(status: int, advice: str, examine: Examine, sandbox: Sandbox) -> None:
    """An HTTP status in place of the upgrade fails at the upgrade."""
    sandbox.refuse_upgrades(status)
    steps = examine(fails_at="upgrade")
    assert f"HTTP {status}" in steps["upgrade"]
    assert advice in steps[""]


def test_no_upgrade(examine: Examine, sandbox: Sandbox) -> None:
    """An upgrade without an answer fails at the upgrade, after the limit."""
    sandbox.hang_upgrades()
    steps = examine(fails_at="upgrade")
    assert "ERR_CONNECT_TIMEOUT" in steps["upgrade"]
    assert re.search(r" 1\.\d{3} s ", steps["upgrade"])
    sandbox.heal()


def test_no_answer_to_auth(examine: Examine, sandbox: Sandbox) -> None:
    """Silence after `auth`, an error that costs people days, is named, timed and explained."""
    sandbox.ignore_auth()
    steps = examine(fails_at="authentication")
    assert "ERR_AUTH_TIMEOUT" in steps["authentication"]
    assert re.search(r" 1\.\d{3} s ", steps["authentication"])
    assert "the server did not answer `auth`" in steps[""]
    assert "auth token instead of a jwt" in steps[""]


@pytest.mark.parametrize("mode", ["frame", "close"])
def test_refused_auth(mode: str, examine: Examine, sandbox: Sandbox) -> None:
    """A refused jwt, by a frame or by a close, fails at the authentication."""
    sandbox.refuse_auth(mode=mode)
    assert_fails_at(examine(fails_at="authentication"), "authentication")


def test_throttled_is_a_warning(examine: Examine, sandbox: Sandbox) -> None:
    """In a throttled service the doctor connects, with a warning and not a failure."""
    sandbox.set_mode("LIMITED_TRANSIENT")
    steps = examine()
    assert steps["authentication"].startswith("!") and "LIMITED_TRANSIENT" in steps["authentication"]


def test_no_pong(examine: Examine, sandbox: Sandbox) -> None:
    """A heartbeat without an answer fails at the ping."""
    sandbox.ignore_pings()
    steps = examine(fails_at="ping")
    assert "ERR_PONG_TIMEOUT" in steps["ping"]
    assert "heartbeat" in steps[""]


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "9999"])
def test_a_wrong_limit(timeout: str, account: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    """--timeout must be a duration."""
    assert main(["doctor", "--timeout", timeout, *account]) == 2
    assert "--timeout" in capsys.readouterr().err


def test_the_client_is_closed(account: List[str], sandbox: Sandbox) -> None:
    """The doctor leaves no connection open."""
    assert main(["doctor", *account]) == 0
    assert sandbox.wait_for_connections(0)
    assert sandbox.violations == []


# --- probes


@pytest.fixture
def probe(sandbox: Sandbox) -> Iterator[HostCheck]:
    probe = HostCheck(sandbox.url, None, 1.0)
    yield probe
    probe.close()


def test_tcp_failures(probe: HostCheck, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor tells a silent host from an unreachable one, and has advice for both."""
    with blackhole() as port:
        silent = HostCheck(f"http://127.0.0.1:{port}", None, 0.2)
        assert "does not answer" in network_advice(tcp_failure(silent)).meaning
    monkeypatch.setattr(socket.socket, "connect_ex", lambda raw, address: errno.ENETUNREACH)
    assert "no way to the host" in network_advice(tcp_failure(probe)).meaning


def tcp_failure(probe: HostCheck) -> str:
    with pytest.raises(Skipped):
        probe.dns()
    with pytest.raises(Problem) as caught:
        probe.tcp()
    return str(caught.value)


def test_a_system_without_ipv6(probe: HostCheck, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor tries the next address of the host, like the client."""

    class WithoutIpv6(socket.socket):
        def __init__(self, family: int = -1, *arguments: Any, **options: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *arguments, **options)

    port = int(probe.name.rpartition(":")[2])
    addresses = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: addresses)
    monkeypatch.setattr(socket, "socket", WithoutIpv6)
    with pytest.raises(Skipped):
        probe.dns()
    assert probe.tcp().endswith("accepts connections")
    addresses.pop()
    assert "Address family not supported" in tcp_failure(probe)


def test_a_silent_first_address(probe: HostCheck, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that never answers, such as IPv6 without a way out, does not use up the time of the next one."""
    with blackhole() as silent:
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
            for port in (silent, int(probe.name.rpartition(":")[2]))
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: addresses)
        patient = HostCheck(f"http://{probe.name}", None, DEADLINE)
        with pytest.raises(Skipped):
            patient.dns()
        began = time.monotonic()
        assert patient.tcp().endswith("accepts connections")
        assert time.monotonic() - began < DEADLINE / 2
        patient.close()


@pytest.mark.parametrize(
    "error, text",
    [
        (socket.timeout("timed out"), "did not shake hands within 1 s"),
        (ConnectionResetError(104, "Connection reset by peer"), "ended the connection in the handshake"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), "ended the connection in the handshake"),
        (ssl.SSLError(1, "no protocols available"), "the peer does not use TLS"),
    ],
)
def test_tls_failures(error: OSError, text: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor tells a handshake that stops, one that ends and one that makes no sense apart."""

    def fail(*args: object, **options: object) -> None:
        raise error

    probe = HostCheck(sandbox.url.replace("http:", "https:"), None, 1.0)
    with pytest.raises(Skipped):
        probe.dns()
    probe.tcp()
    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", fail)
    with pytest.raises(Problem, match=text):
        probe.tls()
    probe.close()


def test_a_wrong_ca_bundle(sandbox: Sandbox, tmp_path: object) -> None:
    """A CA file without a certificate is named. A folder is used as a folder of c_rehash."""
    path = f"{tmp_path}/empty.pem"
    with open(path, "w", encoding="ascii") as file:
        file.write("nothing")
    failed = "does not use TLS|handshake|ended|did not shake hands"
    for bundle, text in ((path, "can't be read"), (str(tmp_path), failed)):
        probe = HostCheck(sandbox.url.replace("http:", "wss:"), bundle, 1.0)
        with pytest.raises(Skipped):
            probe.dns()
        probe.tcp()
        with pytest.raises(Problem, match=text):
            probe.tls()
        probe.close()


# --- advice


@each_row(
    "code, message, part",
    [
        ("ERR_SUBSCRIPTION_EXPIRED", "", "plan"),
        ("ERR_NOBODY_KNOWS", "", "Look up the code"),
        ("ERR_MISSION_FAILED", "", "Wait and try again"),
        ("ERR_WS_APP_INIT_FAILED", "", "Wait and try again"),
        ("TOO_MANY_REQUEST", "", "or a minute"),
        ("ERR_API_NOT_FOUND", "", "operator"),
        ("ERR_NO_AUTH", "", "log in again"),
        ("ERR_NOT_A_MEMBER", "", "Look up the code"),
        ("ERR_PROTOCOL", "", "max_message_size"),
        ("WS_AUTH_FAIL", "", "deactivated"),
        ("INVALID_REGION", "", "Correct it"),
        ("FAILED_TO_FETCH", "something odd", "--debug"),
        ("FAILED_TO_FETCH", "TLS: the certificate of h:1 is not trusted: certificate has expired", "clock"),
        (
            "FAILED_TO_FETCH",
            "TLS: the certificate of h:1 is not trusted: Hostname mismatch",
            "name that the certificate",
        ),
        ("WS_CONNECTION_FAIL", "proxy: http://p:3128 made no tunnel to h:443", "CONNECT"),
        ("FAILED_TO_FETCH", "POST h:443: DNS: no address for proxy http://p:1: Name or service not known.", "NO_PROXY"),
        ("FAILED_TO_FETCH", "POST h:443: proxy: invalid proxy address: expected scheme://host:port.", "Correct"),
        ("FAILED_TO_FETCH", "POST h:443: proxy: a proxy can't have the scheme socks://: expected http://.", "Correct"),
        ("FAILED_TO_FETCH", "POST h:443: TLS: the key log 'k' of SSLKEYLOGFILE can't be written: no.", "SSLKEYLOGFILE"),
        ("FAILED_TO_FETCH", "POST h:443: TLS: the client certificate 'c' can't be used: no.", "passphrase"),
        ("WS_CONNECTION_FAIL", "h:443 closed the connection.", "close code"),
        ("FAILED_TO_FETCH", "POST h:443: h:443 reset the connection.", "https://"),
        ("ERR_BAD_REQUEST", "Failed to validate.", "Correct the value"),
        ("WS_CONNECTION_FAIL", "timeout: no answer from h:443", "outgoing"),
    ],
)
def test_advice(code: str, message: str, part: str) -> None:
    """Each kind of error has its own advice."""
    assert part in advice_for(CometChatException(code, message)).action


def test_an_unknown_code_is_explained_by_its_status() -> None:
    """By the table that the connection and the outbox use too."""
    error = CometChatException("ERR_BRAND_NEW", "")
    assert "can't explain" in advice_for(error).meaning
    for status, part in ((402, "operator"), (429, "or a minute"), (503, "status page"), (401, "log in again")):
        error.http_status = status
        assert part in advice_for(error).action


def test_long_explanations_are_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    """The explanation fits a terminal of 100 columns."""
    doctor._explain(doctor.Screen(), "What it means", advice_for(CometChatException("ERR_AUTH_TIMEOUT", "")).meaning)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


@pytest.mark.parametrize("columns, width", [(60, 60), (10, 40), (200, 100)])
def test_explanations_fit_a_narrow_terminal(columns: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal would cut longer lines in the middle of a word."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", str(columns))
    terminal = Terminal()
    screen = doctor.Screen(terminal, plain=True)
    doctor._explain(screen, "What it means", advice_for(CometChatException("ERR_AUTH_TIMEOUT", "")).meaning)
    assert width - 15 < max(map(len, terminal.getvalue().splitlines())) <= width
