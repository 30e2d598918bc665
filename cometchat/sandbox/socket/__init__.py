"""The WebSocket connections, and the frames that they carry."""

from ._connection import Connection
from ._hub import Hub

__all__ = ["Connection", "Hub"]
