"""The table of the documentation lists exactly the routes that the sandbox serves, with their callers."""

from __future__ import annotations

import re
from pathlib import Path

from cometchat.sandbox import Sandbox
from cometchat.sandbox.http import Api
from cometchat.sandbox.http._callers import FOR_ALL, FOR_APP, FOR_BOTH, FOR_KEYS, FOR_USERS, NO_ONE

PAGE = Path(__file__).parents[2] / "docs" / "sandbox.rst"
CALLED_BY = {"users": FOR_USERS, "back ends": FOR_APP, "users, back ends": FOR_BOTH, "keys": FOR_KEYS, "all": FOR_ALL}


def served():
    """Return the routes: method, path and callers."""
    sandbox = Sandbox()
    routes = Api(sandbox._app, sandbox._uploads).routes
    return {(route.method, route.path): route.audience for route in routes}


def documented():
    """Return the same from the page."""
    found = {}
    section = PAGE.read_text(encoding="utf-8").partition("\nHTTP calls\n")[2].partition('\n"Keys" are')[0]
    row = re.compile(r"^   \* -.*\n     - (.+)\n     - (.+\n(?:       .+\n)*)", re.MULTILINE)
    for called_by, calls in row.findall(section):
        for methods, path in re.findall(r"``([A-Z ]+) (/[^`]*)``", calls):
            found.update({(method, path): CALLED_BY[called_by] for method in methods.split()})
    return found


def test_the_documentation_names_every_route():
    """The table has method, path and callers of each route, and no others."""
    assert documented() == served()


def test_every_call_wants_a_credential(client, sandbox):
    """Without a credential each route is refused with 401, and a fault can be set on its path."""
    for method, path in [route for route, audience in served().items() if NO_ONE not in audience]:
        path = re.sub("[{}]", "", path)
        answer = client.call(method, path)
        assert answer.status_code == 401 and answer.json()["error"]["code"].startswith("AUTH_ERR_EMPTY_"), path
        sandbox.fail_http(503, times=1, path=path)
        assert client.call(method, "/v3.0" + path).status_code == 503, path
