"""The vendor's limits for the fields of users, groups, messages and conversations."""

from __future__ import annotations

import json
import re
from typing import Any, Callable, List, Mapping, Sequence, Tuple

from ._errors import bad_request

#: Maximum tags of one thing, and maximum length of each tag, in characters.
MOST_TAGS, LONGEST_TAG = 25, 100

#: Maximum size of the metadata of a user or a group, in bytes of JSON. (Another page of the vendor's says less.)
LARGEST_METADATA = 5 * 1024

#: The check of a value, and the text for a wrong value.
Check = Tuple[Callable[[Any], bool], str]

AN_ID: Check = (
    lambda value: isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,100}", value) is not None,
    "must be a text of 1 to 100 letters, digits, - and _",
)
A_TEXT: Check = (lambda value: isinstance(value, str), "must be a text")


def a_text(longest: int, least: int = 0) -> Check:
    """Make the check for a text of so many characters."""
    return (
        lambda value: isinstance(value, str) and least <= len(value) <= longest,
        f"must be a text of {least} to {longest} characters",
    )


def _fits(metadata: Any) -> bool:
    text = metadata if isinstance(metadata, str) else json.dumps(metadata, ensure_ascii=False)
    return len(text.encode("utf-8", "surrogatepass")) <= LARGEST_METADATA


_METADATA = f"must be an object of up to {LARGEST_METADATA} bytes"

METADATA: Check = (lambda value: isinstance(value, dict) and _fits(value), _METADATA)
#: Not confirmed: that a client may send metadata as JSON text.
CLIENTS_METADATA: Check = (lambda value: isinstance(value, (dict, str)) and _fits(value), _METADATA)


def check_fields(fields: Mapping[str, Any], checks: Mapping[str, Check], required: Sequence[str] = ()) -> None:
    """Check the given fields, and their tags.

    :raises ApiError: one of them is missing or wrong.
    """
    for name in required:
        if name not in fields:
            raise bad_request(name, "is missing")
    for name, (check, right) in checks.items():
        if name in fields and not check(fields[name]):
            raise bad_request(name, right)
    if "tags" in fields:
        check_tags(fields["tags"])


def check_tags(tags: Any) -> List[str]:
    """Return the tags.

    :raises ApiError: they are not a list of texts, too many, or too long.
    """
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise bad_request("tags", "must be a list of texts")
    if len(tags) > MOST_TAGS:
        raise bad_request("tags", f"has more than {MOST_TAGS} tags")
    if any(len(tag) > LONGEST_TAG for tag in tags):
        raise bad_request("tags", f"has a tag of more than {LONGEST_TAG} characters")
    return tags
