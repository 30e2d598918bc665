"""The refusals of the API: one table of codes, and the vendor's error envelope."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

#: By code: the HTTP status, and the message with its fields. The vendor publishes the codes. Most statuses, and the
#: codes in the last block, are not confirmed against the live service.
CODES: Dict[str, Tuple[int, str]] = {
    # The app, its keys and tokens. Like the live service, the messages repeat the key and the token, so that a client
    # that logs the message shows a secret.
    "AUTH_ERR_EMPTY_APPID": (400, "The appId header is missing or empty."),
    "AUTH_ERR_INVALID_APPID": (401, "The app {app_id} does not exist in this region."),
    "AUTH_ERR_EMPTY_APIKEY": (401, "The apiKey header is missing or empty."),
    "AUTH_ERR_APIKEY_NOT_FOUND": (401, "The API key {api_key} does not exist."),
    "AUTH_ERR_EMPTY_AUTH_TOKEN": (401, "The authToken header is missing or empty."),
    "AUTH_ERR_AUTH_TOKEN_NOT_FOUND": (401, "The auth token {token} does not exist."),
    "ERR_AUTHTOKEN_UNAVAILABLE": (403, "The auth token belongs to another device."),
    "ERR_NO_AUTH": (401, "The jwt is wrong or has expired."),
    "ERR_SETTINGS_HASH_OUTDATED": (400, "The settings have changed."),
    "AUTH_ERR_NO_ACCESS": (403, "The API key may not do that: it is an auth key."),
    "ERR_AUTH_TOKEN_NOT_FOUND": (404, "The user has no auth token {token}."),
    # Users.
    "ERR_UID_NOT_FOUND": (404, "The user {uid} does not exist."),
    "ERR_BLOCKED_RECEIVER": (403, "You have blocked the user {uid}."),
    "ERR_BLOCKED_SENDER": (403, "The user {uid} has blocked you."),
    "ERR_CANNOT_BLOCK_SELF": (400, "You cannot block yourself."),
    "ERR_CANNOT_FORM_SELF_RELATION": (400, "You cannot be your own friend."),
    # Groups.
    "ERR_GUID_NOT_FOUND": (404, "The group {guid} does not exist."),
    "ERR_GROUP_NOT_JOINED": (403, "You are not in the group {guid}."),
    "ERR_NOT_A_MEMBER": (403, "The user {uid} is not in the group {guid}."),
    "ERR_ALREADY_JOINED": (409, "The user {uid} is already in the group {guid}."),
    "ERR_BANNED_GROUPMEMBER": (403, "The user {uid} is banned from the group {guid}."),
    "ERR_ALREADY_BANNED": (409, "The user {uid} is already banned from the group {guid}."),
    "ERR_NOT_A_BANNED_USER": (400, "The user {uid} is not banned from the group {guid}."),
    "ERR_EMPTY_GROUP_PASS": (400, "The group {guid} needs a password."),
    "ERR_WRONG_GROUP_PASS": (403, "The password of the group {guid} is wrong."),
    "ERR_GROUP_JOIN_NOT_ALLOWED": (403, "The group {guid} is private: a member has to add you."),
    "ERR_GROUP_NO_MODERATOR_SCOPE": (403, "Only moderators of the group {guid} may do that."),
    "ERR_GROUP_NO_ADMIN_SCOPE": (403, "Only admins of the group {guid} may do that."),
    "ERR_GROUP_NO_SCOPE_CLEARANCE": (403, "Your scope in the group {guid} does not allow that."),
    "ERR_GROUP_NO_SELF_ACTION": (403, "You cannot do that to yourself in the group {guid}."),
    "ERR_SAME_SCOPE": (400, "The user {uid} already has the scope {scope}."),
    # Messages and conversations.
    "ERR_EMPTY_RECEIVER": (400, "The message has no receiver."),
    "ERR_INVALID_RECEIVER_TYPE": (400, "The receiverType must be user or group."),
    "ERR_EMPTY_MESSAGE_CATEGORY": (400, "The message has no category."),
    "ERR_INVALID_MESSAGE_CATEGORY": (400, "A client cannot send a message of this category."),
    "ERR_EMPTY_MESSAGE_TYPE": (400, "The message has no type."),
    "ERR_INVALID_MESSAGE_TYPE": (400, "The type of the message is not a text."),
    "ERR_INVALID_MESSAGE_DATA": (400, "The data of the message {problem}."),
    "ERR_EMPTY_MESSAGE_TEXT": (400, "The message has no text."),
    "ERR_INVALID_MESSAGE_TEXT": (400, "The text of the message {problem}."),
    "ERR_EMPTY_MESSAGE_FILE": (400, "The media message has neither a file nor an attachment."),
    "ERR_FILE_SIZE_EXCEEDED": (400, "A file has {limit} bytes at most."),
    "ERR_FILE_COUNT_EXCEEDED": (400, "A message has {limit} files at most."),
    "ERR_EMPTY_CUSTOM_DATA": (400, "The custom message has no customData."),
    "ERR_INVALID_CUSTOM_DATA": (400, "The customData is not an object."),
    "ERR_INVALID_METADATA": (400, "The metadata is not an object."),
    "ERR_MESSAGE_ID_NOT_FOUND": (404, "The message {id} does not exist."),
    "ERR_MESSAGE_NO_ACCESS": (403, "You are neither a party to the message {id} nor in its group."),
    "ERR_MESSAGE_NOT_A_SENDER": (403, "Only the sender may change the message {id}."),
    "ERR_MESSAGE_ACTION_NOT_ALLOWED": (400, "An action, a call and a deleted message cannot be changed."),
    "ERR_MESSAGE_THREAD_NESTING": (400, "The message {id} is a reply itself."),
    "ERR_WRONG_MESSAGE_THREAD": (400, "The message {id} belongs to another conversation."),
    "ERR_WRONG_MESSAGE_THREAD_CATEGORY": (400, "An action and a call have no replies."),
    "ERR_PINNED_MESSAGES_LIMIT_EXCEEDED": (400, "A conversation has {limit} pinned messages at most."),
    "ERR_SAVED_MESSAGES_LIMIT_EXCEEDED": (400, "A user has {limit} saved messages at most."),
    "ERR_PINNED_CONVERSATIONS_LIMIT_EXCEEDED": (400, "A user has {limit} pinned conversations at most."),
    "ERR_CONVERSATION_NOT_ACCESSIBLE": (404, "Your conversation with {id} has no message yet."),
    # Calls.
    "ERR_CALLING_SELF": (400, "You cannot call yourself."),
    "ERR_CALL_BUSY_SELF": (400, "You are in another call."),
    "ERR_CALL_BUSY_USER": (400, "The user {uid} is in another call."),
    "ERR_CALL_BUSY_GROUP": (400, "The group {guid} has a call already."),
    "ERR_CALL_SESSION_NOT_FOUND": (404, "The call {id} does not exist."),
    "ERR_CALL_NOT_A_PART": (403, "You are not a part of the call {id}, or its other side has to say that."),
    "ERR_CALL_TERMINATED": (400, "The call {id} is over."),
    "ERR_CALL_NOT_STARTED": (400, "The call {id} was not accepted."),
    "ERR_CALL_USER_ALREADY_JOINED": (400, "The call {id} was accepted already."),
    "ERR_CALL_GROUP_ALREADY_JOINED": (400, "You are in the call {id} already."),
    "ERR_CALL_GROUP_INVALID_STATUS": (400, "A call to a group is never busy."),
    "ERR_CALL_ONGOING_TO_INVALID": (400, "A call that was accepted can only end."),
    "ERR_CALL_INVALID_INIT": (400, "A call that rings can be accepted, rejected, cancelled, busy or unanswered."),
    # All of the API.
    "ERR_EXTENSION_NOT_FOUND": (404, "The extension {extension} has no {method} {path} here."),
    "ERR_FEATURE_NOT_ACCESSIBLE": (403, "The app does not have the feature {feature}."),
    "ERR_INVALID_API_VERSION": (400, "The API has no version {version}."),
    "ERR_API_NOT_FOUND": (404, "The API has no {method} {path}."),
    "ERR_BAD_REQUEST": (400, "The request has wrong fields or parameters."),
    "ERR_TOO_MANY_REQUESTS": (429, "The app has sent too many requests in this minute."),
    "ERR_MISSION_FAILED": (500, "The sandbox failed; its log has the traceback."),
    # Not published.
    "ERR_UID_ALREADY_EXISTS": (409, "The user {uid} already exists."),
    "ERR_GUID_ALREADY_EXISTS": (409, "The group {guid} already exists."),
    "ERR_OWNER_EXIT_FORBIDDEN": (403, "You own the group {guid}, and cannot leave it."),
    "ERR_GROUP_NOT_THE_OWNER": (403, "Only the owner of the group {guid} may do that."),
}


class ApiError(Exception):
    """A refusal: an HTTP status and the content of the error envelope."""

    def __init__(self, status: int, code: str, message: str, details: Optional[Mapping[str, List[str]]] = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.details: Dict[str, List[str]] = dict(details or {})

    @property
    def envelope(self) -> Dict[str, Dict[str, Any]]:
        """The error envelope of the answer."""
        return {
            "error": {
                "message": self.message,
                "devMessage": self.message,
                "source": "chat-api",
                "code": self.code,
                "details": self.details,
            }
        }


def refusal(code: str, **values: str) -> ApiError:
    """Make the error of a published code. ``values`` fill in its message."""
    status, message = CODES[code]
    return ApiError(status, code, message.format(**values))


def bad_request(field: str, problem: str) -> ApiError:
    """Make the error for one wrong field or parameter."""
    status, message = CODES["ERR_BAD_REQUEST"]
    return ApiError(status, "ERR_BAD_REQUEST", message, {field: [f"The {field} {problem}."]})


def asked_for(status: int, code: Optional[str] = None) -> ApiError:
    """Make the error that a test has set. If the test gave only the status, the code is an unknown one."""
    known = "ERR_TOO_MANY_REQUESTS" if status == 429 else f"ERR_HTTP_{status}"
    return ApiError(status, code or known, f"The sandbox is set to answer {status}.")
