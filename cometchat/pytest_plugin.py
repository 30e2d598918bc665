"""A pytest plugin: the sandbox, and a client connected to it, as fixtures for your own tests.

The sandbox is loaded only when a test uses it, so that pytest also runs without ``cometchat[sandbox]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator

import pytest

if TYPE_CHECKING:
    from cometchat import Client
    from cometchat.sandbox import Sandbox


@pytest.fixture
def cometchat_sandbox() -> Iterator[Sandbox]:
    """A new ``Sandbox`` that runs during one test."""
    from cometchat.sandbox import Sandbox

    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def cometchat_client(cometchat_sandbox: Sandbox) -> Iterator[Client]:
    """A ``Client`` of that sandbox, logged in as ``cometchat-uid-1`` and connected; closed after the test."""
    from cometchat import Client

    # Not the environment's proxies: to a proxy, the sandbox's address is the proxy's own machine.
    settings = cometchat_sandbox.settings(proxies={"http": None, "https": None})
    client = Client(cometchat_sandbox.app_id, settings)
    try:
        client.login("cometchat-uid-1", cometchat_sandbox.auth_key)
        client.connect(timeout=10.0)
        yield client
    finally:
        client.close()
