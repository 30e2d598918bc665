"""A small team with a history, for a first look."""

from __future__ import annotations

from typing import Any, Dict, List

_ANDREW, _GEORGE, _NANCY, _SUSAN, _JOHN = (f"cometchat-uid-{number}" for number in range(1, 6))

#: For ``Sandbox.fill()``. Every new sandbox has these users.
SAMPLE: Dict[str, List[Dict[str, Any]]] = {
    "groups": [
        {"guid": "hiking", "name": "Hiking", "owner": _ANDREW, "members": [_GEORGE, _NANCY, _SUSAN]},
        {"guid": "support", "name": "Support", "owner": _GEORGE, "members": [_ANDREW, _JOHN], "type": "private"},
    ],
    "messages": [
        {"sender": _GEORGE, "receiver": _ANDREW, "text": "Good morning! Is the release out?"},
        {"sender": _ANDREW, "receiver": _GEORGE, "text": "Since nine. The notes are in the wiki."},
        {"sender": _GEORGE, "receiver": _ANDREW, "text": "Thank you!"},
        {"sender": _NANCY, "receiver": "hiking", "receiver_type": "group", "text": "Who joins on Saturday?"},
        {"sender": _SUSAN, "receiver": "hiking", "receiver_type": "group", "text": "I do. At eight, at the station?"},
        {"sender": _ANDREW, "receiver": "hiking", "receiver_type": "group", "text": f"Me too, and <@uid:{_GEORGE}>."},
        {"sender": _JOHN, "receiver": "support", "receiver_type": "group", "text": "Ticket 17 waits for an answer."},
        {"sender": _SUSAN, "receiver": _ANDREW, "text": "Do you have the map?"},
        {"sender": _ANDREW, "receiver": _SUSAN, "text": "Yes, and the tickets."},
    ],
}
