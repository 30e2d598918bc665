"""``green_threads.py gevent|eventlet HOST APP_ID AUTH_KEY``: the life of a client with patched threads and sockets.

It prints a line for each step, and waits for a line before the next one.
"""

# Both libraries require the patch before all other imports.
import sys

if sys.argv[1] == "gevent":
    from gevent import monkey

    monkey.patch_all()
else:
    import eventlet

    eventlet.monkey_patch()

import select  # noqa: E402
import threading  # noqa: E402

from cometchat import AppSettings, Client, ConnectionListener  # noqa: E402

DEADLINE = 60.0


class Returns(ConnectionListener):
    """Sets events when the client is connected, and when it is connected again."""

    def __init__(self) -> None:
        self.first, self.again = threading.Event(), threading.Event()

    def on_connected(self) -> None:
        (self.again if self.first.is_set() else self.first).set()


def step(name: str, fine: bool) -> None:
    """Report the step to the test, which looks at the server's side, and wait for its line."""
    print(name if fine else f"not {name}", flush=True)
    select.select([sys.stdin], [], [])  # a plain read would stop the other green threads too
    sys.stdin.readline()


def main() -> None:
    """Connect, connect again after a loss, disconnect, connect again, log out."""
    _, host, app_id, auth_key = sys.argv[1:]
    client = Client(app_id, AppSettings(admin_host=host, client_host=host, auto_establish_socket_connection=False))
    returns = Returns()
    client.add_connection_listener("returns", returns)
    client.login("cometchat-uid-1", auth_key)
    client.connect(DEADLINE)
    step("connected", returns.first.wait(DEADLINE))
    step("back", returns.again.wait(DEADLINE))
    client.disconnect()
    step("disconnected", client.get_connection_status() == "disconnected")
    client.connect(DEADLINE)
    client.logout()
    step("logged out", client.get_logged_in_user() is None)
    client.close()


main()
