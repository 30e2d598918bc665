"""Extensions, AI and the notification feed: canned answers, and answers that a test sets."""

from __future__ import annotations

import ssl
from typing import Any, Callable

import pytest
import requests

from cometchat.sandbox import Sandbox


def ask(client: Any, extension: str, method: str, endpoint: str, **headers: Any) -> requests.Response:
    """Call an extension like the vendor's clients: its name and the region are a part of the host."""
    settings = client.call("GET", "/settings", headers=logged_in(client)).json()["data"]
    host = f"{extension}-{settings['REGION']}.{settings['EXTENSION_DOMAIN']}"
    return client.call(method, f"/{endpoint}", headers={**logged_in(client), "Host": host, **headers})


def logged_in(client: Any) -> Any:
    return {"authToken": client.sandbox.auth_token("cometchat-uid-1")}


@pytest.mark.parametrize(
    "extension, method, endpoint, field",
    [
        ("polls", "POST", "v2/create", "success"),
        ("polls", "POST", "v2/vote", "success"),
        ("stickers", "GET", "v1/fetch", "defaultStickers"),
        ("document", "POST", "v1/create", "document_url"),
        ("whiteboard", "POST", "v1/create", "board_url"),
        ("message-translation", "POST", "v2/translate", "language_original"),
    ],
)
def test_an_extension_has_an_answer(
    client: Any, extension: str, method: str, endpoint: str, field: str
) -> None:
    """The extensions of the vendor's interface answer with the field that the interface reads."""
    answer = ask(client, extension, method, endpoint)
    assert answer.status_code == 200
    assert answer.json()["data"][field]


@pytest.mark.parametrize(
    "path, key",
    [
        ("/ai/smart-replies/users/cometchat-uid-2", "smart-replies"),
        ("/ai/conversation-summary/groups/team", "conversation-summary"),
        ("/ai/conversation-starter/users/cometchat-uid-2", "conversation-starter"),
        ("/campaigns/notification-feed/unread-count", "count"),
    ],
)
def test_ai_and_the_feed_have_an_answer(client: Any, path: str, key: str) -> None:
    """The calls of the client API answer under the key that the vendor's client reads, for any query."""
    answer = client.call("GET", f"/v3.0{path}?lastMessageCount=5", headers=logged_in(client))
    assert answer.status_code == 200
    assert key in answer.json()["data"]


@pytest.mark.parametrize("path", ["notification-feed?limit=20", "templates/categories?limit=50"])
def test_the_feed_is_empty(client: Any, path: str) -> None:
    """A new app has neither notifications nor categories."""
    assert client.call("GET", f"/campaigns/{path}", headers=logged_in(client)).json() == {"data": []}


def test_a_test_sets_the_answer(sandbox: Sandbox, client: Any) -> None:
    """The newest answer that fits wins: of an extension, of a new one, of a path of the API."""
    sandbox.answer("POST", "polls/v2/create", {"id": "p1"})
    sandbox.answer("get", "reminders/*", None)
    sandbox.answer("GET", "/ai/smart-replies/users/cometchat-uid-2", {"smart-replies": ["Fine"]})
    assert ask(client, "polls", "POST", "v2/create").json() == {"data": {"id": "p1"}}
    assert ask(client, "reminders", "GET", "v1/fetch").json() == {"data": None}
    path = "/ai/smart-replies/users/cometchat-uid-2"
    assert client.call("GET", path, headers=logged_in(client)).json()["data"] == {"smart-replies": ["Fine"]}
    settings = client.call("GET", "/settings", headers=logged_in(client)).json()["data"]
    assert {"polls", "reminders"} <= {each["id"] for each in settings["extensions"]}


@pytest.mark.parametrize(
    "extension, method, endpoint",
    [("polls", "POST", "v1/nothing"), ("polls", "GET", "v2/create"), ("gifs", "GET", "v1/fetch")],
)
def test_everything_else_is_refused(client: Any, extension: str, method: str, endpoint: str) -> None:
    """Other extensions, endpoints and methods get 404 in the service's envelope."""
    answer = ask(client, extension, method, endpoint)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "ERR_EXTENSION_NOT_FOUND")


def test_an_extension_needs_an_auth_token(client: Any) -> None:
    """Without a token, the service's refusal is the answer, for extensions and for canned answers of the API."""
    answers = [
        ask(client, "polls", "POST", "v2/create", authToken=None),
        client.call("GET", "/campaigns/notification-feed"),
    ]
    assert [answer.json()["error"]["code"] for answer in answers] == ["AUTH_ERR_EMPTY_AUTH_TOKEN"] * 2


@pytest.mark.parametrize("host, domain", [("127.0.0.1", "localhost"), ("localhost", "localhost")])
def test_the_host_is_a_name(host: str, domain: str, make_client: Callable[[Sandbox], Any]) -> None:
    """The settings name a domain below which a browser finds names, and never an IP address."""
    with Sandbox(host) as sandbox:
        client = make_client(sandbox)
        settings = client.call("GET", "/settings", headers=logged_in(client)).json()["data"]
        assert settings["EXTENSION_DOMAIN"] == f"{domain}:{sandbox.port}"


def test_an_app_named_like_an_extension(make_client: Callable[[Sandbox], Any]) -> None:
    """If a tester maps the service's names to the sandbox, the API's own host does not count as an extension's."""
    with Sandbox(app_id="my-us") as sandbox:
        client = make_client(sandbox)
        host = "my-us.apiclient-us.cometchat.io"
        assert client.call("GET", "/me", headers={**logged_in(client), "Host": host}).status_code == 200


def test_the_certificate_names_the_extensions() -> None:
    """With TLS, a client that trusts the certificate accepts each extension's host, which is among its names."""
    sandbox = Sandbox(tls=True)
    (certificate,) = ssl.create_default_context(cafile=sandbox.ca_certs).get_ca_certs()
    names = {value for kind, value in certificate["subjectAltName"] if kind == "DNS"}  # type: ignore[misc]
    assert {f"{name}-us.localhost" for name in ("polls", "stickers", "document", "whiteboard")} <= names
