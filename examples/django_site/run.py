"""A Django site whose page shows the connection, live.

    python examples/django_site/run.py [--port PORT]

Needs ``pip install ".[django,sandbox]"``. With COMETCHAT_APP_ID, COMETCHAT_REGION, COMETCHAT_UID and COMETCHAT_AUTH_KEY
set it shows that user's connection. Without them it runs against a sandbox in this process, and the page has buttons
that break the connection. The admin's user and password are ``admin``. The database ends with the process.
"""

import argparse
import os
import sys

from buttons import buttons
from django.core.management import call_command, execute_from_command_line


def serve(address: str) -> None:
    """Run Django's server without its reloader, which would run this file twice, each time with a sandbox."""
    import django

    from cometchat.contrib.django import start

    django.setup()
    call_command("migrate", verbosity=0)
    os.environ["DJANGO_SUPERUSER_PASSWORD"] = "admin"
    call_command("createsuperuser", username="admin", email="admin@example.com", interactive=False, verbosity=0)
    # The commands above do not connect, so start the connection here, before the server.
    start()
    print(f"http://{address}/ has the page, http://{address}/admin/cometchat/connection/ the admin's", flush=True)
    execute_from_command_line([sys.argv[0], "runserver", "--noreload", address])


def serve_with_sandbox(address: str) -> None:
    from cometchat.sandbox import Sandbox

    with Sandbox() as sandbox:
        os.environ["COMETCHAT_APP_ID"] = sandbox.app_id
        os.environ["COMETCHAT_ADMIN_HOST"] = os.environ["COMETCHAT_CLIENT_HOST"] = sandbox.url
        os.environ["COMETCHAT_UID"] = "cometchat-uid-1"
        os.environ["COMETCHAT_AUTH_KEY"] = sandbox.auth_key

        def go_away() -> None:
            sandbox.refuse_connections()
            sandbox.drop_connections()

        buttons.update(
            {
                "Break the connection": sandbox.drop_connections,
                "Take the service away": go_away,
                "Throttle": lambda: sandbox.set_mode("LIMITED_TRANSIENT"),
                "Heal": sandbox.heal,
                "Send a message": lambda: sandbox.send_message("cometchat-uid-2", "cometchat-uid-1", "Hello, Django"),
            }
        )
        serve(address)


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    parser = argparse.ArgumentParser(description="A Django site whose page shows the connection.")
    parser.add_argument("--port", type=int, default=8000)
    site = f"127.0.0.1:{parser.parse_args().port}"
    if "COMETCHAT_APP_ID" in os.environ:
        serve(site)
    else:
        serve_with_sandbox(site)
