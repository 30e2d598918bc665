"""The connection: its state, its thread, and the interface for the other parts of the client."""

from ._frame_router import FrameRouter
from ._reconnect_policy import ReconnectPolicy
from ._settings_refresh import SettingsRefresh
from ._state import ConnectionState, Generation
from ._tap import Received, Tap
from ._thread import ConnectionThread

__all__ = [
    "ConnectionState",
    "ConnectionThread",
    "FrameRouter",
    "Generation",
    "Received",
    "ReconnectPolicy",
    "SettingsRefresh",
    "Tap",
]
