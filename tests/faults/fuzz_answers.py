"""A fuzz target: values of any type as the data of each HTTP answer, and as the content of a session store."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, Mapping, Optional
from urllib.parse import urlencode, urlsplit

from cometchat import AppSettings, Client, CometChatException, MemorySessionStore, TextMessage
from cometchat._runtime._registry import ListenerRegistry
from cometchat._runtime.delivery._history import PAGE
from cometchat.exceptions import ERR_BAD_RESPONSE, exception_for

from .fuzz_values import LONG, Draw, LoudLog, check

SETTINGS: Dict[str, Any] = {
    **{"CHAT_HOST": "127.0.0.1", "CHAT_HOST_OVERRIDE": "", "CHAT_HOST_APP_SPECIFIC": None, "CHAT_USE_SSL": 1},
    **{"CHAT_WS_PORT": "80", "CHAT_WSS_PORT": 443, "MODE": "DEFAULT"},
}

#: A jwt with ``exp`` 1e308, one without JSON, and a text that is not a jwt.
JWTS = ["x.eyJleHAiOjFlMzA4fQ.y", "x.bm9uZQ.y", "jwt"]


class FakeRest:
    """Makes answers from bytes. A value of an unexpected type is an error here already, as in the real class."""

    service_time = None

    def __init__(self, draw: Draw) -> None:
        self._draw = draw

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Optional[Mapping[str, Any]] = None,
        timeout: float,
        expect: type = dict,
    ) -> Any:
        """Answer one call."""
        for name, value in headers.items():
            assert isinstance(value, str) and len(value) < LONG, f"the header {name} is long"
            value.encode("latin-1")
            assert "\r" not in value and "\n" not in value
        urlsplit(url).port
        data = self._data(method, url)
        if not isinstance(data, expect):
            raise exception_for(ERR_BAD_RESPONSE, "not the protocol's JSON")
        return data

    def _data(self, method: str, url: str) -> Any:
        draw = self._draw
        if method == "PUT":
            settings = draw.good(SETTINGS)
            return draw.good({"uid": "u", "name": "N", "jwt": draw.pick(JWTS), "settings": settings})
        if url.endswith("/auth_tokens"):
            return draw.good({"uid": "u", "authToken": "token"})
        if url.endswith("/settings"):
            return draw.good({"settings": draw.good(SETTINGS)}) if draw.byte() % 2 else draw.good(SETTINGS)
        if method == "GET":
            return [draw.good({"id": "5", "data": {}}) for _ in range(draw.byte() % 4)]
        return draw.good({"id": "7", "category": "message", "type": "text"})

    def close(self) -> None:
        """Do nothing: there is no connection."""


def may(call: Callable[[], Any]) -> Any:
    """Return the function's result, or None if it raised an allowed exception."""
    try:
        return call()
    except CometChatException as error:
        check(error)
        return None


def visit(client: Client) -> None:
    """Make all calls that a user and the connection would make after a login."""
    account = client._core.account
    for text in (repr(client), repr(may(client.connection_info)), repr(client.get_logged_in_user())):
        text.encode()
    credentials = may(lambda: account.credentials(check_expiry=False))
    if credentials is not None:
        parts = urlsplit(credentials.url)
        assert parts.scheme in ("ws", "wss") and parts.hostname and parts.port
        credentials.url.encode()
    history = client._core.history
    newest = may(history.newest_message_id)
    if newest is not None:
        assert len(newest) <= 300, "a long id is kept"
        urlencode({"id": newest})
        may(lambda: history.messages_after(newest, PAGE))
    may(account.refresh_settings)
    may(account.renew)
    account.mode.encode("utf-8", "backslashreplace")
    may(client.connection_info)
    may(lambda: client.send_message(TextMessage(receiver_id="u2", receiver_type="user", text="x")))
    may(client.outbox.pending)


def one_input(data: bytes) -> None:
    """Check any answer of the service and any content of the store: only CometChatExceptions, and no bug in the log."""
    draw = Draw(data)
    store = MemorySessionStore()
    restored = draw.byte() % 4 == 3
    if restored:
        fields = {"format": 1, "app_id": "app", "uid": "u", "auth_token": "t", "device_id": "d", "user": {"uid": "u"}}
        store.save(draw.good(fields) if draw.byte() % 4 else draw.value())
    settings = AppSettings(region="us", session_store=store, auto_establish_socket_connection=False)
    with LoudLog() as log, contextlib.closing(Client._idle("app", settings, ListenerRegistry())) as client:
        client._core.account.service.rest = FakeRest(draw)
        client._resume()
        if not restored:
            may(lambda: client.login("u", "key"))
        if client.get_logged_in_user() is not None:
            visit(client)
        log.check()


#: Inputs to begin with.
SEEDS = [bytes(number) for number in (1, 200)] + [bytes(range(start, 250)) * 2 for start in (0, 1, 3, 7, 30, 90)]
