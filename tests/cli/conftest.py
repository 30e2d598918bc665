"""The shared parts of the command line's tests: a sandbox, and its account as options."""

from __future__ import annotations

import os
from typing import Iterator, List

import pytest
from contrib.redis_support import redis_server  # noqa: F401 - a fixture
from integration.conftest import no_thread_left, party  # noqa: F401 - fixtures
from processes import Start

from cometchat.sandbox import Sandbox


@pytest.fixture(autouse=True)
def no_account_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own account, proxies and colours do not affect these tests."""
    for name in list(os.environ):
        if name.startswith("COMETCHAT_") or name.lower().endswith("_proxy") or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)


@pytest.fixture
def account(sandbox: Sandbox) -> List[str]:
    """The sandbox's account as options."""
    return account_options(sandbox)


def account_options(sandbox: Sandbox) -> List[str]:
    options = ["--app-id", sandbox.app_id, "--uid", "cometchat-uid-1", "--auth-key", sandbox.auth_key]
    options += ["--admin-host", sandbox.url, "--client-host", sandbox.url]
    return options + (["--ca-certs", sandbox.ca_certs] if sandbox.ca_certs else [])


@pytest.fixture
def start() -> Iterator[Start]:
    starter = Start()
    yield starter
    starter.close()
