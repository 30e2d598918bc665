"""Files. Clients upload them to an address from the API, or in a form with a message. The sandbox keeps and serves
them.
"""

from __future__ import annotations

import os
import secrets
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import quote

from aiohttp import web

from .._json import read_json
from ..chat._errors import bad_request, refusal

#: Maximum size of a request's body, in bytes: the largest file, and the fields around it.
LARGEST_BODY = 101 * 1024 * 1024

#: Time for which an address accepts an upload, in seconds.
UPLOAD_LIFETIME = 900

_FILES, _UPLOADS = "/files/", "/uploads/"


class Limits(NamedTuple):
    """The app's limits of files: the maximum size of each, in bytes, and the maximum number in a message."""

    size: int
    number: int

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Limits:
        """Return the limits that the settings' ``parameters`` give."""
        return cls(int(parameters["file.size.max"]), int(parameters["file.count.max"]))

    def check_count(self, count: int) -> None:
        """Check the number of files.

        :raises ApiError: there are too many.
        """
        if count > self.number:
            raise refusal("ERR_FILE_COUNT_EXCEEDED", limit=str(self.number))


class _Upload(NamedTuple):
    """An address for an upload, with the form that it accepts.

    :ivar fields: the fields of the form, beside the file.
    :ivar expires_at: Unix seconds.
    """

    path: str
    size: int
    mime_type: str
    fields: Dict[str, str]
    expires_at: float


class Uploads:
    """The files, in memory."""

    def __init__(self) -> None:
        #: By path: content type and content.
        self._files: Dict[str, Tuple[str, bytes]] = {}
        #: By the path of their address: uploads that may arrive.
        self._expected: Dict[str, _Upload] = {}
        self._number = 0

    def get(self, path: str) -> Optional[Tuple[str, bytes]]:
        """Return the content type and the content of the file at a path, or None."""
        return self._files.get(path)

    def expects(self, path: str) -> bool:
        """Return whether a path is an upload's address."""
        return path in self._expected

    def prepare(self, files: Mapping[str, Any], url: str, limits: Limits, now: float) -> Dict[str, Any]:
        """Return the address and the form for the upload of each wanted file, or the reason of its refusal.

        :param files: by their ids: ``name``, ``size`` in bytes and ``mimeType``.
        :param url: the sandbox's own URL.
        :param now: Unix seconds.
        :raises ApiError: there are too many files, or the description of a file is wrong.
        """
        limits.check_count(len(files))
        return {file_id: self._prepare(each, url, limits, now) for file_id, each in files.items()}

    def _prepare(self, file: Any, url: str, limits: Limits, now: float) -> Dict[str, Any]:
        described: Dict[str, Any] = file if isinstance(file, dict) else {}
        name, size, mime_type = described.get("name"), described.get("size"), described.get("mimeType")
        if not isinstance(name, str) or not name:
            raise bad_request("name", "of a file is missing, or not a text")
        if not isinstance(size, int) or isinstance(size, bool):
            raise bad_request("size", "of a file is missing, or not a number of bytes")
        if not isinstance(mime_type, str) or not mime_type:
            raise bad_request("mimeType", "of a file is missing, or not a text")
        _check_type(mime_type)
        if not 0 <= size <= limits.size:
            refused = refusal("ERR_FILE_SIZE_EXCEEDED", limit=str(limits.size))
            return {"code": refused.code, "message": refused.message}
        path, address = self._path(name), f"{_UPLOADS}{secrets.token_hex(8)}"
        fields = {"key": path.lstrip("/"), "Content-Type": mime_type, "x-amz-signature": secrets.token_hex(32)}
        expires_at = now + UPLOAD_LIFETIME
        self._expected[address] = _Upload(path, size, mime_type, fields, expires_at)
        return {
            "request": {"method": "POST", "url": url + address, "body": fields},
            "attachment": _attachment(url + path, name, mime_type, size),
            "expiresAt": int(expires_at),
        }

    async def receive(self, request: web.BaseRequest, now: float) -> Tuple[int, str]:
        """Take an upload. Returns the status and the text of the answer, like a storage service."""
        upload = self._expected[request.rel_url.raw_path]
        form = await request.post()
        file = form.get("file")
        fields = {name: value for name, value in form.items() if name != "file"}
        if now > upload.expires_at:
            return 403, _storage_error("AccessDenied", "Request has Expired")
        if fields != upload.fields:
            return 403, _storage_error("AccessDenied", "The fields are not those of the policy")
        if not isinstance(file, web.FileField):
            return 400, _storage_error("InvalidArgument", "POST requires exactly one file upload per request")
        content = _content(file)
        if len(content) > upload.size:
            return 400, _storage_error("EntityTooLarge", "The upload exceeds the size that the client asked for")
        self._files[upload.path] = (upload.mime_type, content)
        return 204, ""

    async def read(self, request: web.BaseRequest, url: str, limits: Limits) -> Dict[str, Any]:
        """Return the fields of a multipart body as JSON's. Its files become the attachments of ``data``.

        :param url: the sandbox's own URL, for the addresses of the files.
        :raises ApiError: the files are too large, or too many.
        """
        body: Dict[str, Any] = {}
        files: List[web.FileField] = []
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                files.append(value)
            else:
                body[name] = _decoded(value) if name in ("data", "tags", "metadata") else value
        limits.check_count(len(files))
        attachments = [self._keep(file, url, limits) for file in files]
        if attachments:
            data = body.get("data")
            body["data"] = {**(data if isinstance(data, dict) else {}), "attachments": attachments}
        return body

    def _keep(self, field: web.FileField, url: str, limits: Limits) -> Dict[str, Any]:
        content = _content(field)
        if len(content) > limits.size:
            raise refusal("ERR_FILE_SIZE_EXCEEDED", limit=str(limits.size))
        _check_type(field.content_type)
        path = self._path(field.filename)
        self._files[path] = (field.content_type, content)
        return _attachment(url + path, field.filename, field.content_type, len(content))

    def _path(self, name: str) -> str:
        self._number += 1
        try:
            return f"{_FILES}{self._number}/{quote(name, safe='')}"
        except UnicodeEncodeError:
            raise bad_request("name", "of a file has a lone surrogate") from None


def _check_type(mime_type: str) -> None:
    """Check that a header can have the type of a file.

    :raises ApiError: it can't.
    """
    if not (mime_type.isascii() and mime_type.isprintable()):
        raise bad_request("mimeType", "of a file is not printable ASCII")


def _attachment(url: str, name: str, mime_type: str, size: int) -> Dict[str, Any]:
    extension = os.path.splitext(name)[1][1:]
    return {"url": url, "name": name, "mimeType": mime_type, "extension": extension, "size": size}


def _content(field: web.FileField) -> bytes:
    content = field.file.read()
    field.file.close()
    return content


def _storage_error(code: str, message: str) -> str:
    return f"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"


def _decoded(value: Any) -> Any:
    try:
        return read_json(value)
    except ValueError:
        return value
