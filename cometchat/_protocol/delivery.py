"""Which listener's method a server event is for, and with what: a table for each frame type, and nothing else."""

from __future__ import annotations

from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

from ..models import (
    Action,
    Call,
    Group,
    InteractionReceipt,
    MessageReceipt,
    ReactionEvent,
    TransientMessage,
    TypingIndicator,
    User,
)
from ..models._fields import mapping, number, text
from ..models.events import user_in
from ..models.message import Entity, message_from_dict
from .events import ServerEvent


class Delivery(NamedTuple):
    """A call that the listeners are owed. ``kind`` is ``"user"``, ``"group"``, ``"message"`` or ``"call"``."""

    kind: str
    method: str
    args: Tuple[Any, ...]


class Self(NamedTuple):
    """Who listens: ``resource`` names this connection on the wire, ``uid`` its user."""

    resource: str
    uid: Optional[str]


def deliver(event: ServerEvent, me: Self) -> Optional[Delivery]:
    """What an event is for the listeners; None: nothing, or an echo of what this very connection has sent."""
    if event.device_id == me.resource:
        return None
    return _BY_TYPE[event.type](event, me)


def _presence(event: ServerEvent, me: Self) -> Optional[Delivery]:
    body = event.body
    method = _PRESENCE.get(text(body, "action") or "")
    user = user_in(body, event.sender)
    return Delivery("user", method, (user,)) if method is not None and user is not None else None


def _typing(event: ServerEvent, me: Self) -> Optional[Delivery]:
    method = _TYPING.get(text(event.body, "action") or "")
    if method is None:
        return None
    indicator = TypingIndicator(
        user_in(event.body, event.sender),
        event.receiver,
        event.receiver_type,
        mapping(event.body, "metadata"),
        event.body,
    )
    return Delivery("message", method, (indicator,))


def _transient(event: ServerEvent, me: Self) -> Optional[Delivery]:
    message = TransientMessage(
        user_in(event.body, event.sender), event.receiver, event.receiver_type, mapping(event.body, "data"), event.body
    )
    return Delivery("message", "on_transient_message_received", (message,))


def _receipt(event: ServerEvent, me: Self) -> Optional[Delivery]:
    action = text(event.body, "action") or ""
    method = _RECEIPTS.get(action)
    if method is None:
        return None
    sender = user_in(event.body, event.sender)
    message_id = text(event.body, "messageId")
    if method == "on_interaction_goal_completed":
        return _interaction(event, me)
    receipt = MessageReceipt(
        message_id,
        sender,
        event.receiver,
        event.receiver_type,
        action,
        number(event.body, "timestamp"),
        event.body,
    )
    return Delivery("message", method, (receipt,))


def _reaction(event: ServerEvent, me: Self) -> Optional[Delivery]:
    method = _REACTIONS.get(text(event.body, "action") or "")
    if method is None:
        return None
    # The vendor's client reads it flat; nested is what others have seen. Neither is confirmed.
    reaction = mapping(event.body, "reaction") or event.body
    by = mapping(reaction, "reactedBy")
    happened = ReactionEvent(
        text(reaction, "messageId"),
        text(reaction, "reaction"),
        User.from_dict(by) if text(by, "uid") else user_in(event.body, text(reaction, "uid") or event.sender),
        number(reaction, "reactedAt"),
        event.receiver,
        event.receiver_type,
        event.body,
    )
    return Delivery("message", method, (happened,))


def _interaction(event: ServerEvent, me: Self) -> Optional[Delivery]:
    goal = InteractionReceipt(
        text(event.body, "messageId"),
        user_in(event.body, event.sender),
        event.receiver,
        event.receiver_type,
        event.body,
    )
    return Delivery("message", "on_interaction_goal_completed", (goal,))


def _message(event: ServerEvent, me: Self) -> Optional[Delivery]:
    return deliver_message(event.body, me)


def deliver_message(body: Dict[str, Any], me: Self, *, fetched: bool = False) -> Optional[Delivery]:
    """What a message is for the listeners; None as for :func:`deliver`.

    :param fetched: from the history, where a message that was edited meanwhile is still one that nobody has heard of.
    """
    if mapping(body, "data").get("resource") == me.resource:
        return None
    changed = _changed(body, fetched)
    if changed is not None:
        return changed
    message = message_from_dict(body)
    if isinstance(message, Action):
        return _action(message)
    if isinstance(message, Call):
        return _call(message, me)
    method = _MESSAGES.get(type(message).__name__)
    return Delivery("message", method, (message,)) if method is not None else None


