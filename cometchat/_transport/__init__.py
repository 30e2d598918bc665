"""The two ways out: HTTP (requests) and the WebSocket (websocket-client). I/O, no threads, no decisions.

One library per file; its exceptions are mapped to this SDK's in ``errors``, once.
"""
