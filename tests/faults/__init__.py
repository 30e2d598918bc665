"""The bad days: faults at every moment, failing networks, forks, ends, floods, and hostile servers."""
