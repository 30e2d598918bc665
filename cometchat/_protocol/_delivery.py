"""Maps a server event to a listener's method and its arguments: one table for each frame type.

Each event calls a method. An event without a callback of its own calls ``EventListener.on_event``; a stored message of
an unknown kind calls ``MessageListener.on_other_message_received``. Only an echo of a frame that this connection sent
calls no method.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Tuple, Type

from .._fields import identifier, mapping, mappings, moment, related_id, text
from ..models import (
    Action,
    AIAssistantEvent,
    AIAssistantMessage,
    AIToolArgumentMessage,
    AIToolResultMessage,
    BaseMessage,
    Call,
    CardMessage,
    Conversation,
    CustomMessage,
    Group,
    Interaction,
    InteractionReceipt,
    InteractiveMessage,
    MediaMessage,
    MessageReceipt,
    ReactionEvent,
    TextMessage,
    TransientMessage,
    TypingIndicator,
    User,
)
from ..models._events import present_user, user_in
from ..models._message import Entity, changed_message, message_from_dict
from ._frames import EVENT_KINDS, PIN_TYPES, EventKind, ServerEvent

_STORED, _KEPT, _EPHEMERAL = EventKind.STORED, EventKind.KEPT, EventKind.EPHEMERAL

#: ``_new(Delivery, (...))`` is a faster ``Delivery(...)``, for the events that arrive in floods.
_new = tuple.__new__


class Delivery(NamedTuple):
    """A call to make to the listeners.

    :ivar kind: the kind of listener, a key of ``listeners.KINDS``.
    :ivar event_kind: whether it may be dropped or fetched again.
    """

    kind: str
    method: str
    args: Tuple[Any, ...]
    event_kind: EventKind = EventKind.EPHEMERAL


class Self(NamedTuple):
    """The receiver of the events: ``resource`` names this connection on the wire, ``uid`` its user."""

    resource: str
    uid: Optional[str]

    def has_sent(self, resource: object) -> bool:
        """Return True if a frame or message with this resource comes from this connection. Case does not matter."""
        mine = self.resource
        if not isinstance(resource, str) or len(resource) != len(mine):
            return False
        return resource == mine or resource.lower() == mine.lower()

    def may_have_sent(self, message: Mapping[str, Any]) -> bool:
        """Return False if another user sent a message, such as over this connection's client before another login."""
        sender = text(message, "sender")
        return sender is None or self.uid is None or sender.lower() == self.uid.lower()


def deliver(event: ServerEvent, me: Self) -> Optional[Delivery]:
    """Return the listener call for an event; None for an echo of a frame that this connection sent."""
    kind, body, _, _, _, device_id, _, _ = event
    if device_id is not None and kind not in _NEVER_ECHOES and me.has_sent(device_id):
        return None
    if kind == "message":
        return deliver_message(body, me)
    read = _BY_TYPE.get(kind)
    delivery = read(event, body) if read is not None else None
    return delivery if delivery is not None else _unclaimed(kind, body)


def deliver_message(body: Dict[str, Any], me: Self, *, fetched: bool = False) -> Optional[Delivery]:
    """Return the listener call for a message, or None as in :func:`deliver`.

    :param fetched: the message comes from the history. There, an edited message is still new to the listeners, and
        every message has its own id.
    """
    data = body.get("data")
    if type(data) is not dict:
        data = mapping(body, "data")
    # An edited or deleted message has the resource of its first sender. A moderator may have changed it.
    if me.has_sent(data.get("resource")) and me.may_have_sent(body) and (fetched or not is_changed(body)):
        return None
    category = body.get("category")
    if category == "action":
        return _action(body, data)
    if category == "call":
        return _call(body, me)
    if "editedAt" in body or "deletedAt" in body:
        changed = _changed(body, fetched)
        if changed is not None:
            return changed
    message = message_from_dict(body)
    return Delivery("message", _MESSAGES.get(type(message), _OTHER), (message,), _STORED)


def _unclaimed(kind: str, body: Dict[str, Any]) -> Delivery:
    return Delivery("event", "on_event", (kind, body), EVENT_KINDS.get(kind, _KEPT))


def _action_of(body: Dict[str, Any]) -> str:
    action = body.get("action")
    return action if type(action) is str else ""


def _presence(event: ServerEvent, body: Dict[str, Any]) -> Optional[Delivery]:
    known = _PRESENCE.get(_action_of(body))
    if known is None:
        return None
    method, status = known
    user = present_user(body, event.sender, status)
    return _new(Delivery, ("user", method, (user,), _EPHEMERAL)) if user is not None else None


def _typing(event: ServerEvent, body: Dict[str, Any]) -> Optional[Delivery]:
    method = _TYPING.get(_action_of(body))
    if method is None:
        return None
    indicator = TypingIndicator(
        user_in(body, event.sender),
        event.receiver,
        event.receiver_type,
        mapping(body, "metadata"),
        body,
    )
    return _new(Delivery, ("message", method, (indicator,), _EPHEMERAL))


