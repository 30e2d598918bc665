"""The console of a site without any logging set-up, after a failed login."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from cometchat.sandbox import Sandbox

from .django_support import MANAGE, environment
from .support import HERE, account, eventually, free_port, plain, served

pytestmark = pytest.mark.skipif(
    any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("cometchat").handlers),
    reason="a NullHandler of the package silences Python's handler of last resort",
)


@pytest.mark.parametrize("framework", ["django", "flask"])
def test_a_failed_login_is_on_the_console_once(framework: str) -> None:
    """After many attempts, the console still shows the failure once.

    The light's JSON has the code as well. Neither has the key.
    """
    pytest.importorskip(framework)
    port = free_port()
    with Sandbox() as sandbox:
        setting = account(sandbox, AUTH_KEY="a-wrong-key-0123456789")
        sandbox.fail_http(503, times=4)
        if framework == "django":
            command = [sys.executable, MANAGE, "runserver", "--noreload", str(port)]
            env = environment(setting)
        else:
            command = [sys.executable, "-m", "flask", "--app", "flask_app:create_app", "run", "--port", str(port)]
            env = plain(SITE_COMETCHAT=json.dumps(setting), PYTHONPATH=str(HERE))
        with served(command, port, env) as server:
            server.wait_until_it_answers("/cometchat/health/live")

            def reason() -> bool:
                report = server.get("/cometchat/status")
                return bool(report["reason"]) and report["reason"]["code"] == "AUTH_ERR_APIKEY_NOT_FOUND"

            assert eventually(reason), server.output
            assert eventually(lambda: "AUTH_ERR_APIKEY_NOT_FOUND" in server.output)
        lines = [line for line in server.output.splitlines() if "login failed" in line]
        assert ["ERR_HTTP_503" in line for line in lines] == [True, False], server.output
        assert server.output.count("AUTH_ERR_APIKEY_NOT_FOUND") == 1
        assert "a-wrong-key-0123456789" not in server.output and "Traceback" not in server.output
