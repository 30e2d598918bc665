"""``manage.py run_bot``: a bot with the site's settings and database, in a separate process."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand
from django.db import close_old_connections

from cometchat import MessageListener, TextMessage
from cometchat.contrib.django import get_client, start


def answer(message: TextMessage) -> None:
    """Answer with the number of the site's users. Runs on the SDK's thread, which has its own database connection."""
    close_old_connections()  # the database may have closed the connection since the last message
    client = get_client()
    if message.receiver_type == "user" and message.sender.uid != client.get_logged_in_user().uid:
        client.send_text(f"This site has {User.objects.count()} users", uid=message.sender.uid)


class Command(BaseCommand):
    """Runs until Ctrl-C or SIGTERM, which a service manager sends."""

    help = "Run the bot."

    def handle(self, *args: Any, **options: Any) -> None:
        """Log in, in the background and with retries, and wait for the end."""
        client = get_client()
        client.add_message_listener(MessageListener(on_text_message_received=answer))
        start()
        self.stdout.write("The bot runs.")
        self.stdout.flush()
        client.run_forever()
