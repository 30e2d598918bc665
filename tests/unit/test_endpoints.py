"""The addresses of the service, from the app, its region, the overrides, and the server's settings."""

from __future__ import annotations

import base64
import json
import threading
from datetime import datetime, timezone
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import each_row

from cometchat import AppSettings, CometChatException, MemorySessionStore
from cometchat._protocol._endpoints import (
    HOST_FAMILIES,
    KNOWN_REGIONS,
    MODE_DEFAULT,
    HttpEndpoints,
    app_hosts,
    endpoints_from_settings,
    http_endpoints,
    is_allowed_host,
    is_in_clear,
    jwt_expiry,
    mode_of,
    used_settings,
    websocket_url,
)
from cometchat._runtime.account._account import Account


@pytest.mark.parametrize("region", ["us", "eu", "in", "private"])
def test_the_http_bases_come_from_app_and_region(region):
    """Admin and client API have the observed names, with the version prefix."""
    assert http_endpoints("app1", region, None, None) == (
        f"https://app1.api-{region}.cometchat.io/v3.0",
        f"https://app1.apiclient-{region}.cometchat.io/v3.0",
    )


@each_row(
    "override, base",
    [
        ("admin.local", "https://admin.local"),
        ("admin.local:8080", "https://admin.local:8080"),
        ("admin.local:8080/api", "https://admin.local:8080/api"),
        ("admin.local/api/", "https://admin.local/api"),
        ("http://127.0.0.1:9", "http://127.0.0.1:9"),
        ("http://127.0.0.1:9/", "http://127.0.0.1:9"),
        ("https://x", "https://x"),
        ("[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_an_override_is_taken_as_given(override, base):
    """host[:port][/path] means https, and a scheme is kept.

    No version prefix is added, and a final slash is removed.
    """
    assert http_endpoints("app1", None, override, override) == (base, base)
    mixed = http_endpoints("app1", "eu", None, override)
    assert mixed == ("https://app1.api-eu.cometchat.io/v3.0", base)


HOSTS = {"CHAT_HOST_OVERRIDE": "o.io", "CHAT_HOST_APP_SPECIFIC": "a.io", "CHAT_HOST": "h.io"}


@each_row(
    "settings, url",
    [
        (HOSTS, "wss://o.io:443/"),
        ({**HOSTS, "CHAT_HOST_OVERRIDE": ""}, "wss://a.io:443/"),
        ({**HOSTS, "CHAT_HOST_OVERRIDE": None, "CHAT_HOST_APP_SPECIFIC": "  "}, "wss://h.io:443/"),
        ({**HOSTS, "CHAT_HOST_OVERRIDE": 5, "CHAT_HOST_APP_SPECIFIC": []}, "wss://h.io:443/"),
        ({}, "wss://app1.websocket-us.cometchat.io:443/"),
        ({"CHAT_HOST": "h.io", "CHAT_WSS_PORT": 8443, "CHAT_WS_PORT": 8080}, "wss://h.io:8443/"),
        ({"CHAT_HOST": "h.io", "CHAT_WSS_PORT": "8443"}, "wss://h.io:8443/"),
        ({"CHAT_HOST": "h.io", "CHAT_WSS_PORT": ""}, "wss://h.io:443/"),
        ({"CHAT_HOST": "h.io", "CHAT_WSS_PORT": "0000443"}, "wss://h.io:443/"),
        ({"CHAT_HOST": "h.io:99", "CHAT_WSS_PORT": 8443}, "wss://h.io:99/"),
        ({"CHAT_HOST": "h.io/path"}, "wss://h.io:443/path"),
        ({"CHAT_HOST": "wss://h.io"}, "wss://h.io:443/"),
        ({"CHAT_HOST": "https://h.io"}, "wss://h.io:443/"),
        ({"CHAT_HOST": "ws://h.io", "CHAT_WS_PORT": 81}, "ws://h.io:81/"),
        ({"CHAT_HOST": "::1", "CHAT_WSS_PORT": 81}, "wss://[::1]:81/"),
        ({"CHAT_HOST": "[::1]:82", "CHAT_WSS_PORT": 81}, "wss://[::1]:82/"),
        ({"CHAT_HOST": " h.io "}, "wss://h.io:443/"),
    ],
)
def test_the_websocket_address_comes_from_the_settings(settings, url):
    """The address is the first of the three hosts that is set, with the scheme's port and the host's own parts."""
    assert websocket_url(settings, "app1", "us") == url


@each_row("off", [False, 0, "0", "false", "False", " 0 ", "no", "off", 0.0])
def test_ssl_can_be_switched_off(off):
    """CHAT_USE_SSL of 0 or false means ws and CHAT_WS_PORT, or 80 without it."""
    settings = {"CHAT_HOST": "h.io", "CHAT_USE_SSL": off}
    assert websocket_url(settings, "app1", "us") == "ws://h.io:80/"
    assert websocket_url({**settings, "CHAT_WS_PORT": 8080, "CHAT_WSS_PORT": 1}, "app1", "us") == "ws://h.io:8080/"


@each_row("on", [True, 1, "1", "true", "", None, "yes", [], {}])
def test_ssl_is_on_unless_it_is_switched_off(on):
    """Anything but a clear no means wss: an unreadable setting must not remove the encryption."""
    assert websocket_url({"CHAT_HOST": "h.io", "CHAT_USE_SSL": on}, "app1", "us") == "wss://h.io:443/"


@each_row(
    "settings",
    [
        {"CHAT_HOST": "h.io:port"},
        {"CHAT_HOST": "h.io:99999"},
        {"CHAT_HOST": "h.io:0"},
        {"CHAT_HOST": "[::1"},
        {"CHAT_HOST": "a b"},
        {"CHAT_HOST": "ws.cometchat.io@evil.example"},
        {"CHAT_HOST": "ws.cometchat.io:443@evil.example"},
        {"CHAT_HOST": "ws.cometchat.io\\@evil.example"},
        {"CHAT_HOST": "ws.cometchat.io/\x7f"},
        {"CHAT_HOST": "a\nb"},
        {"CHAT_HOST": "wss://"},
        {"CHAT_HOST": ":443"},
        {"CHAT_HOST": "h.io", "CHAT_WSS_PORT": 0},
        {"CHAT_HOST": "h.io", "CHAT_WSS_PORT": 65536},
        {"CHAT_HOST": "h.io", "CHAT_WSS_PORT": -1},
        {"CHAT_HOST": "h.io", "CHAT_WSS_PORT": True},
        {"CHAT_HOST": "h.io", "CHAT_WSS_PORT": "http"},
        {"CHAT_HOST": "h.io", "CHAT_WSS_PORT": [443]},
        {"CHAT_HOST": "h.io", "CHAT_WSS_PORT": "٤٤٣"},
    ],
)
def test_an_unusable_address_is_a_bad_response(settings):
    """An impossible host or port is ERR_BAD_RESPONSE, and not an attempt to connect elsewhere."""
    with pytest.raises(CometChatException) as caught:
        websocket_url(settings, "app1", "us")
    assert caught.value.code == "ERR_BAD_RESPONSE"


def test_without_host_and_region_there_is_no_address():
    """If both HTTP hosts are overridden and CHAT_HOST is missing, the error names CHAT_HOST."""
    with pytest.raises(CometChatException, match="CHAT_HOST") as caught:
        websocket_url({}, "app1", None)
    assert caught.value.code == "ERR_BAD_RESPONSE"


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just([])


@given(
    st.dictionaries(
        st.sampled_from(sorted(HOSTS) + ["CHAT_USE_SSL", "CHAT_WSS_PORT", "CHAT_WS_PORT", "MODE"]),
        VALUES | st.text(alphabet="ab:/[]@?#.1%", max_size=12),
    )
)
def test_any_settings_give_an_address_or_a_bad_response(server_settings):
    """For any settings the result is a ws or wss address or ERR_BAD_RESPONSE. MODE is always a text."""
    assert mode_of(server_settings)
    try:
        url = websocket_url(server_settings, "app1", "us")
    except CometChatException as error:
        assert error.code == "ERR_BAD_RESPONSE"
    else:
        assert url.startswith(("ws://", "wss://"))


@each_row(
    "server_settings, mode",
    [
        ({}, "DEFAULT"),
        ({"MODE": ""}, "DEFAULT"),
        ({"MODE": None}, "DEFAULT"),
        ({"MODE": 5}, "DEFAULT"),
        ({"MODE": "DEFAULT"}, "DEFAULT"),
        ({"MODE": "LIMITED_TRANSIENT"}, "LIMITED_TRANSIENT"),
        ({"MODE": "NO_TRANSIENT"}, "NO_TRANSIENT"),
    ],
)
def test_the_mode_of_the_settings(server_settings, mode):
    """MODE is returned unchanged, or as DEFAULT if it cannot be read."""
    assert mode_of(server_settings) == mode
    assert MODE_DEFAULT == "DEFAULT"


def jwt(claims) -> str:
    raw = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return "header." + base64.urlsafe_b64encode(raw).decode().rstrip("=") + ".signature"


@pytest.mark.parametrize("padding", ["", "x", "xx", "xxx"])
def test_a_jwt_says_when_it_ends(padding):
    """The exp claim is read for any length of the payload."""
    assert jwt_expiry(jwt({"exp": 1700000000, "pad": padding})) == 1700000000.0
    assert jwt_expiry(jwt({"exp": 1700000000.5, "pad": padding})) == 1700000000.5


def test_the_latest_end_of_a_jwt_is_a_date():
    """The admin page and the doctor print it. Milliseconds instead of seconds are not a date."""
    latest = jwt_expiry(jwt({"exp": 32535215999}))
    assert latest is not None and datetime.fromtimestamp(latest, timezone.utc).year == 3000
    assert jwt_expiry(jwt({"exp": 32535216000})) is None


@each_row(
    "token",
    [
        None,
        "",
        "abc",
        "a.b",
        "a.b.c.d",
        "a.!.c",
        "a.é.c",
        "a.A.c",
        jwt(b"\xff\xff"),
        jwt(b"not json"),
        jwt(b"[" * 100_000),
        jwt([1]),
        jwt({}),
        jwt({"exp": "1700000000"}),
        jwt({"exp": True}),
        jwt({"exp": None}),
        jwt({"exp": 1e300}),
        jwt({"exp": -1e12}),
        jwt({"exp": 10**400}),
        jwt(b'{"exp": Infinity}'),
        jwt(b'{"exp": NaN}'),
    ],
)
def test_a_jwt_without_an_end_gives_none(token):
    """Without a token, a claim or a readable number, the result is None, without an exception."""
    assert jwt_expiry(token) is None


@given(st.text(max_size=40) | st.text(alphabet="abc.=_-", max_size=20) | st.binary(max_size=60).map(jwt))
def test_any_text_may_be_taken_for_a_jwt(token):
    """No token makes it raise."""
    assert jwt_expiry(token) is None or isinstance(jwt_expiry(token), float)


# The service's addresses after login.

DEFAULT = HttpEndpoints("https://app1.api-us.cometchat.io/v3.0", "https://app1.apiclient-us.cometchat.io/v3.0")
OWN = HttpEndpoints("https://chat.corp:8443/admin", "https://chat.corp:8443/client")


def test_only_settings_that_are_used_are_kept() -> None:
    """The kept keys are exactly the keys that the SDK reads. The values stay as they are."""

    class Asked(dict):
        def get(self, key, default=None):
            asked.add(key)
            return super().get(key, default)

    asked = {"parameters"}  # for files
    for each in (Asked(), Asked(CHAT_USE_SSL=0)):
        mode_of(each)
        endpoints_from_settings(http_endpoints("app", "us", None, None), each)
        websocket_url(each, "app", "us")
    everything = {key: [key] for key in (*asked, "extensions", "settingsHash")}
    assert used_settings(everything) == {key: [key] for key in asked}


def test_the_regions_and_hosts_that_are_known():
    """The vendor has three regions, and an app three hosts, below the service's domain."""
    assert KNOWN_REGIONS == ("us", "eu", "in")
    assert HOST_FAMILIES == ("cometchat.io", "cc-cluster-2.io", "cc-edge-2.io")
    hosts = app_hosts("app1", "eu")
    assert hosts == ("app1.api-eu.cometchat.io", "app1.apiclient-eu.cometchat.io", "app1.websocket-eu.cometchat.io")
    assert all(map(is_allowed_host, hosts))


@each_row(
    "host, allowed, yes",
    [
        ("a.cometchat.io", (), True),
        ("A.CometChat.IO.", (), True),
        ("a.cc-edge-2.io", (), True),
        ("cometchat.io", (), True),
        ("evilcometchat.io", (), False),
        ("cometchat.io.evil.example", (), False),
        ("chat.corp", (), False),
        ("chat.corp", ("CHAT.corp.",), True),
        ("a.chat.corp", ("chat.corp",), False),
        ("", (), False),
    ],
)
def test_a_host_is_the_service_s_or_allowed(host, allowed, yes):
    """A host is allowed by its whole domain, or by its exact name."""
    assert is_allowed_host(host, allowed) is yes


@each_row(
    "server_settings, allowed, expected",
    [
        ({}, (), DEFAULT),
        ({"CLIENT_API_HOST": "", "ADMIN_API_HOST": None, "CHAT_API_VERSION": "v4"}, (), DEFAULT),
        ({"CLIENT_API_HOST": "x.cc-cluster-2.io"}, (), (DEFAULT.admin, "https://x.cc-cluster-2.io/v3.0")),
        ({"CLIENT_API_HOST": " X.cc-cluster-2.io/ "}, (), (DEFAULT.admin, "https://x.cc-cluster-2.io/v3.0")),
        ({"CLIENT_API_HOST": "https://x.cometchat.io:443"}, (), (DEFAULT.admin, "https://x.cometchat.io/v3.0")),
        (
            {"CLIENT_API_HOST": "c.corp", "ADMIN_API_HOST": "a.corp", "CHAT_API_VERSION": "v4.1"},
            ("a.corp", "c.corp"),
            ("https://a.corp/v4.1", "https://c.corp/v4.1"),
        ),
        (
            {"CLIENT_API_HOST": "c.cometchat.io", "CHAT_API_VERSION": "../../evil"},
            (),
            (DEFAULT.admin, "https://c.cometchat.io/v3.0"),
        ),
        ({"CLIENT_API_HOST": "c.cometchat.io", "CHAT_API_VERSION": 4}, (), (DEFAULT.admin, "https://c.cometchat.io/4")),
    ],
)
def test_the_hosts_of_the_settings_are_used_after_login(server_settings, allowed, expected):
    """As in the vendor's clients, the base is the host with the version of the API."""
    assert endpoints_from_settings(DEFAULT, server_settings, allowed) == (expected, ())


@each_row(
    "host",
    [
        "evil.example",
        "evilcometchat.io",
        "x.cometchat.io@evil.example",
        "user:word@x.cometchat.io",
        "http://x.cometchat.io",
        "x.cometchat.io:8443",
        "x.cometchat.io/path",
        "x.cometchat.io?a=b",
        "x.cometchat.io#a",
        "x.cometchat.io:port",
        "[::1",
        "a b.cometchat.io",
        "x\ud800.cometchat.io",
    ],
)
def test_a_host_that_is_not_allowed_is_refused(host):
    """The auth token would go there. The old base stays, and the caller can warn."""
    found = endpoints_from_settings(DEFAULT, {"CLIENT_API_HOST": host, "ADMIN_API_HOST": "a.cometchat.io"})
    assert found.endpoints == ("https://a.cometchat.io/v3.0", DEFAULT.client)
    assert found.refused == (f"CLIENT_API_HOST {host!r}",)


def test_the_host_that_an_override_has_already_is_kept_as_it_is():
    """The host keeps its port and path, and there is no reason for a warning."""
    settings = {"CLIENT_API_HOST": "chat.corp", "ADMIN_API_HOST": "chat.corp"}
    assert endpoints_from_settings(OWN, settings) == (OWN, ())


@given(
    st.dictionaries(
        st.sampled_from(["CLIENT_API_HOST", "ADMIN_API_HOST", "CHAT_API_VERSION"]),
        VALUES | st.text(alphabet="ab:/[]@?#.1%", max_size=12).map(lambda text: text + ".cometchat.io"),
    )
)
def test_any_settings_keep_the_token_with_the_service(server_settings):
    """For any settings, each base is the old one, or https at one of the service's hosts."""
    for base, old in zip(endpoints_from_settings(DEFAULT, server_settings).endpoints, DEFAULT):
        parts = urlsplit(base)
        assert base == old or (parts.scheme == "https" and is_allowed_host(parts.netloc))


@each_row(
    "base, expected",
    [
        ("http://chat.example/v3", True),
        ("http://10.0.0.7:8080", True),
        ("http://127.example.org", True),
        ("http://localhost.example.org", True),
        ("http://[2001:db8::1]:80", True),
        ("https://chat.example", False),
        ("http://localhost:8080/x", False),
        ("http://localhost.", False),
        ("http://app.localhost", False),
        ("http://127.0.0.1", False),
        ("http://127.8.9.1:5", False),
        ("http://[::1]:8080", False),
    ],
)
def test_addresses_in_clear_text(base: str, expected: bool) -> None:
    """An address is one of clear text without TLS, on another machine."""
    assert is_in_clear(base) is expected


@pytest.mark.parametrize("host, warnings", [("http://chat.example", 1), ("http://localhost:9", 0), ("chat.example", 0)])
def test_an_auth_key_in_clear_text_is_warned_of_once(host, warnings, caplog):
    """The first login logs it, without the key."""

    class Nothing:
        def call(self, *args, **named):
            raise CometChatException("FAILED_TO_FETCH", "no network here")

    options = AppSettings(admin_host=host, client_host=host)
    account = Account("app", options, Nothing(), MemorySessionStore(), lock=threading.RLock(), number=1)
    for _ in range(2):
        with pytest.raises(CometChatException):
            account.service.login("amy", "s3cret-auth-key")
    records = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(records) == warnings and "s3cret" not in caplog.text
    assert all("without TLS" in record.getMessage() and host in record.getMessage() for record in records)
