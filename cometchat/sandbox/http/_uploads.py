"""Files that clients post in multipart bodies: kept, and served under the sandbox's own address."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, Optional, Tuple
from urllib.parse import quote

from aiohttp import web

#: Maximum size of a request's body, in bytes: a file with the fields around it.
LARGEST_BODY = 100 * 1024 * 1024

_PREFIX = "/files/"


class Uploads:
    """The files, in memory."""

    def __init__(self) -> None:
        #: By path: content type and content.
        self._files: Dict[str, Tuple[str, bytes]] = {}

    def get(self, path: str) -> Optional[Tuple[str, bytes]]:
        """Return content type and content of the file at a path, or None."""
        return self._files.get(path)

    async def read(self, request: web.BaseRequest, url: str) -> Dict[str, Any]:
        """Return the fields of a multipart body as JSON's would be; its files become the attachments of ``data``.

        :param url: the sandbox's own, for the addresses of the files.
        """
        body: Dict[str, Any] = {}
        attachments = []
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                attachments.append(self._keep(value, url))
            else:
                body[name] = _decoded(value) if name in ("data", "tags", "metadata") else value
        if attachments:
            data = body.get("data")
            body["data"] = {**(data if isinstance(data, dict) else {}), "attachments": attachments}
        return body

    def _keep(self, field: web.FileField, url: str) -> Dict[str, Any]:
        content = field.file.read()
        field.file.close()
        path = f"{_PREFIX}{len(self._files) + 1}/{quote(field.filename, safe='')}"
        self._files[path] = (field.content_type, content)
        return {
            "url": url + path,
            "name": field.filename,
            "mimeType": field.content_type,
            "extension": os.path.splitext(field.filename)[1][1:],
            "size": len(content),
        }


def _decoded(value: Any) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
