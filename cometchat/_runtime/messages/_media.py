"""Uploads files to the service's storage and sends them as messages. Over HTTP, on any thread."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import mimetypes
import os
import stat
import tempfile
import uuid
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, Dict, Iterator, Mapping, NamedTuple, Optional, cast
from urllib.parse import urlsplit

from ..._fields import mapping, number, text
from ..._protocol._endpoints import is_in_clear
from ..._transport._exception_chain import pass_on_interruption
from ..._transport._form import Form
from ...exceptions import (
    ERR_BAD_RESPONSE,
    ERR_FILE_SIZE_EXCEEDED,
    ERR_INTERNAL,
    CometChatException,
    class_of_answer,
    exception_for,
    invalid,
    unusable,
)
from ...models import BaseMessage
from ..account import Account
from ._sender import Sender

if TYPE_CHECKING:
    from ..._transport.http import RequestsRest

#: Maximum size of a file, in bytes, unless the app's settings say otherwise.
LARGEST_FILE = 100 * 1024 * 1024

#: Maximum length of a file's name, in characters.
_LONGEST_NAME = 255

#: The service answers these codes if the app has no storage for uploads. The file then goes with the message.
_NO_STORAGE = ("ERR_PRESIGNED_URL_MODE_NOT_ENABLED", "ERR_API_NOT_FOUND")

#: The same in words. The vendor's Android client expects them as the code.
_NOT_ENABLED = "presigned url mode is not enabled"

_BLOCK = 1024 * 1024

#: Error codes of a lack in this process or system. The file itself may be right.
_LACKS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC)

#: The modules of the standard library whose files are decompressed while they are read.
_DECOMPRESSING = ("gzip", "bz2", "lzma")


class Source(NamedTuple):
    """A file to send.

    :ivar file: seekable, positioned at the first byte to send.
    :ivar size: number of bytes to send.
    """

    file: BinaryIO
    name: str
    mime_type: str
    size: int

    @property
    def kind(self) -> str:
        """The type of its message: ``image``, ``video``, ``audio`` or ``file``."""
        kind = self.mime_type.partition("/")[0]
        return kind if kind in ("image", "video", "audio") else "file"


class Media:
    """Sends the files of one account.

    :param new_uuid: makes muids, ids of files, and the boundaries of forms.
    :param timeout: seconds, as for each call over HTTP.
    """

    def __init__(
        self,
        account: Account,
        sender: Sender,
        rest: RequestsRest,
        *,
        timeout: float,
        new_uuid: Callable[[], uuid.UUID] = uuid.uuid4,
    ) -> None:
        self._account = account
        self._sender = sender
        self._rest = rest
        self._timeout = timeout
        self._new_uuid = new_uuid

    def send(
        self, path_or_file: Any, name: Optional[str], caption: Optional[str], message: Mapping[str, Any]
    ) -> BaseMessage:
        """Upload a file, and send it. Returns the stored message.

        :param message: ``receiver``, ``receiverType`` and maybe ``parentId``.
        """
        _check(path_or_file)
        uid = self._account.require().uid
        largest = self._largest()
        with _opened(path_or_file, name, largest) as source:
            if source.size > largest:
                raise _too_large(source.size, largest)
            data: Dict[str, Any] = {} if caption is None else {"text": caption}
            body = {**message, "category": "message", "type": source.kind, "muid": str(self._new_uuid()), "data": data}
            try:
                data["attachments"] = [self._upload(source, message, uid)]
            except CometChatException as error:
                if error.code not in _NO_STORAGE and _NOT_ENABLED not in f"{error.code} {error.message}".lower():
                    raise
                return self._send_as_form(source, body, uid)
        return self._sender.send_message(body, uid)

    def _upload(self, source: Source, message: Mapping[str, Any], uid: str) -> Dict[str, Any]:
        """Get an upload address and post the file to it. Returns the attachment."""
        file_id = str(self._new_uuid())
        described = {"fileId": file_id, "name": source.name, "size": source.size, "mimeType": source.mime_type}
        wanted = {key: message[key] for key in ("receiver", "receiverType")}
        files = {"files": {file_id: described}, **wanted}
        answer = self._account.request("POST", "/files/upload-url", files, uid=uid)
        prepared = mapping(answer, file_id)
        refused = text(prepared, "code")
        if refused is not None and "request" not in prepared:
            error = class_of_answer(refused, 400)(refused, text(prepared, "message") or "The file is refused.")
            self._account.secrets.scrub_error(error)
            raise error
        request, attachment = mapping(prepared, "request"), mapping(prepared, "attachment")
        url = text(request, "url") or ""
        form = mapping(request, "body")
        fields = {key: value for key in form for value in [text(form, key)] if value is not None}
        if not text(attachment, "url") or not self._is_usable(url) or (text(request, "method") or "POST") != "POST":
            raise exception_for(ERR_BAD_RESPONSE, "The service's answer lacks a usable address for the upload.")
        self._rest.upload(url, self._form(source, fields, "file"), timeout=self._timeout)
        return dict(attachment)

    def _send_as_form(self, source: Source, body: Mapping[str, Any], uid: str) -> BaseMessage:
        """Send the message and its file in one call, for apps without storage for uploads."""
        data = {**body["data"], "resource": self._account.resource}
        fields = {key: value for key, value in body.items() if key not in ("data", "parentId")}
        form = self._form(source, {**fields, "data": json.dumps(data)}, "files[]")
        return self._sender.post(body, form, uid)

    def _form(self, source: Source, fields: Mapping[str, str], part: str) -> Form:
        boundary = self._new_uuid().hex
        return Form(fields, part, source.name, source.mime_type, source.file, source.size, boundary)

    def _is_usable(self, url: str) -> bool:
        """Return True if a file may be sent to an address: it must have TLS if the API has TLS."""
        try:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
                return False
        except ValueError:
            return False
        return is_in_clear(self._account.endpoints.client) or not is_in_clear(url)

    def _largest(self) -> int:
        """Return the maximum size of a file, in bytes. The app's settings may name it."""
        session = self._account.session
        settings = (session.settings if session else None) or {}
        largest = number(mapping(settings, "parameters"), "file.size.max")
        return largest if largest is not None and largest > 0 else LARGEST_FILE


