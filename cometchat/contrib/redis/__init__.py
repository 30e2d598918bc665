"""One connection for many processes on many machines, over Redis: ``pip install 'cometchat[redis]'``.

With ``AppSettings(status_store=RedisStatusStore(url))`` in each process, one process holds the connection and the
others follow it. :class:`EventStream` gives each event to one worker of a group, for work that must not be done twice.
"""

from __future__ import annotations

from .._extras import naming_the_extra

with naming_the_extra("redis"):
    from ._lines import Group, Line
    from ._store import RedisStatusStore
    from ._streams import EventStream

__all__ = ["EventStream", "Group", "Line", "RedisStatusStore"]
