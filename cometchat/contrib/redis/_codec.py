"""Encodes events as JSON: a call of a listener's method, with the SDK's models. Pure.

Decoding creates only the models below and plain JSON, for any data in Redis. It loads no other class by its name. A
login's auth token is never encoded.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Dict, NamedTuple, Tuple, Type

from cometchat import (
    Action,
    AIAssistantEvent,
    AIAssistantListener,
    AIAssistantMessage,
    AIToolArgumentMessage,
    AIToolResultMessage,
    Attachment,
    BaseMessage,
    Call,
    CallListener,
    CardMessage,
    Conversation,
    ConversationListener,
    CustomMessage,
    EventListener,
    Group,
    GroupListener,
    Interaction,
    InteractionReceipt,
    InteractiveMessage,
    MediaMessage,
    MessageListener,
    MessageReceipt,
    ReactionCount,
    ReactionEvent,
    TextMessage,
    TransientMessage,
    TypingIndicator,
    User,
    UserListener,
)

_MODELS = (
    *(Action, Attachment, BaseMessage, Call, CardMessage, CustomMessage, Group, InteractionReceipt, InteractiveMessage),
    *(AIAssistantEvent, AIAssistantMessage, AIToolArgumentMessage, AIToolResultMessage, Conversation),
    *(Interaction, ReactionCount),
    *(MediaMessage, MessageReceipt, ReactionEvent, TextMessage, TransientMessage, TypingIndicator, User),
)
_BY_NAME: Dict[str, Any] = {model.__name__: model for model in _MODELS}

#: Kind -> the listener's class.
KINDS: Dict[str, Type[Any]] = {
    "user": UserListener,
    "group": GroupListener,
    "message": MessageListener,
    "call": CallListener,
    "ai_assistant": AIAssistantListener,
    "conversation": ConversationListener,
    "event": EventListener,
}

#: Kind -> its methods.
METHODS: Dict[str, Tuple[str, ...]] = {
    kind: tuple(name for name in vars(listener) if name.startswith("on_")) for kind, listener in KINDS.items()
}

_SECRETS = frozenset({"auth_token"})

#: Maximum number of levels that are written item by item. A step for each level would reach Python's limit.
_LEVELS = 50


class Event(NamedTuple):
    """A call of a listener's method."""

    kind: str
    method: str
    args: Tuple[Any, ...]


def encode(event: Event) -> bytes:
    """Return the event in the form for Redis.

    :raises ValueError: it is nested too deeply.
    """
    try:
        return json.dumps([event.kind, event.method, [_encoded(arg) for arg in event.args]]).encode()
    except (RecursionError, TypeError) as error:
        raise ValueError(f"{event.method} can't be written as JSON") from error


def decode(data: bytes) -> Event:
    """Read the result of :func:`encode`, of this or another version of the SDK.

    :raises ValueError: this version can't read it.
    """
    try:
        kind, method, args = json.loads(data)
        if method not in METHODS[kind]:
            raise ValueError(f"{kind} has no method of this name")
        return Event(kind, method, tuple(_decoded(arg) for arg in args))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no event ({type(error).__name__})") from error


def _encoded(value: Any, levels: int = _LEVELS) -> Any:
    """Encode a model as ["Name", {fields}], a tuple as ["tuple", [items]], a list as ["list", [items]].

    The lists in a dict too, so that workers of all versions can read it. JSON below these levels is ["json", value].
    """
    if not levels:
        return ["json", value]
    below = levels - 1
    if type(value) in _MODELS:
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        kept = {key: _encoded(each, below) for key, each in fields.items() if key not in _SECRETS and each is not None}
        return [type(value).__name__, kept]
    if isinstance(value, (list, tuple)):
        return ["tuple" if isinstance(value, tuple) else "list", [_encoded(each, below) for each in value]]
    if isinstance(value, dict):
        return {key: _encoded(each, below) for key, each in value.items()}
    return value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _decoded(each) for key, each in value.items()}
    if not isinstance(value, list):
        return value
    name, inner = value
    if name == "json":
        return inner
    if name == "tuple":
        return tuple(_decoded(each) for each in inner)
    if name == "list":
        return [_decoded(each) for each in inner]
    model = _BY_NAME[name]
    known = {field.name for field in dataclasses.fields(model)} - _SECRETS
    return model(**{key: _decoded(each) for key, each in inner.items() if key in known})
