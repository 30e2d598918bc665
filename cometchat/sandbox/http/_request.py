"""One HTTP call as the API sees it, and a part of a list as it answers one. Which calls there are, it does not know."""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Dict, FrozenSet, List, NamedTuple, Optional, Tuple

from aiohttp import web

from ..chat import _errors as errors

#: Items on a page that has a number, where nobody says how many; and on any page at most.
DEFAULT_ITEMS = 100
LARGEST_PAGE = 1000

_VERSION_PREFIX = re.compile(r"^/v\d+(\.\d+)?(?=/|$)")


def bare_path(raw_path: str) -> str:
    """The path without the version prefix, still percent-encoded."""
    return _VERSION_PREFIX.sub("", raw_path) or "/"


class Call:
    """One HTTP call, read whole."""

    def __init__(self, request: web.BaseRequest, text: str, address: Tuple[str, int, bool]) -> None:
        self.method = request.method
        self.headers = request.headers
        self.path = bare_path(request.rel_url.raw_path)
        self.query = request.rel_url.query
        self.resource = request.headers.get("resource", "")
        #: Host, port and whether TLS is on: what the client is to connect its socket to.
        self.address = address
        self._text = text

    @property
    def body(self) -> Any:
        """The JSON body; None where there is none.

        :raises ApiError: it is not JSON.
        """
        if not self._text:
            return None
        try:
            return json.loads(self._text)
        except ValueError:
            raise errors.bad_request("The body is not JSON.") from None

    @property
    def fields(self) -> Dict[str, Any]:
        """The fields of the JSON body; none where there is no body.

        :raises ApiError: it is not JSON, or not an object.
        """
        body = {} if self.body is None else self.body
        if not isinstance(body, dict):
            raise errors.bad_request("The body is not a JSON object.")
        return body

    def number(self, name: str) -> Optional[int]:
        """A parameter of the query that is a whole number; None where it is not there.

        :raises ApiError: it is something else.
        """
        text = self.query.get(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise errors.bad_request(f"{name} is not a whole number.")
        return int(text)

    def limit(self, name: str, default: int) -> int:
        """How many items are asked for at once.

        :raises ApiError: none, or it is not a number.
        """
        limit = self.number(name)
        if limit == 0:
            raise errors.bad_request(f"{name} is 0.")
        return default if limit is None else min(limit, LARGEST_PAGE)

    def texts(self, *names: str) -> FrozenSet[str]:
        """The values of parameters that may be given several times, or several in one with commas between."""
        given = [value for name in names for value in self.query.getall(name, [])]
        return frozenset(item for value in given for item in value.split(",") if item)


class Listing(NamedTuple):
    """A part of a list, and where it stands in the whole."""

    data: List[Any]
    meta: Dict[str, Any]


def numbered_page(call: Call, items: List[Any]) -> Listing:
    """The page of a list that ``page`` and ``per_page`` of the query ask for. The vendor's client counts the pages."""
    size = call.limit("per_page", DEFAULT_ITEMS)
    page = max(call.number("page") or 1, 1)
    found = items[(page - 1) * size : page * size]
    pages = {
        "total": len(items),
        "count": len(found),
        "per_page": size,
        "current_page": page,
        "total_pages": max(-(-len(items) // size), 1),
    }
    return Listing(found, {"pagination": pages})


#: A method, a pattern of the whole path, and what answers; it gets the call and the pattern's groups.
Route = Tuple[str, str, Callable[..., Any]]

#: The uid of who is logged in; raises ``ApiError`` where nobody is.
WhoIs = Callable[[Call], str]
