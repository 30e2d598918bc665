"""The paths of the API, with and without the version in front."""

from __future__ import annotations

import re

#: The versions of the API in addresses. An address without a version, as in an override of a host, is right too.
VERSIONS = ("", "v3", "v3.0")

_VERSION = re.compile(r"^/v\d+(\.\d+)?(?=/|$)")


def version_of(raw_path: str) -> str:
    """Return the version in front of a path, such as ``v3``, or an empty text."""
    found = _VERSION.match(raw_path)
    return "" if found is None else found[0][1:]


def bare_path(raw_path: str) -> str:
    """Return the path without the version, still percent-encoded."""
    return _VERSION.sub("", raw_path) or "/"
