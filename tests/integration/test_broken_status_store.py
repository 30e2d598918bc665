"""A client whose status store raises: it connects, calls its listeners, and ends as promised."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from cometchat import CometChatException, Member
from cometchat.sandbox import Sandbox

from .conftest import DEADLINE, OTHER_UID, UID, Party


class BrokenSeat:
    """The seat of a process that leads alone. Every other method raises."""

    def leads_until(self) -> float:
        return time.monotonic() + 60.0

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> None:
            raise ConnectionResetError(f"{name}: the store is away")

        return call


class BrokenStore:
    """A store whose seats are broken."""

    def join(self, app_id: str, uid: str, member: Member) -> Any:
        threading.Thread(target=member.lead, daemon=True).start()
        return BrokenSeat()


def test_the_leader_goes_on_without_its_store(
    sandbox: Sandbox, party: Party, caplog: pytest.LogCaptureFixture
) -> None:
    """It connects, receives, and reconnects. disconnect() and close() raise nothing."""
    client = party.client(status_store=BrokenStore())
    heard = party.heard(client)
    client.login(UID, sandbox.auth_key)
    client.connect(DEADLINE)
    sandbox.drop_connections()
    heard.wait_for("on_connected", 2)
    client.start_typing(OTHER_UID, "user")
    assert sandbox.wait_for_frame(lambda frame: frame.get("type") == "typing_indicator")
    client.disconnect()
    assert client.get_connection_status() == "disconnected"
    client.close()
    with pytest.raises(CometChatException, match="ERR_CLIENT_CLOSED"):
        client.connect()
    assert "publish() raised" in caplog.text and "leave() raised" in caplog.text
