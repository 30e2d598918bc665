"""The connection thread, the dispatcher thread and their shared parts. Only this package starts threads.

===============  ======================================================================================
room             contents
===============  ======================================================================================
``account``      the login: its token, its settings, its addresses, its secrets
``connection``   the connection thread, and the one place that knows which connection is current
``delivery``     from an event to the listeners: queue, dispatcher, inbox, catch-up
``messages``     the calls of a program: send, edit, delete, react, read the history
``outbox``       the stored items, and the thread that sends them
``sharing``      one connection for many processes
``storage``      SQLite files, and locks between processes
===============  ======================================================================================

The modules beside the rooms belong to all of them: ``_lifecycle`` (login, connect, disconnect, logout, close),
``_registry`` (the listeners), ``_threads`` (threads, waits, backoff), ``_arguments`` (checks) and ``_running``
(``run_forever()``).
"""

from __future__ import annotations

from typing import List

__all__: List[str] = []  # the packages and modules below have their own exports
