"""The way of a call: the proxy for an address, the list of hosts without a proxy, and the trusted CAs."""

from __future__ import annotations

import os
import sys
import urllib.request
from typing import Dict, List, Optional

import pytest
import requests.certs
from rows import each_row

from cometchat._transport.net import BadProxy, Route
from cometchat._transport.net import _proxy as proxy_module
from cometchat._transport.net import resolve_route
from cometchat._transport.net._proxy import SystemSettings, bypasses_proxy

NAMED = [
    ("*", "any.example", 443),
    ("example.com", "example.com", 443),
    ("example.com", "api.example.com", 443),
    (".example.com", "api.example.com", 443),
    ("*.example.com", "api.example.com", 443),
    ("EXAMPLE.com.", "Api.Example.COM.", 443),
    ("other.example, example.com", "example.com", 443),
    ("example.com:443", "example.com", 443),
    ("192.0.2.7", "192.0.2.7", 443),
    ("192.0.2.7:8443", "192.0.2.7", 8443),
    ("192.0.2.0/24", "192.0.2.7", 443),
    ("192.0.2.0/24:443", "192.0.2.7", 443),
    ("::1", "::1", 443),
    ("[::1]", "::1", 443),
    ("[::1]:8443", "::1", 8443),
    ("2001:db8::/32", "2001:db8:1::2", 443),
    ("[2001:db8::]/32", "2001:db8:1::2", 443),
    ("[2001:db8::/32]:443", "2001:db8:1::2", 443),
    ("2001:0db8:0:0::1", "2001:db8::1", 443),
    ("fe80::/10", "fe80::1%eth0", 443),
    ("other.example api.example.com", "api.example.com", 443),
    ("localhost,\t127.0.0.1\n192.0.2.0/24 ", "192.0.2.7", 443),
]

NOT_NAMED = [
    ("", "any.example", 443),
    (" , ,", "any.example", 443),
    ("example.com", "badexample.com", 443),
    ("api.example.com", "example.com", 443),
    ("example.com:80", "example.com", 443),
    ("192.0.2.7:80", "192.0.2.7", 443),
    ("192.0.2.0/24", "192.0.3.7", 443),
    ("[::1]:80", "::1", 443),
    ("2001:db8::/32", "2001:db9::1", 443),
    ("192.0.2.0/24", "example.com", 443),
    ("2001:db8::/32", "192.0.2.7", 443),
    (".", "example.com", 443),
]


@each_row("entries, host, port", NAMED)
def test_a_host_that_needs_no_proxy(entries: str, host: str, port: int) -> None:
    """The list has domains with their subdomains, addresses and networks, each with or without a port."""
    assert bypasses_proxy(host, port, entries)


@each_row("entries, host, port", NOT_NAMED)
def test_a_host_that_needs_a_proxy(entries: str, host: str, port: int) -> None:
    """A domain that only ends like an entry is not in the list, nor is a host with another port."""
    assert not bypasses_proxy(host, port, entries)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove all settings but the test's."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("REQUEST_METHOD", raising=False)


def address_of(route: Route) -> Optional[str]:
    return None if route.proxy is None else route.proxy.address