def _call(call: Call, me: Self) -> Optional[Delivery]:
    by = call.initiator.uid if isinstance(call.initiator, User) else None
    if call.action == "initiated" and by is not None and by == me.uid:
        return None  # this user calls, from another device: nothing comes in
    method = _CALLS.get(call.action or "")
    if call.action == "unanswered" and call.sender is not None and call.sender.uid == me.uid:
        method = "on_outgoing_call_rejected"
    return Delivery("call", method, (call,)) if method is not None else None


def _changed(body: Dict[str, Any], fetched: bool) -> Optional[Delivery]:
    """An edit or a delete: of this message itself, or as an action on another (as the vendor's client reads it)."""
    data = mapping(body, "data")
    action = data.get("action")
    if body.get("category") == "action" and body.get("type") == "message" and action in ("edited", "deleted"):
        on = mapping(mapping(mapping(data, "entities"), "on"), "entity")
        return Delivery("message", f"on_message_{action}", (message_from_dict(on),))
    if body.get("category") in ("action", "call"):
        return None
    for key, method in (("deletedAt", "on_message_deleted"), ("editedAt", "on_message_edited")):
        if number(body, key) and not (fetched and key == "editedAt"):
            return Delivery("message", method, (message_from_dict(body),))
    return None


def _action(action: Action) -> Optional[Delivery]:
    by, on, group = action.action_by, action.action_on, action.action_for
    if not isinstance(group, Group) and isinstance(action.receiver, Group):
        group = action.receiver
    method_and_args = _ACTIONS.get(action.action or "")
    if method_and_args is None:
        return None
    method, args = method_and_args
    return Delivery("group", method, (action, *args(action, by, on, group)))


_Args = Callable[[Action, Entity, Entity, Entity], Tuple[Any, ...]]

_PRESENCE = {"online": "on_user_online", "available": "on_user_online", "offline": "on_user_offline"}

_TYPING = {"started": "on_typing_started", "ended": "on_typing_ended"}

_RECEIPTS = {
    "delivered": "on_messages_delivered",
    "deliveredToAll": "on_messages_delivered",
    "read": "on_messages_read",
    "readByAll": "on_messages_read",
    "interacted": "on_interaction_goal_completed",  # not confirmed
    "interactionGoalCompleted": "on_interaction_goal_completed",  # not confirmed
}

_REACTIONS = {
    "message_reaction_added": "on_message_reaction_added",
    "message_reaction_removed": "on_message_reaction_removed",
}

_MESSAGES = {
    "TextMessage": "on_text_message_received",
    "MediaMessage": "on_media_message_received",
    "CustomMessage": "on_custom_message_received",
    "InteractiveMessage": "on_interactive_message_received",
    "CardMessage": "on_card_message_received",
}

_CALLS = {
    "initiated": "on_incoming_call_received",
    "ongoing": "on_outgoing_call_accepted",
    "rejected": "on_outgoing_call_rejected",
    "busy": "on_outgoing_call_rejected",
    "unanswered": "on_incoming_call_cancelled",
    "cancelled": "on_incoming_call_cancelled",
    "ended": "on_call_ended_message_received",
}

_ACTIONS: Dict[str, Tuple[str, _Args]] = {
    "joined": ("on_group_member_joined", lambda action, by, on, group: (by, group)),
    "left": ("on_group_member_left", lambda action, by, on, group: (by, group)),
    "kicked": ("on_group_member_kicked", lambda action, by, on, group: (on, by, group)),
    "banned": ("on_group_member_banned", lambda action, by, on, group: (on, by, group)),
    "unbanned": ("on_group_member_unbanned", lambda action, by, on, group: (on, by, group)),
    "added": ("on_member_added_to_group", lambda action, by, on, group: (by, on, group)),
    "scopeChanged": (
        "on_group_member_scope_changed",
        lambda action, by, on, group: (by, on, action.new_scope, action.old_scope, group),
    ),
}

_BY_TYPE: Dict[str, Callable[[ServerEvent, Self], Optional[Delivery]]] = {
    "presence": _presence,
    "typing_indicator": _typing,
    "transient_message": _transient,
    "receipts": _receipt,
    "reaction": _reaction,
    "interaction_completed": _interaction,
    "message": _message,
}
