"""The app's features, limits and reasons for reports, as the settings name them."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping

#: The vendor's defaults. Every feature of the sandbox is on, so that clients show its menus.
_PARAMETERS: Mapping[str, Any] = {
    "file.size.max": 100 * 1024 * 1024,
    "file.count.max": 10,
    "features.ux.messages.pinned.enabled": True,
    "features.ux.messages.pinned.limit": 100,
    "features.ux.messages.saved.enabled": True,
    "features.ux.messages.saved.limit": 100,
    "features.ux.conversations.pinned.enabled": True,
    "features.ux.conversations.pinned.limit": 5,
    # Here the last message of a conversation is its latest one, of any kind.
    "core.conversations.updateOnCallActivity": True,
    "core.conversations.updateOnCustomMessage": True,
    "core.conversations.updateOnGroupActions": True,
    "core.conversations.updateOnReplies": True,
}

#: Reasons for which users may report a message.
_FLAG_REASONS = [
    {"id": reason, "name": reason.capitalize(), "description": text, "createdAt": 0, "updatedAt": 0, "default": True}
    for reason, text in (
        ("spam", "It is advertising, or was sent to many."),
        ("harassment", "It insults or threatens a person."),
        ("other", "Another reason."),
    )
]


class Features:
    """The features of one app.

    :param changed: returns the fields of the settings that a test has changed.
    """

    def __init__(self, changed: Callable[[], Mapping[str, Any]]) -> None:
        self._changed = changed

    @property
    def parameters(self) -> Dict[str, Any]:
        """The ``parameters`` of the settings: which features are on, and their limits."""
        return {**_PARAMETERS, **self._changed().get("parameters", {})}

    @property
    def flag_reasons(self) -> List[Dict[str, Any]]:
        """Reasons for which users may report a message."""
        reasons: List[Dict[str, Any]] = self._changed().get("flagReasons", _FLAG_REASONS)
        return reasons

    def limit(self, feature: str) -> int:
        """Return the maximum of a feature, such as ``messages.pinned``."""
        return int(self.parameters[f"features.ux.{feature}.limit"])
