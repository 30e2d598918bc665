"""A form with a file (``multipart/form-data``). The file is read while the form is sent."""

from __future__ import annotations

from typing import Any, BinaryIO, Callable, Iterator, List, Mapping

from ..exceptions import unusable
from ._exception_chain import pass_on_interruption

#: Size of one read, in bytes.
_BLOCK = 65536


class Form:
    """The body of one request. The file is the last part, because storage services read the fields before it.

    :param part: the name of the file's part.
    :param name: of the file.
    :param file: opened in binary mode, and seekable. It is sent from its current position on.
    :param size: number of bytes to send.
    :param boundary: letters and digits that do not occur in the file.
    :raises InvalidArgumentException: the file can't be read.
    """

    def __init__(
        self,
        fields: Mapping[str, str],
        part: str,
        name: str,
        mime_type: str,
        file: BinaryIO,
        size: int,
        boundary: str,
    ) -> None:
        self.content_type: str = f"multipart/form-data; boundary={boundary}"
        lines: List[str] = []
        for key, value in fields.items():
            lines += [f"--{boundary}", f'Content-Disposition: form-data; name="{_quoted(key)}"', "", value]
        disposition = f'Content-Disposition: form-data; name="{_quoted(part)}"; filename="{_quoted(name)}"'
        lines += [f"--{boundary}", disposition, f"Content-Type: {_quoted(mime_type)}", "", ""]
        self._head = "\r\n".join(lines).encode("utf-8", "replace")
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._file = file
        self._size = size
        self._start = _done(file.tell)
        self._sent = 0

    def __len__(self) -> int:
        return len(self._head) + self._size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the blocks that :meth:`read` returns. requests recognizes a stream by this method."""
        while True:
            block = self.read(_BLOCK)
            if not block:
                return
            yield block

    def rewind(self) -> None:
        """Rewind, so that the next request sends the whole form.

        :raises InvalidArgumentException: the file can't be read.
        """
        self._sent = 0
        _done(self._file.seek, self._start)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes of the body; ``b""`` at its end.

        :raises InvalidArgumentException: the file can't be read, or was shortened.
        """
        wanted = _BLOCK if size < 0 else size
        if self._sent < len(self._head):
            block = self._head[self._sent : self._sent + wanted]
        elif self._sent < len(self._head) + self._size:
            block = self._read_file(min(wanted, len(self._head) + self._size - self._sent))
        else:
            at = self._sent - len(self._head) - self._size
            block = self._tail[at : at + wanted]
        self._sent += len(block)
        return block

    def _read_file(self, size: int) -> bytes:
        block = _done(self._file.read, size)
        if not block:
            raise unusable("path_or_file", "a file that keeps its size while it is sent")
        if not isinstance(block, (bytes, bytearray, memoryview)) or len(block) > size:
            raise unusable("path_or_file", "a file whose read(size) returns bytes, and at most as many as asked for")
        return bytes(block)


def _done(method: Callable[..., Any], *args: int) -> Any:
    """Call a method of the file."""
    try:
        return method(*args)
    except Exception as error:  # of any kind: zipfile and gzip raise their own, and EOFError
        pass_on_interruption(error)
        raise unusable("path_or_file", f"a file that stays readable while it is sent ({error})") from error


def _quoted(text: str) -> str:
    """Escape a text for quotation marks in a part's header, as browsers do."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
