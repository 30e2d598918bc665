"""The content of a message: the checks of the API, and the users mentioned in the text."""

from __future__ import annotations

import json
import re
from typing import Any, Dict, Mapping, Optional, Tuple

from ._errors import refusal
from ._users import Users

#: Maximum length of a message as JSON, in characters.
LONGEST_MESSAGE = 65_536
#: Maximum size of a message's data without its text, in bytes. Not confirmed: whether the text counts.
LARGEST_DATA = 10 * 1024

#: The categories that clients send.
CATEGORIES = ("message", "custom", "interactive")
#: The categories that only the service sends.
SERVICE_CATEGORIES = ("card", "agentic")

_MENTION = re.compile(r"<@uid:([^>\s]+)>")


def check_envelope(body: Mapping[str, Any], categories: Tuple[str, ...]) -> None:
    """Check receiver, receiverType, category, type and data of a message.

    :raises ApiError: one of them is missing or wrong.
    """
    receiver = body.get("receiver")
    if not isinstance(receiver, str) or not receiver:
        raise refusal("ERR_EMPTY_RECEIVER")
    if body.get("receiverType") not in ("user", "group"):
        raise refusal("ERR_INVALID_RECEIVER_TYPE")
    if not body.get("category"):
        raise refusal("ERR_EMPTY_MESSAGE_CATEGORY")
    if body["category"] not in categories:
        raise refusal("ERR_INVALID_MESSAGE_CATEGORY")
    if not body.get("type"):
        raise refusal("ERR_EMPTY_MESSAGE_TYPE")
    if not isinstance(body["type"], str):
        raise refusal("ERR_INVALID_MESSAGE_TYPE")
    if not isinstance(body.get("data"), dict):
        raise refusal("ERR_INVALID_MESSAGE_DATA", problem="is missing, or not an object")


def check_content(category: str, kind: str, data: Mapping[str, Any]) -> None:
    """Check the data of a message for the parts that its category and type need.

    :raises ApiError: a part is missing or wrong.
    """
    if not isinstance(data.get("metadata", {}), (dict, str)):
        raise refusal("ERR_INVALID_METADATA")
    if category == "custom" or kind == "custom":
        if data.get("customData") is None:
            raise refusal("ERR_EMPTY_CUSTOM_DATA")
        if not isinstance(data["customData"], (dict, str)):
            raise refusal("ERR_INVALID_CUSTOM_DATA")
    elif category == "message" and kind == "text":
        _check_text(data.get("text"))
    elif category == "message" and not (data.get("attachments") or data.get("url")):
        raise refusal("ERR_EMPTY_MESSAGE_FILE")


def check_size(body: Mapping[str, Any]) -> None:
    """Check the size of a message.

    :raises ApiError: it has too many characters, or too much data.
    """
    if len(json.dumps(body, ensure_ascii=False)) > LONGEST_MESSAGE:
        raise refusal("ERR_INVALID_MESSAGE_TEXT", problem=f"makes more than {LONGEST_MESSAGE} characters of JSON")
    data = {key: value for key, value in body["data"].items() if key != "text"}
    if len(json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogatepass")) > LARGEST_DATA:
        raise refusal("ERR_INVALID_MESSAGE_DATA", problem=f"has more than {LARGEST_DATA} bytes beside the text")


def mentions(text: Any, users: Users) -> Optional[Dict[str, Any]]:
    """Return the app's users mentioned in a text, by uid, or None if the text mentions no user."""
    found = _MENTION.findall(text) if isinstance(text, str) else []
    shown = {users.get(uid).uid: users.shown(users.get(uid)) for uid in found if uid in users}
    return shown or None


def _check_text(text: Any) -> None:
    if text is None or text == "":
        raise refusal("ERR_EMPTY_MESSAGE_TEXT")
    if not isinstance(text, str):
        raise refusal("ERR_INVALID_MESSAGE_TEXT", problem="is not a text")
    if not text.strip():
        raise refusal("ERR_EMPTY_MESSAGE_TEXT")
