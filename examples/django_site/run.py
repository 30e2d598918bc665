"""A Django site whose page shows the connection, live.

    python examples/django_site/run.py [PORT]

Needs ``pip install ".[django,sandbox]"``. With COMETCHAT_APP_ID, COMETCHAT_REGION, COMETCHAT_UID and COMETCHAT_AUTH_KEY
set it shows that user's connection. Without them it runs against a sandbox in this process, and the page has buttons
that break the connection. The admin's user and password are ``admin``. The database ends with the process.
"""

import os
import sys

from buttons import buttons
from django.core.management import call_command, execute_from_command_line

ADDRESS = f"127.0.0.1:{sys.argv[1] if len(sys.argv) > 1 else 8000}"


def serve() -> None:
    """Run Django's server without its reloader, which would run this file twice, each time with a sandbox."""
    import django

    from cometchat.contrib.django import start

    django.setup()
    call_command("migrate", verbosity=0)
    os.environ["DJANGO_SUPERUSER_PASSWORD"] = "admin"
    call_command("createsuperuser", username="admin", email="admin@example.com", interactive=False, verbosity=0)
    # The commands above do not connect, so start the connection here, before the server.
    start()
    print(f"http://{ADDRESS}/ has the page, http://{ADDRESS}/admin/cometchat/connection/ the admin's", flush=True)
    execute_from_command_line([sys.argv[0], "runserver", "--noreload", ADDRESS])


def serve_with_sandbox() -> None:
    from cometchat.sandbox import Sandbox

    with Sandbox() as sandbox:
        os.environ["COMETCHAT_APP_ID"] = sandbox.app_id
        os.environ["COMETCHAT_ADMIN_HOST"] = os.environ["COMETCHAT_CLIENT_HOST"] = sandbox.url
        os.environ["COMETCHAT_UID"] = "cometchat-uid-1"
        os.environ["COMETCHAT_AUTH_KEY"] = sandbox.auth_key

        def go_away() -> None:
            sandbox.refuse_connections()
            sandbox.drop_connections()

        def return_home() -> None:
            sandbox.heal()
            sandbox.accept_connections()

        buttons.update(
            {
                "Break the connection": sandbox.drop_connections,
                "Take the service away": go_away,
                "Throttle": lambda: sandbox.set_mode("LIMITED_TRANSIENT"),
                "Heal": return_home,
                "Send a message": lambda: sandbox.send_message("cometchat-uid-2", "cometchat-uid-1", "Hello, Django"),
            }
        )
        serve()


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    if "COMETCHAT_APP_ID" in os.environ:
        serve()
    else:
        serve_with_sandbox()
