"""Actions of a back end with the sandbox's API key reach the SDK's clients."""

from __future__ import annotations

import queue
from typing import Any, Optional

import pytest
import requests

from cometchat import (
    BaseMessage,
    CometChatException,
    Conversation,
    ConversationListener,
    MessageListener,
    TextMessage,
)
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, OTHER_UID, UID, LoginRecorder, Party


class BackEnd:
    """Calls the admin API."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def ask(self, method: str, path: str, body: Any = None, by: Optional[str] = None) -> Any:
        """Return the data of the answer."""
        headers = {"apiKey": self._sandbox.api_key, **({} if by is None else {"onBehalfOf": by})}
        answer = requests.request(method, f"{self._sandbox.url}/v3{path}", json=body, headers=headers, timeout=DEADLINE)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def send(self, text: str, by: Optional[str] = None) -> str:
        """Send a text message to the client's user, and return its id."""
        envelope = {"receiver": UID, "receiverType": "user", "category": "message", "type": "text"}
        return str(self.ask("POST", "/messages", {**envelope, "data": {"text": text}}, by)["id"])


class Ear(MessageListener, ConversationListener):
    """Keeps its events."""

    def __init__(self) -> None:
        self.heard: queue.Queue[Any] = queue.Queue()

    def next(self) -> Any:
        """Return the next event: a message or a conversation. The callback's name is before all but new messages."""
        return self.heard.get(timeout=DEADLINE)

    def on_text_message_received(self, text_message: TextMessage) -> None:
        self.heard.put(text_message)

    def on_message_pinned(self, message: BaseMessage) -> None:
        self.heard.put(("pinned", message))

    def on_message_unpinned(self, message: BaseMessage) -> None:
        self.heard.put(("unpinned", message))

    def on_message_saved(self, message: BaseMessage) -> None:
        self.heard.put(("saved", message))

    def on_conversation_pinned(self, conversation: Conversation) -> None:
        self.heard.put(("pinned", conversation))


@pytest.fixture
def back_end(sandbox: Sandbox) -> BackEnd:
    return BackEnd(sandbox)


def test_messages_and_pins_of_a_back_end_arrive(back_end: BackEnd, party: Party) -> None:
    """Messages of the app and of users, pins of both kinds, and saved messages reach their callbacks."""
    client, _ = party.connected()
    ear = Ear()
    client.add_message_listener("ear", ear)
    client.add_conversation_listener("ear", ear)
    first = back_end.send("from the app")
    message = ear.next()
    assert message.text == "from the app" and (message.sender.uid, message.sender.name) == ("app_system", "System")
    back_end.send("from a user", by=OTHER_UID)
    assert ear.next().sender.uid == OTHER_UID
    back_end.ask("POST", f"/messages/{first}/pin")
    what, message = ear.next()
    assert (what, message.id, message.pinned_by) == ("pinned", first, "app_system")
    back_end.ask("DELETE", f"/messages/{first}/pin")
    what, message = ear.next()
    assert (what, message.pinned_by) == ("unpinned", None)
    back_end.ask("POST", f"/messages/{first}/save", by=UID)
    what, message = ear.next()
    assert what == "saved" and message.saved_at
    back_end.ask("POST", f"/users/{OTHER_UID}/conversation/pin", by=UID)
    what, conversation = ear.next()
    assert what == "pinned" and conversation.conversation_with.uid == OTHER_UID


def test_a_deactivated_user_is_logged_out(back_end: BackEnd, party: Party) -> None:
    """The next call of a client whose user was deactivated ends the login."""
    client, _ = party.connected()
    logins = LoginRecorder()
    client.add_login_listener("logins", logins)
    back_end.ask("DELETE", "/users", {"uidsToDeactivate": [UID]})
    with pytest.raises(CometChatException, match="AUTH_ERR_AUTH_TOKEN_NOT_FOUND"):
        client.send_message(TextMessage(text="a", receiver_id=OTHER_UID, receiver_type="user"))
    logins.wait_for_names("logout_success")


def test_a_user_made_by_a_back_end_logs_in(back_end: BackEnd, sandbox: Sandbox, party: Party) -> None:
    """With the auth token that a back end makes together with the user, the SDK's client logs in."""
    user = back_end.ask("POST", "/users", {"uid": "New", "name": "New", "withAuthToken": True})
    client = party.client()
    assert client.login_with_auth_token(user["authToken"]).uid == "new"
    client.connect(DEADLINE)
    assert sandbox.violations == []
