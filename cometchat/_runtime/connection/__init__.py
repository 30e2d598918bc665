"""The connection: its state, its thread, and the interface for the other parts of the client."""

from ._counters import Counters
from ._frame_log import FrameLog
from ._frame_router import FrameRouter
from ._host_addresses import ADDRESSES
from ._network_watch import NETWORK
from ._reconnect_policy import ReconnectPolicy
from ._settings_refresh import SettingsRefresh
from ._state import ConnectionState, Generation
from ._tap import Received, Tap
from ._thread import ConnectionThread

__all__ = [
    "ADDRESSES",
    "ConnectionState",
    "ConnectionThread",
    "Counters",
    "FrameLog",
    "FrameRouter",
    "Generation",
    "NETWORK",
    "Received",
    "ReconnectPolicy",
    "SettingsRefresh",
    "Tap",
]
