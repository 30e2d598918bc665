"""Keeps the service's settings fresh, which hold its MODE: at each opening, and while a connection is up.

The clients of a process share what one of them has requested (:mod:`.._shared_settings`).
"""

from __future__ import annotations

import logging
import math
import time
from typing import Callable, Optional

from ..._log import SafeLog
from ..._protocol._states import Phase
from ...exceptions import CometChatException
from .._threads import ServiceThread
from ..account import SETTINGS, Account
from ..sharing import SharedConnection
from ._state import ConnectionState, Generation

logger = logging.getLogger("cometchat.connection")

#: Seconds between two checks for the settings that another client has requested.
_ANSWER_CHECK = 1.0

#: Maximum age of settings that came before a socket opened, in seconds.
_FRESH = 10.0

#: Maximum wait of an accepted connection for the service's MODE, in seconds, before it is reported.
_MODE_PATIENCE = 2.0


class SettingsRefresh:
    """Requests the settings for one client's generations. For the connection thread.

    Only this class changes ``settings_known`` and ``refresh_at`` of a generation, except for its end.

    :param retry_outbox: sends the items of the outbox that wait. Called when throttling ends.
    :param interval: seconds between two requests while a connection is up; 0: make none.
    :param thread_name: of the client's threads, with ``{}`` for their task.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        state: ConnectionState,
        *,
        account: Account,
        retry_outbox: Callable[[], object],
        sharing: Optional[SharedConnection],
        interval: float,
        thread_name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._account = account
        self._retry_outbox = retry_outbox
        self._sharing = sharing
        self._interval = interval
        self._thread_name = thread_name.format("settings")
        self._log = SafeLog(logger, account.client_name)
        self._clock = clock

    def opened(self, generation: Generation) -> None:
        """Use the settings that have just come, with the jwt or since the loss; else request them. A socket is open."""
        since, lost_at = self._clock() - _FRESH, generation.lost_at
        shared_since = None if lost_at is None else max(lost_at, since)
        if self._account.take_new_settings(since) or self._use_shared(shared_since):
            generation.settings_known.set()
        else:
            self.request(generation)

    def accepted(self, generation: Generation) -> None:
        """Wait a moment for the settings, because the connection is reported with its MODE. Begin the interval."""
        generation.settings_known.wait(_MODE_PATIENCE)
        self._schedule(generation)

    def keep_fresh(self, generation: Generation, now: float) -> None:
        """Get settings of at most one interval's age: ``refresh_at`` has come. One client of a process asks for all."""
        key, interval = self._account.settings_key, self._interval
        paused_until = SETTINGS.paused_until(key)
        if self._use_shared(now - interval / 2):
            self.apply_mode(generation)
            generation.refresh_at = now + interval / 2
        elif paused_until > now:
            generation.refresh_at = paused_until
        elif self._account.shared_mode is not None:  # it counts, so another client may claim the request
            self._schedule(generation)
        elif SETTINGS.claim(key, now):
            self.request(generation, replace_token=True)
            self._schedule(generation)
        else:
            generation.refresh_at = now + min(_ANSWER_CHECK, interval / 2)

    def request(self, generation: Generation, replace_token: bool = False) -> None:
        """Request the settings on a separate thread, because the socket must not wait for HTTP.

        :param replace_token: whether to replace a refused token. False during the handshake, which does it too.
        """
        if self._account.shared_mode is not None or not generation.settings_known.is_set():
            return
        if SETTINGS.paused_until(self._account.settings_key) > self._clock():
            return
        generation.settings_known.clear()
        try:
            ServiceThread(
                self._thread_name,
                lambda: self._request(generation, replace_token),
                wanted=lambda: not generation.settings_known.is_set(),
                wait=generation.wake.wait,
            ).start()
        except Exception as error:  # no thread, or no memory
            generation.settings_known.set()
            SETTINGS.release(self._account.settings_key)
            self._log.warning("The settings can't be refreshed: %s", error)

    def apply_mode(self, generation: Generation) -> None:
        """Report the MODE of the newest settings. Any thread; no-op if it has not changed."""
        step = self._state.apply_mode(generation)
        if step is not None:
            if self._sharing is not None:
                self._sharing.publish()
            if step.new is Phase.ONLINE:
                self._retry_outbox()

    def _schedule(self, generation: Generation) -> None:
        generation.refresh_at = self._clock() + self._interval if self._interval else math.inf

    def _use_shared(self, since: Optional[float]) -> bool:
        """Use the settings that another client of this process fetched. Returns False without them.

        :param since: monotonic seconds. Older settings are not used. None: return False.
        """
        settings = None if since is None else SETTINGS.get(self._account.settings_key, since)
        if settings is not None:
            self._account.use_settings(settings)
        return settings is not None

    def _fetch(self, replace_token: bool) -> None:
        """Make the request, and share its answer or its ``Retry-After`` with the other clients."""
        key, asked_at = self._account.settings_key, self._clock()
        try:
            settings = self._account.refresh_settings(replace_token)
        except CometChatException as error:
            if error.retry_after is not None:
                SETTINGS.pause(key, self._clock() + error.retry_after)
            raise
        finally:
            SETTINGS.release(key)
        SETTINGS.put(key, asked_at, settings)

    def _request(self, generation: Generation, replace_token: bool) -> None:
        try:
            self._fetch(replace_token)
        except CometChatException as error:
            self._log.info("the settings could not be refreshed, the old ones are still used: %s", error)
        except Exception:
            self._log.exception("Unexpected error while refreshing the settings.")
        finally:
            generation.settings_known.set()
        self.apply_mode(generation)