def _transient(event: ServerEvent, body: Dict[str, Any]) -> Optional[Delivery]:
    message = TransientMessage(
        user_in(body, event.sender), event.receiver, event.receiver_type, mapping(body, "data"), body
    )
    return _new(Delivery, ("message", "on_transient_message_received", (message,), _EPHEMERAL))


def _receipt(event: ServerEvent, body: Dict[str, Any]) -> Optional[Delivery]:
    action = _action_of(body)
    method = _RECEIPTS.get(action)
    if method is None:
        return None
    if method == "on_interaction_goal_completed":
        return _interaction(event, body)
    receipt = MessageReceipt(
        identifier(body, "messageId"),
        user_in(body, event.sender),
        event.receiver,
        event.receiver_type,
        action,
        moment(body, "timestamp"),
        body,
        event.message_sender,
    )
    return _new(Delivery, ("message", method, (receipt,), _EPHEMERAL))


def _reaction(event: ServerEvent, body: Dict[str, Any]) -> Optional[Delivery]:
    method = _REACTIONS.get(_action_of(body))
    if method is None:
        return None
    # The vendor's clients read the flat shape. Other sources report the nested one. A text is the reaction itself, even
    # if it is JSON.
    nested = body.get("reaction")
    reaction = nested if isinstance(nested, dict) and nested else body
    by = mapping(reaction, "reactedBy")
    happened = ReactionEvent(
        message_id=identifier(reaction, "messageId"),
        reaction=text(reaction, "reaction"),
        reacted_by=(
            User.from_dict(by) if text(by, "uid") else user_in(body, identifier(reaction, "uid") or event.sender)
        ),
        reacted_at=moment(reaction, "reactedAt"),
        receiver_id=event.receiver,
        receiver_type=event.receiver_type,
        raw=body,
        reaction_id=identifier(reaction, "id"),
        conversation_id=identifier(reaction, "conversationId") or identifier(body, "conversationId"),
        parent_message_id=related_id(reaction, "parentId") or related_id(body, "parentId"),
    )
    return Delivery("message", method, (happened,), _EPHEMERAL)


def _interaction(event: ServerEvent, body: Dict[str, Any]) -> Optional[Delivery]:
    goal = InteractionReceipt(
        identifier(body, "messageId"),
        user_in(body, event.sender),
        event.receiver,
        event.receiver_type,
        body,
        tuple(map(Interaction.from_dict, mappings(body, "interactions"))),
        event.message_sender,
    )
    return Delivery("message", "on_interaction_goal_completed", (goal,), _KEPT)


def _moderation(event: ServerEvent, body: Dict[str, Any]) -> Optional[Delivery]:
    message = message_from_dict(body)
    return Delivery("message", "on_message_moderated", (message,), _STORED)


def _stream(event: ServerEvent, body: Dict[str, Any]) -> Optional[Delivery]:
    if not text(body, "type"):
        return None
    streamed = AIAssistantEvent.from_dict(body)
    return Delivery("ai_assistant", "on_ai_assistant_event_received", (streamed,), _KEPT)


def _pin(event: ServerEvent, body: Dict[str, Any]) -> Optional[Delivery]:
    """Read a pin or a save. The action is in the body or the envelope, or it is the type."""
    action = text(body, "action") or event.action or event.type
    conversation = event.type.startswith("conversation_")
    done = _PINS.get(action.rpartition("_")[2]) if action not in _BARE_PINS else None
    if done is None or (conversation and done not in ("pinned", "unpinned")):
        return None
    if conversation:
        pinned = Conversation.from_dict(mapping(body, "conversation") or body)
        if pinned.conversation_id is None and pinned.conversation_with is None:
            return None  # it does not say which one
        return Delivery("conversation", f"on_conversation_{done}", (pinned,), _KEPT)
    message = message_from_dict(mapping(body, "message") or body)
    if not message.is_stored:
        return None  # it does not say which one
    return Delivery("message", f"on_message_{done}", (message,), _KEPT)


def _action(body: Dict[str, Any], data: Mapping[str, Any]) -> Delivery:
    """Read an action: on a message (an edit or a deletion), or on a member of a group."""
    done = Action.from_dict(body)
    if done.type == "message" and done.action in ("edited", "deleted"):
        changed = changed_message(mapping(mapping(mapping(data, "entities"), "on"), "entity"), done)
        return Delivery("message", f"on_message_{done.action}", (changed,), _STORED)
    method_and_args = _ACTIONS.get(done.action or "")
    if method_and_args is None:
        return Delivery("message", _OTHER, (done,), _STORED)
    group = done.action_for
    if not isinstance(group, Group) and isinstance(done.receiver, Group):
        group = done.receiver
    method, args = method_and_args
    return Delivery("group", method, (done, *args(done, group)), _STORED)


