"""Code for web applications of all frameworks: the client of a process, its login, and the answers for pages.

It uses no framework. :class:`Serving` holds the client of a process and logs it in, :class:`StatusFeed` answers the
requests for the status, and :func:`examine` checks the setting ``COMETCHAT``. Django's app and Flask's extension use
these.
"""

from __future__ import annotations

from .._arguments import AnyClient
from ._answers import Answer, Slot, StreamAnswer, component_answer
from ._component import COMPONENT_ETAG, component_script, status_tag
from ._feed import DEFAULT_MAX_AGE, DEFAULT_MAX_STREAMS, StatusFeed
from ._process import Role, act, is_reloaders_child, loading_modules, server_is_ending, server_role
from ._report import status_report
from ._serving import Serving
from ._settings import Configuration, Option, Problem, complaint, examine, refusal
from ._wsgi import events_answer as wsgi_events_answer

__all__ = [
    "Answer",
    "AnyClient",
    "COMPONENT_ETAG",
    "Configuration",
    "DEFAULT_MAX_AGE",
    "DEFAULT_MAX_STREAMS",
    "Option",
    "Problem",
    "Role",
    "Serving",
    "Slot",
    "StatusFeed",
    "StreamAnswer",
    "act",
    "complaint",
    "component_answer",
    "component_script",
    "examine",
    "is_reloaders_child",
    "loading_modules",
    "refusal",
    "server_is_ending",
    "server_role",
    "status_report",
    "status_tag",
    "wsgi_events_answer",
]