ROUTES = [
    ({}, {}, None),
    ({"https_proxy": "http://e:1"}, {}, "http://e:1"),
    ({"HTTPS_PROXY": "http://e:1"}, {}, "http://e:1"),
    ({"http_proxy": "http://e:1"}, {}, None),
    ({"https_proxy": "", "HTTPS_PROXY": "http://e:1"}, {}, None),
    ({"https_proxy": "http://e:1", "HTTPS_PROXY": "http://e:2"}, {}, "http://e:1"),
    ({"HTTPS_PROXY": "http://e:1", "REQUEST_METHOD": "GET"}, {}, "http://e:1"),
    ({"all_proxy": "socks5://e:1"}, {}, "socks5://e:1"),
    ({"https_proxy": "http://e:1"}, {"https": "http://s:1"}, "http://s:1"),
    ({"https_proxy": "http://e:1"}, {"https": ""}, None),
    ({"https_proxy": "http://e:1"}, {"all": "http://s:1"}, "http://e:1"),
    ({}, {"all": "http://s:1"}, "http://s:1"),
    ({}, {"https://api.example": "http://s:2", "https": "http://s:1"}, "http://s:2"),
    ({}, {"https://other.example": "http://s:2", "https": "http://s:1"}, "http://s:1"),
    ({"https_proxy": "http://e:1", "no_proxy": "api.example"}, {}, None),
    ({"https_proxy": "http://e:1", "NO_PROXY": "api.example:443"}, {}, None),
    ({"no_proxy": "api.example"}, {"https": "http://s:1"}, "http://s:1"),
    ({"https_proxy": "http://e:1"}, {"no_proxy": "api.example"}, None),
]


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="the system's own settings count there too")
@pytest.mark.parametrize("environment, proxies, expected", ROUTES)
@pytest.mark.parametrize("url", ["https://api.example/v3.0/me", "wss://api.example/"])
def test_http_and_the_websocket_choose_the_same_proxy(
    environment: Dict[str, str],
    proxies: Dict[str, str],
    expected: Optional[str],
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The settings override the environment, a host the scheme, and no_proxy only the environment."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert address_of(resolve_route(url, proxies, None)) == expected


SOURCES = [
    ({"HTTPS_PROXY": "http://e:1"}, {}, "proxy http://e:1 (HTTPS_PROXY)"),
    ({"https_proxy": "e:1", "HTTPS_PROXY": "http://e:2"}, {}, "proxy http://e:1 (https_proxy)"),
    ({"ALL_PROXY": "socks5://[::1]"}, {}, "proxy socks5://[::1]:1080 (ALL_PROXY)"),
    ({"HTTPS_PROXY": "http://e:1"}, {"https": "http://s:1"}, "proxy http://s:1"),
]


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="the system's own settings count there too")
@pytest.mark.parametrize("environment, proxies, expected", SOURCES)
def test_errors_name_the_variable_of_a_proxy(
    environment: Dict[str, str], proxies: Dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several variables may name a proxy, and a user may not know of one of them."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    proxy = resolve_route("https://api.example/", proxies, None).proxy
    assert proxy is not None and f"proxy {proxy.name}" == expected


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="the system's own settings count there too")
@pytest.mark.parametrize("address", ["http://", "http://user:pa/ss@proxy:1", "ftp://proxy:1"])
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_an_invalid_proxy_is_named_by_its_variable(address: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text does not show the address, which may contain a password."""
    monkeypatch.setenv(name, address)
    with pytest.raises(BadProxy) as caught:
        resolve_route("wss://api.example/", None, None)
    assert f"({name})" in str(caught.value)
    assert "pa/ss" not in str(caught.value)


def test_whom_to_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings count, or else the environment, which is read each time, or else certifi."""
    url = "wss://api.example/"
    assert resolve_route(url, None, None).ca_bundle == requests.certs.where()
    monkeypatch.setenv("CURL_CA_BUNDLE", "/curl.pem")
    assert resolve_route(url, None, None).ca_bundle == "/curl.pem"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/requests.pem")
    assert resolve_route(url, None, None).ca_bundle == "/requests.pem"
    assert resolve_route(url, None, "/mine.pem").ca_bundle == "/mine.pem"


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="the system's own settings count there too")
def test_a_request_header_is_not_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a CGI program a visitor sends HTTP_PROXY. The lower-case name is the environment's own."""
    url = "http://api.example/"
    monkeypatch.setenv("HTTP_PROXY", "http://evil:1")
    assert address_of(resolve_route(url, None, None)) == "http://evil:1"
    monkeypatch.setenv("REQUEST_METHOD", "GET")
    assert resolve_route(url, None, None).proxy is None
    monkeypatch.setenv("http_proxy", "http://e:1")
    assert address_of(resolve_route(url, None, None)) == "http://e:1"


@pytest.mark.parametrize("platform, asks", [("darwin", False), ("win32", True)])
def test_the_child_of_a_fork_does_not_ask_macos(platform: str, asks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the system ends a child that asks. It uses the answers that its parent got, and the environment."""
    asked: List[str] = []

    def bypass(host: str) -> bool:
        asked.append(host)
        return host == "inside.example"

    def proxies() -> Dict[str, str]:
        asked.append("proxies")
        return {"https": "http://system:1"}

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(urllib.request, "getproxies", proxies)
    monkeypatch.setattr(urllib.request, "proxy_bypass", bypass, raising=False)
    monkeypatch.setattr(proxy_module, "_SETTINGS", SystemSettings())
    hosts = {"api.example": "http://system:1", "inside.example": None}
    for host, expected in hosts.items():
        assert address_of(resolve_route(f"https://{host}/", None, None)) == expected
    assert asked == ["proxies", "api.example", "proxies", "inside.example"]
    monkeypatch.setattr(os, "getpid", lambda: 1)
    for host, expected in hosts.items():
        assert address_of(resolve_route(f"https://{host}/", None, None)) == expected
    assert (len(asked) > 4) == asks
    if not asks:
        assert address_of(resolve_route("https://new.example/", None, None)) == "http://system:1"
        monkeypatch.setattr(proxy_module, "_SETTINGS", SystemSettings())
        monkeypatch.setattr(proxy_module._SETTINGS, "_is_of_this_process", [False])
        assert resolve_route("https://api.example/", None, None).proxy is None
    monkeypatch.setenv("https_proxy", "http://e:1")
    assert address_of(resolve_route("https://api.example/", None, None)) == "http://e:1"
