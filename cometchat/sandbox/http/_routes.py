"""Routes of the API, and the pages of its lists."""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Tuple
from urllib.parse import unquote

from ._callers import FOR_USERS
from ._request import ApiRequest

#: Items on a page when the client does not ask for a number.
DEFAULT_ITEMS = 100

#: The parameter for the length of a numbered page. Clients send per_page, and back ends perPage.
PAGE = ("page", "per_page", "perPage")


class Route:
    """A method, a path and the function that answers.

    :param path: has ``{uid}``, ``{guid}`` or ``{id}`` for variable parts. Uids and guids are lowercased.
    :param answer: called with the request, the acting user, and the variable parts.
    :param query: the parameters of the query that the route implements.
    :param audience: the kinds of callers that may use the route.
    :param feature: the parameter of the settings that switches the route on and off.
    """

    def __init__(
        self,
        method: str,
        path: str,
        answer: Callable[..., Any],
        query: Iterable[str] = (),
        *,
        audience: FrozenSet[str] = FOR_USERS,
        feature: Optional[str] = None,
    ) -> None:
        self.method = method
        self.path = path
        self.answer = answer
        self.query: FrozenSet[str] = frozenset(query)
        self.audience = audience
        self.feature = feature
        self._names: List[str] = re.findall(r"{(\w+)}", path)
        self._pattern = re.compile(re.sub(r"{\w+}", "([^/]+)", path))

    def match(self, method: str, path: str) -> Optional[Tuple[str, ...]]:
        """Return the variable parts of the path, or None if the route is for other requests."""
        match = self._pattern.fullmatch(path) if method == self.method else None
        if match is None:
            return None
        parts = zip(self._names, (unquote(part) for part in match.groups()))
        return tuple(part.lower() if name in ("uid", "guid") else part for name, part in parts)


class Listing(NamedTuple):
    """A part of a list, with its position in the list."""

    data: List[Any]
    meta: Dict[str, Any]


def done(message: str) -> Dict[str, Any]:
    """Return the answer to an action whose result the client knows. The vendor's clients may show the message."""
    return {"success": True, "message": message}


def numbered_page(request: ApiRequest, items: List[Any]) -> Listing:
    """Return the page of a list that ``page`` and ``per_page`` name. The vendor's client counts the pages."""
    size = request.limit("perPage" if "perPage" in request.query else "per_page", DEFAULT_ITEMS)
    page = max(request.number("page") or 1, 1)
    found = items[(page - 1) * size : page * size]
    pages = {
        "total": len(items),
        "count": len(found),
        "per_page": size,
        "current_page": page,
        "total_pages": max(-(-len(items) // size), 1),
    }
    return Listing(found, {"pagination": pages})


def fits_tags(item: Dict[str, Any], wanted: FrozenSet[str]) -> bool:
    """Return whether an item has one of the wanted tags, or True if there are no wanted tags."""
    return not wanted or not wanted.isdisjoint(item.get("tags", ()))


def fits_status(user: Dict[str, Any], wanted: Optional[str]) -> bool:
    """Return whether a user has the wanted status, or True for None. ``online`` means ``available``."""
    return wanted is None or user["status"] == {"online": "available"}.get(wanted, wanted)


def with_tags(request: ApiRequest, items: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Return the items, with their tags only if the client asks for tags."""
    if request.flag("withTags"):
        return items
    return [without_tags(item) for item in items]


def without_tags(item: Dict[str, Any]) -> Dict[str, Any]:
    """Return a user, a group or a conversation without its tags."""
    return {key: value for key, value in item.items() if key != "tags"}
