"""One connection for many processes: the leader has the socket, and its followers get the frames it receives."""

from ._membership import Membership
from ._shared_connection import SharedConnection
from ._shared_history import SharedHistory
from ._shared_socket import SharedSocket

__all__ = ["Membership", "SharedConnection", "SharedHistory", "SharedSocket"]