def _call(body: Dict[str, Any], me: Self) -> Delivery:
    call = Call.from_dict(body)
    status = call.status or call.action or ""
    method = _CALLS.get(status)
    if method is None:
        return Delivery("message", _OTHER, (call,), _STORED)
    initiator = call.initiator.uid if isinstance(call.initiator, User) else None
    mine = initiator is not None and me.uid is not None and initiator.lower() == me.uid.lower()
    in_group = call.receiver_type == "group" or isinstance(call.call_receiver, Group)
    if status == "unanswered" and mine:
        method = "on_outgoing_call_rejected"
    # Either this user calls from another device, or a group member answers another member's call.
    if mine and status == "initiated" or in_group and not mine and status in _ANSWERS and initiator is not None:
        return _unclaimed("message", body)
    return Delivery("call", method, (call,), _STORED)


def is_changed(body: Mapping[str, Any]) -> bool:
    """Return True if a message's fields mark it as edited or deleted. Null, zero and empty values are not marks."""
    return bool(moment(body, "deletedAt") or moment(body, "editedAt"))


def _changed(body: Dict[str, Any], fetched: bool) -> Optional[Delivery]:
    """Read a message that :func:`is_changed`; None if it is not, or counts as new."""
    if moment(body, "deletedAt"):
        method = "on_message_deleted"
    elif moment(body, "editedAt") and not fetched:
        method = "on_message_edited"
    else:
        return None
    return Delivery("message", method, (message_from_dict(body),), _STORED)


#: The arguments after the action.
_Args = Callable[[Action, Entity], Tuple[Any, ...]]

#: Frames of these types are never echoes, even with the resource of this connection.
_NEVER_ECHOES = frozenset({"on_moderation_status_changed", "streamed_message", "notification_feed_item"})

_PRESENCE = {
    "online": ("on_user_online", "online"),
    "available": ("on_user_online", "online"),
    "offline": ("on_user_offline", "offline"),
}

_TYPING = {"started": "on_typing_started", "ended": "on_typing_ended"}

_RECEIPTS = {
    "delivered": "on_messages_delivered",
    "deliveredToAll": "on_messages_delivered_to_all",
    "read": "on_messages_read",
    "readByAll": "on_messages_read_by_all",
    "interacted": "on_interaction_goal_completed",  # not confirmed
    "interactionGoalCompleted": "on_interaction_goal_completed",  # not confirmed
}

_REACTIONS = {
    "message_reaction_added": "on_message_reaction_added",
    "message_reaction_removed": "on_message_reaction_removed",
}

_OTHER = "on_other_message_received"

_MESSAGES: Dict[Type[BaseMessage], str] = {
    TextMessage: "on_text_message_received",
    MediaMessage: "on_media_message_received",
    CustomMessage: "on_custom_message_received",
    InteractiveMessage: "on_interactive_message_received",
    CardMessage: "on_card_message_received",
    AIAssistantMessage: "on_ai_assistant_message_received",
    AIToolResultMessage: "on_ai_tool_result_received",
    AIToolArgumentMessage: "on_ai_tool_arguments_received",
}

#: The last word of an action about a pin or a save -> the event.
_PINS = {
    **{"pin": "pinned", "pinned": "pinned", "unpin": "unpinned", "unpinned": "unpinned"},
    **{"save": "saved", "saved": "saved", "unsave": "unsaved", "unsaved": "unsaved"},
}

#: These types do not name the event.
_BARE_PINS = frozenset({"message_pin", "message_save", "conversation_pin"})

_CALLS = {
    "initiated": "on_incoming_call_received",
    "ongoing": "on_outgoing_call_accepted",
    "rejected": "on_outgoing_call_rejected",
    "busy": "on_outgoing_call_rejected",
    "unanswered": "on_incoming_call_cancelled",
    "cancelled": "on_incoming_call_cancelled",
    "ended": "on_call_ended_message_received",
}

#: In a group, only the caller gets these.
_ANSWERS = frozenset({"ongoing", "rejected", "busy"})

_ACTIONS: Dict[str, Tuple[str, _Args]] = {
    "joined": ("on_group_member_joined", lambda action, group: (action.action_by, group)),
    "invited": ("on_group_member_joined", lambda action, group: (action.action_by, group)),
    "left": ("on_group_member_left", lambda action, group: (action.action_by, group)),
    "kicked": ("on_group_member_kicked", lambda action, group: (action.action_on, action.action_by, group)),
    "banned": ("on_group_member_banned", lambda action, group: (action.action_on, action.action_by, group)),
    "unbanned": ("on_group_member_unbanned", lambda action, group: (action.action_on, action.action_by, group)),
    "added": ("on_member_added_to_group", lambda action, group: (action.action_by, action.action_on, group)),
    "scopeChanged": (
        "on_group_member_scope_changed",
        lambda action, group: (action.action_by, action.action_on, action.new_scope, action.old_scope, group),
    ),
}

_BY_TYPE: Dict[str, Callable[[ServerEvent, Dict[str, Any]], Optional[Delivery]]] = {
    "presence": _presence,
    "typing_indicator": _typing,
    "transient_message": _transient,
    "receipts": _receipt,
    "reaction": _reaction,
    "interaction_completed": _interaction,
    "on_moderation_status_changed": _moderation,
    "streamed_message": _stream,
    **dict.fromkeys(PIN_TYPES, _pin),
}
