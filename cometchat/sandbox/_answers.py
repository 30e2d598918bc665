"""Canned answers for extensions, AI and the notification feed, which the sandbox does not implement."""

from __future__ import annotations

import fnmatch
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

#: A picture that needs no server.
_STICKER = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'%3E"
    "%3Ccircle cx='4.5' cy='4.5' r='4' fill='gold'/%3E%3C/svg%3E"
)

#: By method and path. The vendor's clients read these shapes.
_DEFAULTS: Dict[Tuple[str, str], Any] = {
    ("GET", "stickers/v1/fetch"): {
        "defaultStickers": [{"stickerSetName": "Sandbox", "stickerUrl": _STICKER, "stickerOrder": 1}],
        "customStickers": [],
    },
    ("POST", "polls/v2/create"): {"success": True},
    ("POST", "polls/v2/vote"): {"success": True},
    ("POST", "document/v1/create"): {"document_url": "https://document.example/1"},
    ("POST", "whiteboard/v1/create"): {"board_url": "https://whiteboard.example/1"},
    # The language of the text is the requested one: a test sets a translation.
    ("POST", "message-translation/v2/translate"): {"language_original": "en", "translations": []},
    ("GET", "/ai/smart-replies/*"): {
        "smart-replies": {"positive": "Yes, please.", "neutral": "I will think about it.", "negative": "No, thanks."}
    },
    ("GET", "/ai/conversation-summary/*"): {"conversation-summary": "They said hello."},
    ("GET", "/ai/conversation-starter/*"): {"conversation-starter": ["Hello!", "How are you?"]},
    ("GET", "/campaigns/notification-feed"): [],
    ("GET", "/campaigns/notification-feed/unread-count"): {"count": 0},
    ("POST", "/campaigns/notification-feed/*"): {"success": True},
    ("GET", "/campaigns/templates/categories"): [],
}

#: The first label of an extension's host: its name and the region.
_LABEL = re.compile(r"([a-z][a-z-]*)-([a-z]+)")


class Canned(NamedTuple):
    """A canned answer. A class of its own, since an answer may be ``null``."""

    data: Any


class Answers:
    """The canned answers of one app. A test may set others."""

    def __init__(self, app_id: str, region: str) -> None:
        self._app_id = app_id.lower()
        self._region = region
        self._answers = dict(_DEFAULTS)

    @property
    def extensions(self) -> List[str]:
        """The names of the extensions that have an answer."""
        return list(dict.fromkeys(path.partition("/")[0] for _, path in self._answers if not path.startswith("/")))

    def hosts(self, domain: str) -> List[str]:
        """Return the extensions' hosts below a domain, as the vendor's clients build them."""
        return [f"{name}-{self._region}.{domain}" for name in self.extensions]

    def set(self, method: str, path: str, data: Any) -> None:
        """Answer with this data from now on. The newest answer that fits wins."""
        key = (method.upper(), path)
        self._answers = {key: data, **{other: value for other, value in self._answers.items() if other != key}}

    def extension_of(self, host: str) -> Optional[str]:
        """Return the extension that a request to this host is for, or None if it is for the API."""
        label, _, domain = host.lower().partition(".")
        match = _LABEL.fullmatch(label)
        if match is None or not domain or match[2] != self._region or label == self._app_id:
            return None
        return match[1]

    def find(self, method: str, path: str, extension: Optional[str]) -> Optional[Canned]:
        """Return the answer for a path that begins with a slash, or None."""
        path = path if extension is None else extension + path
        for (wanted, pattern), data in self._answers.items():
            if wanted == method and fnmatch.fnmatchcase(path, pattern):
                return Canned(data)
        return None
