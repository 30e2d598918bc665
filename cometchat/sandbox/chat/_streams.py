"""The answers of an AI agent: the events of its run, piece by piece, and the message stored at the end."""

from __future__ import annotations

import re
import time
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ._conversations import Conversations
from ._errors import bad_request
from ._history import Message
from ._messages import Messages
from ._publisher import Publisher
from ._users import Users

EVENT_TYPES = (
    "run_started",
    "text_message_start",
    "text_message_content",
    "text_message_end",
    "tool_call_start",
    "tool_call_args",
    "tool_call_end",
    "tool_call_result",
    "card_start",
    "card",
    "card_end",
    "run_finished",
)


class Streams:
    """The agents of one app."""

    def __init__(
        self, users: Users, conversations: Conversations, messages: Messages, publisher: Publisher
    ) -> None:
        self._users = users
        self._conversations = conversations
        self._messages = messages
        self._publisher = publisher
        self._runs = 0

    def send_event(
        self,
        sender: str,
        receiver: str,
        kind: str,
        data: Mapping[str, Any],
        resource: str,
        *,
        message_id: int = 1,
        parent_id: Optional[str] = None,
    ) -> None:
        """Send one event of a run to a user; it is not stored.

        :raises ApiError: the kind is unknown, or one of the users does not exist.
        """
        if kind not in EVENT_TYPES:
            raise bad_request("type", f"must be one of {', '.join(EVENT_TYPES)}")
        sender = self._users.get(sender).uid
        conversation = self._conversations.to(sender, receiver, "user")
        body: Dict[str, Any] = {
            "type": kind,
            "conversationId": conversation.id,
            "id": message_id,
            "data": {"timestamp": int(time.time() * 1000), **data},
        }
        if parent_id is not None:
            body["parentId"] = parent_id
        frame = self._publisher.frame("streamed_message", sender, conversation.receiver, "user", resource, body=body)
        self._publisher.send(frame, [conversation.receiver], sender, resource)

    def answer(self, sender: str, receiver: str, text: str, resource: str) -> Message:
        """Send a whole run that streams a text word by word. Returns the message stored at its end."""
        self._runs += 1
        ids = {"runId": self._runs, "threadId": f"thread-{self._runs}"}
        stream = {**ids, "streamMessageId": f"stream-{self._runs}", "role": "assistant"}
        words = re.findall(r"\s*\S+\s*$|\s*\S+", text)
        events: List[Tuple[str, Dict[str, Any]]] = [
            ("run_started", ids),
            ("text_message_start", stream),
            *(("text_message_content", {**stream, "delta": word}) for word in words),
            ("text_message_end", stream),
            ("run_finished", ids),
        ]
        for kind, data in events:
            self.send_event(sender, receiver, kind, data, resource, message_id=self._runs)
        body = {
            "receiver": receiver,
            "receiverType": "user",
            "category": "agentic",
            "type": "assistant",
            "data": {"text": text, **ids},
        }
        return self._messages.send(self._users.get(sender).uid, body, resource, played=True)
