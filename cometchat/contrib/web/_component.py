"""The script and the tag of the light. This module escapes everything in the tag."""

from __future__ import annotations

import hashlib
import html
import re
from importlib.resources import files
from typing import Mapping, Optional

from cometchat.exceptions import unusable


def component_script() -> str:
    """Return the source of ``<cometchat-status>``, one file without dependencies."""
    return files(__package__).joinpath("cometchat-status.js").read_text(encoding="utf-8")  # in a zip file too


#: The script's entity tag, quotes included: it changes with its content.
COMPONENT_ETAG = f'"{hashlib.sha256(component_script().encode("utf-8")).hexdigest()[:16]}"'


def status_tag(src_events: str, src_status: str, attributes: Optional[Mapping[str, object]] = None) -> str:
    """Return the HTML tag, escaped.

    :param src_events: the address of the stream.
    :param src_status: the address of the JSON.
    :param attributes: further attributes, such as texts in another language: ``{"text-connected": "Verbunden"}``. True
        sets a name without a value; False and None leave it out.
    :raises CometChatException: ``INVALID_ATTRIBUTES``: not a mapping, or a name that HTML does not allow.
    """
    more = {} if attributes is None else attributes
    if not isinstance(more, Mapping) or not all(re.fullmatch(r"[a-z][a-z0-9-]*", str(name)) for name in more):
        expected = "a mapping whose names have lower-case letters, digits and hyphens"
        raise unusable("attributes", expected)
    shown = []
    for name, value in {"src": src_events, "status-src": src_status, **more}.items():
        if value is not None and value is not False:
            shown.append(f'{name}="{"" if value is True else html.escape(str(value))}"')
    return f"<cometchat-status {' '.join(shown)}></cometchat-status>"
