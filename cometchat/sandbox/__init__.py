"""The sandbox: a local stand-in for CometChat's service, for tests, demos and work without a network.

``from cometchat.sandbox import Sandbox``. It needs the extra ``cometchat[sandbox]``, and ``import cometchat`` does not
load it. It shares only the public names with the client's code, so that a mistake in one of them shows up against the
other.

``http`` has the routes and envelopes, and ``socket`` the WebSocket connections and frames. ``chat`` has the actions and
the data of users, groups, messages, conversations and calls. ``faults`` has the faults on demand, and ``page`` the page
in a browser.
"""

try:
    import aiohttp as _aiohttp  # noqa: F401
except ImportError as _error:
    raise ImportError("the sandbox needs aiohttp: pip install 'cometchat[sandbox]'") from _error

from ._certificates import make_certificate
from ._journal import Attempt, Request
from ._player import Player
from ._sample import SAMPLE
from ._sandbox import Sandbox
from ._webhook import Delivery

__all__ = ["Attempt", "Delivery", "Player", "Request", "SAMPLE", "Sandbox", "make_certificate"]
