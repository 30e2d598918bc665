"""The WebSocket to the service, over websocket-client."""

from ._socket import WebSocketClientSocket, socket_factory

__all__ = ["WebSocketClientSocket", "socket_factory"]
