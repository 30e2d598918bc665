"""Checks of the users' arguments. Each error names the argument and its allowed values."""

from __future__ import annotations

import json
import logging
import string
from typing import Any, Dict, Mapping, Optional, Tuple, Type

from .._deferred import deferred
from .._fields import plain_text
from .._log import SafeLog
from .._protocol._states import CometChatWSState
from ..exceptions import invalid, invalid_value, missing, unusable
from ..settings import LONGEST

logger = SafeLog(logging.getLogger("cometchat.client"))

#: The characters of a uid or guid, as the vendor documents them.
_ID_CHARACTERS = frozenset(string.ascii_lowercase + string.digits + "-_")

#: Maximum number of digits of a message's id.
_LONGEST_ID = 39

#: One warning per process is enough.
_warned_of_characters = False


def text(parameter: str, value: Any, expected: str) -> str:
    """Return a string that is not empty. A member of a str enum counts as its value."""
    value = plain_text(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise missing(parameter, expected)
    if not isinstance(value, str):
        raise invalid(parameter, f"a str: {expected}", value)
    if not is_unicode(value):
        raise unusable(parameter, f"{expected}, encodable as UTF-8")
    return str(value)


def uid(value: Any) -> str:
    """Return a uid in lower case, like the service."""
    return _identifier("uid", value, "the uid of an existing user")


def _identifier(parameter: str, value: Any, expected: str) -> str:
    """Return a uid or guid in lower case. It becomes a part of a URL's path, so "." and ".." are refused."""
    global _warned_of_characters
    name = _path_part(parameter, value, expected).lower()
    if name != name.strip():  # such as the line break at the end of a file with a secret
        raise invalid_value(parameter, f"{expected}, without surrounding spaces", name)
    unusual = [character for character in name if character not in _ID_CHARACTERS]
    if unusual and not _warned_of_characters:
        _warned_of_characters = True
        logger.warning(
            "%s contains %r. The service documents a-z, 0-9, - and _ in uids and guids, and may not find this one.",
            parameter,
            unusual[0],
        )
    return name


def _path_part(parameter: str, value: Any, expected: str) -> str:
    value = text(parameter, value, expected)
    if not is_path_part(value):
        raise invalid_value(parameter, expected, value)
    return str(value)


def is_path_part(value: str) -> bool:
    """Return True if a text can be a part of a URL's path. The parts "." and ".." would change the path."""
    return value not in (".", "..") and is_unicode(value)


def is_unicode(value: str) -> bool:
    """Return True if UTF-8 can encode the text. It can't encode a lone surrogate."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def header(parameter: str, value: Any, expected: str) -> str:
    """Return a string that is not empty and fits into an HTTP header."""
    value = text(parameter, value, expected)
    if not fits_header(value):
        raise unusable(parameter, f"{expected}, in printable ASCII without surrounding spaces")
    return str(value)


def fits_header(value: str) -> bool:
    """Return True if the text can be the value of an HTTP header."""
    return value.isascii() and value.isprintable() and value == value.strip()


def app_id(value: Any, in_host_name: bool) -> str:
    """Return an app id. It is a part of the host name, unless the hosts are overridden."""
    value = header("app_id", value, "the app id from your CometChat dashboard")
    if in_host_name and not all(character.isalnum() or character in "-_" for character in value):
        raise invalid_value("app_id", "the app id from your CometChat dashboard (letters and digits)", value)
    return str(value)


def timeout(value: Any, *, zero: bool = False) -> Optional[float]:
    """Return a number of seconds to wait; None for no limit."""
    if value is None:
        return None
    least = "from 0 to" if zero else "above 0, up to"
    expected = f"a number of seconds {least} {LONGEST:.0f}, or None"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise invalid("timeout", expected, value)
    if not 0 <= value <= LONGEST or (value == 0 and not zero):
        raise invalid_value("timeout", expected, value)
    return float(value)


def status(value: Any) -> CometChatWSState:
    """Return a status, given as a member or its string."""
    expected = "a CometChatWSState or its string: " + ", ".join(f'"{state}"' for state in CometChatWSState)
    if not isinstance(value, str):
        raise invalid("status", expected, value)
    try:
        return CometChatWSState(value)
    except ValueError:
        raise invalid_value("status", expected, value) from None


def listener_id(value: Any) -> str:
    """Return the id of a listener's registration."""
    return text("listener_id", value, "a name for this registration")


def listener(value: Any, kind: Type[Any]) -> Any:
    """Return an instance of a listener class."""
    if value is None:
        raise missing("listener", f"an instance of {kind.__name__}")
    if not isinstance(value, kind):
        hint = ""
        if isinstance(value, type):
            hint = f" (an object, not the class {value.__name__})"
        elif callable(value):
            hint = f", made from the function by {kind.__name__}(on_...=function)"
        raise invalid("listener", f"an instance of {kind.__name__}{hint}", value)
    return value


def refresh(value: Any) -> Any:
    """Return a callable that returns a new auth token, or None."""
    expected = "a callable without parameters that returns a new auth token, or None"
    if value is not None and not callable(value):
        raise invalid("refresh", expected, value)
    odd_function = deferred(value)
    if odd_function is not None:
        raise unusable("refresh", f"{expected}, and not {odd_function}")
    return value


def message(message: Any) -> None:
    """Check a message to send."""
    from ..models import CustomMessage, TextMessage

    expected = "a TextMessage or a CustomMessage"
    if message is None:
        raise missing("message", expected)
    if not isinstance(message, (TextMessage, CustomMessage)):
        raise invalid("message", expected, message)
    if message.is_stored:
        raise unusable("message", "a new message (this one, or its original, has already been sent)")
    receiver(message.receiver_id, message.receiver_type)
    if isinstance(message, TextMessage):
        text("text", message.text, "the text of the message")
    else:
        _custom(message)
    json_object("metadata", message.metadata)
    for parameter in ("muid", "parent_message_id", "sub_type"):
        if getattr(message, parameter, None):
            _path_part(parameter, getattr(message, parameter), "a string or None")
    quoted(message)
    if not isinstance(message.tags, (tuple, list)) or not all(isinstance(tag, str) for tag in message.tags):
        raise unusable("tags", "a tuple of strings")


def _custom(message: Any) -> None:
    """Check the fields that only a custom message has."""
    text("type", message.type, "the type of the custom message")
    json_object("custom_data", message.custom_data)
    if message.conversation_text:
        text("conversation_text", message.conversation_text, "a string or None")
    for parameter in ("update_conversation", "send_notification"):
        value = getattr(message, parameter)
        if value is not None and not isinstance(value, bool):
            raise invalid(parameter, "True, False or None", value)


def quoted(message: Any) -> Optional[str]:
    """Return the id of the message that a new message quotes; None without one."""
    if message.quoted_message_id is not None:
        return message_id("quoted_message_id", message.quoted_message_id)
    if message.quoted_message is None:
        return None
    return str(stored_message(message.quoted_message, "quoted_message").id)


def stored_message(message: Any, parameter: str = "message") -> Any:
    """Return a message that the service has stored."""
    from ..models import BaseMessage

    expected = "a message that the service has stored, with its id"
    if message is None:
        raise missing(parameter, expected)
    if not isinstance(message, BaseMessage):
        raise invalid(parameter, expected, message)
    if not message.is_stored:
        raise unusable(parameter, expected)
    message_id(parameter, message.id)
    return message


def message_id(parameter: str, value: Any) -> str:
    """Return the id of a message. ``value`` is the id or the message."""
    from ..models import BaseMessage

    expected = "a stored message or the id of one"
    if isinstance(value, BaseMessage):
        value = value.id
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < 10**_LONGEST_ID:
            raise unusable(parameter, expected)
        value = str(value)
    value = text(parameter, value, expected)
    if not (value.isascii() and value.isdigit() and len(value) <= _LONGEST_ID):
        raise unusable(parameter, expected)
    return str(value)


def count(parameter: str, value: Any) -> Optional[int]:
    """Return a number of items, 0 or more; None for no limit."""
    expected = "a whole number (0 or more) or None"
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(parameter, expected, value)
    if value < 0:
        raise invalid_value(parameter, expected, value)
    return value


def conversation(uid: Any, guid: Any) -> Tuple[Optional[str], Optional[str]]:
    """Return uid and guid in lower case. At most one of them may be given."""
    if uid is not None:
        uid = _identifier("uid", uid, "the uid of a user")
    if guid is not None:
        guid = _identifier("guid", guid, "the guid of a group")
    if uid is not None and guid is not None:
        raise unusable("uid", "either uid (a user) or guid (a group), got both")
    return uid, guid


def one_receiver(uid: Any, guid: Any) -> Tuple[str, str]:
    """Return the receiver that either uid or guid names, and its type."""
    uid, guid = conversation(uid, guid)
    if uid is None and guid is None:
        raise missing("uid", "uid=... for a user or guid=... for a group")
    return (uid, "user") if uid is not None else (str(guid), "group")


def reaction(value: Any) -> str:
    """Return a reaction: an emoji or another text."""
    return _path_part("reaction", value, "an emoji")


def receiver(receiver_id: object, receiver_type: object) -> Tuple[str, str]:
    """Return a receiver: its uid or guid in lower case, and its type."""
    name = _identifier("receiver_id", receiver_id, "the uid or guid of the receiver")
    expected = 'one of "user", "group"'
    kind = text("receiver_type", receiver_type, expected)
    if kind not in ("user", "group"):
        raise invalid_value("receiver_type", expected, kind)
    return name, kind


def json_object(parameter: str, value: object) -> Dict[str, Any]:
    expected = "a mapping that can be written as JSON"
    if value is None:
        raise missing(parameter, expected)
    if not isinstance(value, Mapping):
        raise invalid(parameter, expected, value)
    try:
        json.dumps(dict(value), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise unusable(parameter, expected) from error
    return dict(value)
