"""The chat of one app. It wires its users, groups, messages, conversations and calls together."""

from __future__ import annotations

from typing import Any, Dict, List

from ._calls import Calls
from ._conversations import Conversations
from ._credentials import Credentials
from ._features import Features
from ._groups import Groups
from ._history import History
from ._messages import Messages
from ._publisher import Network, Publisher, Saved, Views
from ._reactions import Reactions
from ._receipts import Receipts
from ._streams import Streams
from ._threads import Threads
from ._transient import Transient
from ._triggers import Trigger
from ._users import Users


class Chat:
    """The actions of the app's users and their data. While the sandbox runs, only the loop thread changes it."""

    def __init__(self, app_id: str, features: Features, network: Network, trigger: Trigger) -> None:
        saved: Saved = {}
        self.users: Users = Users(network.is_online, trigger)
        self.credentials: Credentials = Credentials()
        self.history: History = History()
        self.reactions: Reactions = Reactions()
        views = Views(self.history, self.reactions, saved)
        self.publisher: Publisher = Publisher(app_id, self.history, views, network, trigger)
        self.groups: Groups = Groups(self.users, self.publisher, network.is_online)
        self.conversations: Conversations = Conversations(
            self.users, self.groups, self.history, features, self.publisher
        )
        self.receipts: Receipts = Receipts(self.users, self.conversations, self.history, self.publisher)
        self.transient: Transient = Transient(self.users, self.conversations, self.receipts, self.publisher)
        self.threads: Threads = Threads(self.history)
        self.messages: Messages = Messages(
            self.users,
            self.groups,
            self.conversations,
            self.history,
            self.reactions,
            self.threads,
            features,
            saved,
            self.publisher,
        )
        #: The users' reports: message, user, reason, remark and time of each.
        self.reports: List[Dict[str, Any]] = []
        self.streams: Streams = Streams(self.users, self.conversations, self.messages, self.publisher)
        self.calls: Calls = Calls(self.users, self.conversations, self.history, self.publisher)
