"""Django signals for the events of a client's listeners, for receivers in any app.

::

    @receiver(message_received, sender=TextMessage)
    def answer(sender, message, client, **kwargs): ...

A receiver gets ``signal``, ``sender`` and ``client``, and the arguments below. Receivers run one after the other on the
client's dispatcher thread (``cometchat-dispatcher-N``), in every serving process: with ten workers it is called ten
times. If a receiver raises, ``django.dispatch`` logs it, and the others are still called. A slow receiver delays the
others, but never the connection. Database connections are released after each signal, like after a request.

The sender is the message's class for signals about messages, else :class:`cometchat.Client`.
"""

from __future__ import annotations

from django.dispatch import Signal

#: The connection's status changed. ``status``: a CometChatWSState, the new status; it may have changed again since.
connection_status_changed: Signal = Signal()

#: An attempt to connect failed, or a connection broke. ``error``: a CometChatException.
connection_error: Signal = Signal()

#: The client is logged in. ``user``: a User.
logged_in: Signal = Signal()

#: A login failed, and is tried again. ``error``: a CometChatException. Not sent if the site's function in AUTH_TOKEN
#: raised: only ``login_error()`` and the log have that error.
login_failed: Signal = Signal()

#: A message of any kind arrived. ``message``: its class says which kind; the signal's sender is that class.
message_received: Signal = Signal()

#: A message was edited. ``message``: its new form.
message_edited: Signal = Signal()

#: A message was deleted. ``message``.
message_deleted: Signal = Signal()

#: The service moderated a message. ``message``: see its ``moderation_status``.
message_moderated: Signal = Signal()

#: A message was pinned or unpinned. ``message``; ``pinned``: True or False.
pin_changed: Signal = Signal()

#: The user saved or unsaved a message on another device. ``message``; ``saved``: True or False.
save_changed: Signal = Signal()

#: A transient message arrived. ``message``: a TransientMessage.
transient_message_received: Signal = Signal()

#: A reaction was added or removed. ``reaction_event``; ``added``: True or False.
reaction_changed: Signal = Signal()

#: A user started or stopped typing. ``typing_indicator``; ``typing``: True or False.
typing_changed: Signal = Signal()

#: Messages were delivered or read. ``message_receipt``; ``read``: False: delivered.
receipt_received: Signal = Signal()

#: A user came online or went offline. ``user``; ``online``: True or False.
presence_changed: Signal = Signal()

#: A group's members changed. ``event``: the listener's method, such as ``"on_group_member_joined"``; ``action``.
group_changed: Signal = Signal()

#: A call arrived, was accepted, rejected, cancelled, or ended. ``event``: ``"on_incoming_call_received"``, ...;
#: ``call``.
call_changed: Signal = Signal()

#: An event of an AI assistant's run. ``assistant_event``: an AIAssistantEvent.
ai_assistant_event_received: Signal = Signal()

#: The user pinned a conversation, or unpinned it. ``conversation``; ``pinned``: True or False.
conversation_pin_changed: Signal = Signal()

#: A frame without its own signal arrived. ``type``: such as ``"notification_feed_item"``; ``body``.
event_received: Signal = Signal()
