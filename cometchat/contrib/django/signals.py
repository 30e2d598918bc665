"""Django signals: what a client's listeners receive, for receivers in any app.

::

    @receiver(message_received, sender=TextMessage)
    def answer(sender, message, client, **kwargs): ...

A receiver gets ``signal``, ``sender`` and ``client``, and the arguments below. Receivers run one after the other on the
client's dispatcher thread (``cometchat-dispatcher-N``), in every process that serves: ten workers call it ten times.
``django.dispatch`` logs what one raises, and the others are still called. A slow one delays the others' calls,
never the connection. Database connections are released after each signal, as Django does after each request.

The sender is the class of the message for the signals of messages, else :class:`cometchat.Client`.
"""

from __future__ import annotations

from django.dispatch import Signal

#: The connection's status changed. ``status``: a CometChatWSState, the one of this change; by now a later one may hold.
connection_status_changed: Signal = Signal()

#: An attempt to connect failed, or a connection broke. ``error``: a CometChatException.
connection_error: Signal = Signal()

#: The client is logged in. ``user``: a User.
logged_in: Signal = Signal()

#: A login failed, and is tried again. ``error``: a CometChatException.
login_failed: Signal = Signal()

#: A message of any kind arrived. ``message``: its class says which kind; the signal's sender is that class.
message_received: Signal = Signal()

#: A message was edited. ``message``: as it reads now.
message_edited: Signal = Signal()

#: A message was deleted. ``message``.
message_deleted: Signal = Signal()

#: The service has judged a message. ``message``: see its ``moderation_status``.
message_moderated: Signal = Signal()

#: A message was pinned, or is not pinned any more. ``message``; ``pinned``: True or False.
pin_changed: Signal = Signal()

#: The user saved a message on another device, or removed it from the saved ones. ``message``; ``saved``: True or False.
save_changed: Signal = Signal()

#: A message that is not stored came. ``message``: a TransientMessage.
transient_message_received: Signal = Signal()

#: A reaction to a message came or went. ``reaction_event``; ``added``: True or False.
reaction_changed: Signal = Signal()

#: A user started or stopped typing. ``typing_indicator``; ``typing``: True or False.
typing_changed: Signal = Signal()

#: Messages were delivered or read. ``message_receipt``; ``read``: False: delivered.
receipt_received: Signal = Signal()

#: A user came online or went offline. ``user``; ``online``: True or False.
presence_changed: Signal = Signal()

#: A group's members changed. ``event``: the listener's method, such as ``"on_group_member_joined"``; ``action``.
group_changed: Signal = Signal()

#: A call came, was accepted, rejected, cancelled, or ended. ``event``: ``"on_incoming_call_received"``, ...; ``call``.
call_changed: Signal = Signal()

#: An event of an AI assistant's run. ``assistant_event``: an AIAssistantEvent.
ai_assistant_event_received: Signal = Signal()

#: The user pinned a conversation, or unpinned it. ``conversation``; ``pinned``: True or False.
conversation_pin_changed: Signal = Signal()

#: A frame came that has no signal of its own. ``type``: the frame's, such as ``"notification_feed_item"``; ``body``.
event_received: Signal = Signal()