@contextlib.contextmanager
def _opened(path_or_file: Any, name: Optional[str], largest: int) -> Iterator[Source]:
    """Open the user's path, bytes or file. A file that the user opened stays open."""
    with contextlib.ExitStack() as stack:
        if isinstance(path_or_file, (str, os.PathLike)):
            path = os.path.expanduser(os.fsdecode(path_or_file))  # a path of os.scandir() may be bytes
            file = stack.enter_context(_open(path))
            given = os.path.basename(path)
        elif isinstance(path_or_file, (bytes, bytearray, memoryview)):
            file, given = io.BytesIO(path_or_file), "file"
        else:
            file, given = cast(BinaryIO, path_or_file), _name_of(path_or_file)
        try:
            if not file.seekable():
                file = stack.enter_context(_spooled(file, largest))
            start = file.tell()
            size = file.seek(0, os.SEEK_END) - start
            file.seek(start)
        except CometChatException:
            raise
        except Exception as error:  # of any kind: zipfile and gzip raise their own, and EOFError
            pass_on_interruption(error)
            raise _unreadable(error, "a file that can be read", str(error)) from error
        if size <= 0:
            raise unusable("path_or_file", "a file with data after its current position")
        shown = _printable(name or given) or "file"
        yield Source(file, shown, _mime_type(shown), size)


def _mime_type(name: str) -> str:
    """Return the type by the ending of a file's name. A compressed image is not an image."""
    url = f"/{name}"  # not the name alone: with a colon it would be a URL, whose "?" ends its path
    try:
        found, compression = mimetypes.guess_type(url)
    except (OSError, ValueError):  # a table of the system, such as /etc/mime.types, can't be read or decoded
        found, compression = mimetypes.MimeTypes().guess_type(url)
    if compression is not None:
        found = "application/gzip" if compression == "gzip" else None
    return found or "application/octet-stream"


def _open(path: Any) -> BinaryIO:
    expected = "the path of a file that can be read"
    try:
        is_file = stat.S_ISREG(os.stat(path).st_mode)  # reading a pipe may never end
        if is_file:
            return open(path, "rb")
    except (OSError, ValueError) as error:
        reason = str(error.strerror if isinstance(error, OSError) else error)
        raise _unreadable(error, expected, reason) from error
    raise unusable("path_or_file", f"{expected}, got a folder, a device or a pipe")


def _unreadable(error: Exception, expected: str, reason: str) -> CometChatException:
    if isinstance(error, OSError) and error.errno in _LACKS:
        return exception_for(ERR_INTERNAL, f"The file can't be read now: {reason}.")
    return unusable("path_or_file", f"{expected} ({reason})")


def _check(path_or_file: Any) -> None:
    """Check that it is a path, bytes, or a file in binary mode."""
    expected = "a path, bytes, or a file opened in binary mode, such as open(path, 'rb')"
    if isinstance(path_or_file, (str, os.PathLike, bytes, bytearray, memoryview)):
        return
    if isinstance(path_or_file, type) or not callable(getattr(path_or_file, "read", None)):
        raise invalid("path_or_file", expected, path_or_file)
    if isinstance(path_or_file, io.TextIOBase) or not callable(getattr(path_or_file, "seekable", None)):
        raise unusable("path_or_file", expected)


def _spooled(file: BinaryIO, largest: int) -> BinaryIO:
    """Copy a file that can't seek, such as a pipe, to the disk, because the service needs its size."""
    copy = tempfile.TemporaryFile()
    left = largest + 1
    try:
        while left > 0:
            block: Optional[bytes] = file.read(min(_BLOCK, left))
            if block is None:
                raise BlockingIOError("it is in non-blocking mode, and has no data at the moment")
            if not block:
                break
            copy.write(block)
            left -= len(block)
        if left <= 0:
            raise _too_large(None, largest)
        copy.seek(0)
    except BaseException:
        copy.close()
        raise
    return cast(BinaryIO, copy)


def _too_large(size: Optional[int], largest: int) -> CometChatException:
    shown = "more" if size is None else str(size)
    return exception_for(
        ERR_FILE_SIZE_EXCEEDED,
        f"The file is too large: expected at most {largest} bytes, got {shown}.",
        name="path_or_file",
    )


def _name_of(file: Any) -> str:
    name = getattr(file, "name", None)
    if not isinstance(name, (str, bytes)):
        return "file"
    base = os.path.basename(os.fsdecode(name))
    return os.path.splitext(base)[0] if type(file).__module__ in _DECOMPRESSING else base


def _printable(name: str) -> str:
    """Return a file's name without folders and control characters."""
    base = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(character for character in base if character.isprintable())
    return shown.encode("utf-8", "replace").decode()[-_LONGEST_NAME:]
