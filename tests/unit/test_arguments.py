"""Uids and guids: the service has them in lower case, with few characters."""

from __future__ import annotations

import logging
import threading
from typing import Any, Dict, cast

import pytest

from cometchat import CometChatException, MessageListener, TextMessage
from cometchat._protocol._delivery import Self, deliver_message
from cometchat._protocol._frames import Identity, readdress
from cometchat._runtime import _arguments as arguments
from cometchat._runtime.account._account import Account
from cometchat._runtime.messages._sender import Sender


@pytest.fixture(autouse=True)
def not_warned_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arguments, "_warned_of_characters", False)


def test_uids_and_guids_are_in_lower_case() -> None:
    assert arguments.uid("Amy-1") == "amy-1"
    assert arguments.receiver("SuperGroup", "group") == ("supergroup", "group")


@pytest.mark.parametrize("value", [".", ".."])
def test_a_uid_or_guid_that_is_a_step_in_a_path_is_refused(value: str) -> None:
    """``/users/../auth_tokens`` means ``/auth_tokens``: the auth key would go to another place."""
    with pytest.raises(CometChatException) as refused:
        arguments.uid(value)
    assert refused.value.code == "INVALID_UID"
    with pytest.raises(CometChatException) as refused:
        arguments.receiver(value, "user")
    assert refused.value.code == "INVALID_RECEIVER_ID"
    with pytest.raises(CometChatException) as refused:
        arguments.message(TextMessage(text="a", receiver_id="b", receiver_type="user", parent_message_id=value))
    assert refused.value.code == "INVALID_PARENT_MESSAGE_ID"


@pytest.mark.parametrize("value", ["amy\n", " amy", "amy\u00a0"])
def test_spaces_around_a_uid_or_guid_are_refused(value: str) -> None:
    """Like those around an auth key. A variable from a file with a secret often ends with a line break."""
    with pytest.raises(CometChatException) as refused:
        arguments.uid(value)
    assert refused.value.code == "INVALID_UID"
    assert "without surrounding spaces" in refused.value.message and repr(value) in refused.value.message
    with pytest.raises(CometChatException) as refused:
        arguments.conversation(None, value)
    assert refused.value.code == "INVALID_GUID"
    with pytest.raises(CometChatException) as refused:
        arguments.receiver(value, "user")
    assert refused.value.code == "INVALID_RECEIVER_ID"


def test_unusual_characters_of_a_uid_are_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "cometchat.client")
    assert arguments.uid("amy_1-Z") == "amy_1-z"
    assert caplog.records == []
    assert arguments.receiver("amy@example.org", "user")[0] == "amy@example.org"
    assert arguments.uid("j\u00fcrgen") == "j\u00fcrgen"
    (record,) = caplog.records
    assert "receiver_id" in record.getMessage() and "'@'" in record.getMessage()
    assert "amy" not in record.getMessage()


class _Account:
    lock = threading.RLock()
    resource = "here"

    def client_name(self) -> str:
        return "client 1"


def test_a_message_goes_to_the_receiver_in_lower_case() -> None:
    sender = Sender(cast(Account, _Account()), cast(Any, None), cast(Any, None), timeout=1.0)
    body = sender.message_body(TextMessage(text="a", receiver_id="Bob", receiver_type="user"))
    assert body["receiver"] == "bob"


def test_the_users_own_uid_is_compared_in_lower_case() -> None:
    identity = Identity("app", "Amy", "here", "device", "1")
    frame = '{"type":"receipts","sender":"amy","receiver":"bob","deviceId":"there","body":{}}'
    assert readdress(frame, identity) is not None
    by = {"entityType": "user", "entity": {"uid": "AMY"}}
    data: Dict[str, Any] = {
        "action": "initiated",
        "entities": {"by": by, "on": {"entityType": "call", "entity": {"initiator": "AMY", "status": "initiated"}}},
    }
    call = {"id": "1", "category": "call", "type": "audio", "sender": "AMY", "receiverType": "user", "data": data}
    delivery = deliver_message(call, Self("here", "amy"))
    assert delivery is not None and delivery.method == "on_event"


def test_a_wrong_type_is_answered_with_the_right_one() -> None:
    """The error names the type of a text, and the way from a function to a listener."""
    with pytest.raises(CometChatException, match=r"^INVALID_UID: .* a str: the uid of an existing user, got int\.$"):
        arguments.uid(3)
    with pytest.raises(CometChatException, match=r"MessageListener\(on_\.\.\.=function\), got function"):
        arguments.listener(callback, MessageListener)
    with pytest.raises(CometChatException, match="an object, not the class MessageListener"):
        arguments.listener(MessageListener, MessageListener)


def callback() -> None:
    """Do nothing; the user gives this in place of a listener."""
