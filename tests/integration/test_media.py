"""Files: uploaded, sent, and received by the other side, with the sandbox and with a misbehaving storage."""

from __future__ import annotations

import errno
import gzip
import io
import mimetypes
import os
import threading
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import pytest
import requests

from cometchat import Client, CometChatException, InvalidArgumentException, MediaMessage
from cometchat._runtime.messages import _media as media_module
from cometchat.sandbox import Sandbox

from .conftest import OTHER_UID, UID, Party, Peer, RawServer

GROUP = "chat"


@pytest.fixture
def me(party: Party, sandbox: Sandbox) -> Client:
    sandbox.add_group(GROUP, "Chat", owner=OTHER_UID, members=[UID])
    client = party.client(auto_establish_socket_connection=False)
    client.login(UID, sandbox.auth_key)
    sandbox.clear_records()
    return client


def code_of(act: Callable[[], object]) -> CometChatException:
    with pytest.raises(CometChatException) as caught:
        act()
    return caught.value


def content(message: MediaMessage) -> Tuple[bytes, str]:
    """Return the content at the address of a message's only attachment."""
    (attachment,) = message.attachments
    assert attachment.url is not None
    fetched = requests.get(attachment.url, timeout=5)
    assert fetched.status_code == 200
    return fetched.content, fetched.headers["Content-Type"]


def paths(sandbox: Sandbox) -> List[str]:
    return [request.path for request in sandbox.requests]


@pytest.mark.parametrize("storage", [True, False])
def test_a_file_is_not_sent_as_another_user(storage: bool, me: Client, sandbox: Sandbox) -> None:
    """An upload may take minutes. If another user logs in meanwhile, the call fails."""

    class Switching(io.BytesIO):
        """Logs in as another user when the file is measured, which is after the call has begun."""

        def seekable(self) -> bool:
            me.login(OTHER_UID, sandbox.auth_key)
            return True

    if not storage:
        sandbox.fail_http(404, code="ERR_API_NOT_FOUND", path="/files/upload-url")
    error = code_of(lambda: me.send_media_message(Switching(b"data"), uid="cometchat-uid-3"))
    assert error.code == "USER_NOT_LOGGED_IN" and "Another login" in error.message
    assert sandbox.messages == []


@pytest.mark.parametrize(
    "name, kind, mime_type",
    [
        ("a b.png", "image", "image/png"),
        ("clip.mp4", "video", "video/mp4"),
        ("note.mp3", "audio", "audio/mpeg"),
        ("report.pdf", "file", "application/pdf"),
        ("größe", "file", "application/octet-stream"),
        ("Re: what #1?.png", "image", "image/png"),
        ("a.png.gz", "file", "application/gzip"),
        ("a.txt.xz", "file", "application/octet-stream"),
    ],
)
def test_a_path(name: str, kind: str, mime_type: str, me: Client, sandbox: Sandbox, tmp_path: Path) -> None:
    """The storage gets the file with its type. The message has its kind, caption and attachment."""
    path = tmp_path / name
    path.write_bytes(b"\x00\r\n--content" * 1000)
    sent = me.send_media_message(path, uid=OTHER_UID, caption="look")
    assert isinstance(sent, MediaMessage)
    assert (sent.type, sent.caption, sent.receiver_id, sent.receiver_type) == (kind, "look", OTHER_UID, "user")
    (attachment,) = sent.attachments
    assert (attachment.name, attachment.mime_type, attachment.size) == (name, mime_type, 12000)
    assert content(sent) == (path.read_bytes(), mime_type)
    assert [path.partition("/uploads/")[1] or path for path in paths(sandbox)][:3] == [
        "/files/upload-url",
        "/uploads/",
        "/messages",
    ]
    assert sandbox.violations == []


def test_a_table_of_types_that_can_not_be_read(me: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK uses Python's table of types if it can't decode or open a table of the system."""
    table = tmp_path / "mime.types"
    table.write_bytes("text/größe groesse\n".encode("latin-1"))
    monkeypatch.setattr(mimetypes, "knownfiles", [str(table)])
    monkeypatch.setattr(mimetypes, "inited", False)
    monkeypatch.setattr(mimetypes, "_db", None)
    sent = me.send_media_message(b"data", uid=OTHER_UID, name="a.png")
    assert [each.mime_type for each in sent.attachments] == ["image/png"]


def test_the_storage_gets_no_credential(me: Client, sandbox: Sandbox) -> None:
    """The upload has no header of the API, since the storage is another host."""
    me.send_media_message(b"content", uid=OTHER_UID, name="a.txt")
    (upload,) = [request for request in sandbox.requests if request.path.startswith("/uploads/")]
    assert not {"authtoken", "appid", "apikey", "resource"} & {name.lower() for name in upload.headers}


def test_bytes_and_files(me: Client, sandbox: Sandbox, tmp_path: Path) -> None:
    """Bytes, and open files from their present position on, can be sent. The user's own file stays open."""
    path = tmp_path / "numbers.txt"
    path.write_bytes(b"0123456789")
    assert content(me.send_media_message(b"bytes", guid=GROUP))[0] == b"bytes"
    assert content(me.send_media_message(bytearray(b"more"), guid=GROUP))[0] == b"more"  # type: ignore[arg-type]
    sent = me.send_media_message(io.BytesIO(b"memory"), guid=GROUP, name="m.png")
    assert sent.type == "image" and content(sent) == (b"memory", "image/png")
    with open(path, "rb") as file:
        file.seek(4)
        sent = me.send_media_message(file, guid=GROUP)
        assert content(sent)[0] == b"456789" and sent.attachments[0].name == "numbers.txt"
        file.seek(0)
        assert file.read() == b"0123456789"
    assert sent.receiver_type == "group" and me.send_media_message(str(path), guid=GROUP).type == "file"


def test_a_name_in_bytes(me: Client, tmp_path: Path) -> None:
    """It has the name and the type of the same name as text."""
    (tmp_path / "a.png").write_bytes(b"data")
    folder = os.fsencode(tmp_path)
    with os.scandir(folder) as entries, open(os.path.join(folder, b"a.png"), "rb") as file:
        for source in (*entries, file):
            (attachment,) = me.send_media_message(source, uid=OTHER_UID).attachments
            assert (attachment.name, attachment.mime_type) == ("a.png", "image/png")


def test_a_pipe(me: Client) -> None:
    """A file that cannot seek is copied first, since the service needs its size."""
    out, into = os.pipe()

    def write() -> None:
        with os.fdopen(into, "wb") as end:
            end.write(b"x" * 300_000)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(out, "rb") as pipe:
        sent = me.send_media_message(pipe, uid=OTHER_UID, name="log.txt")
    writer.join()
    assert content(sent) == (b"x" * 300_000, "text/plain")


def test_a_pipe_that_does_not_wait_for_its_data(me: Client, sandbox: Sandbox) -> None:
    """The other process has not yet written everything. A part of a file must not be sent as the whole."""

    class Pipe(io.RawIOBase):
        """Behaves like a pipe in non-blocking mode."""

        blocks: List[Any] = [b"first half", None]

        def read(self, size: int = -1) -> Any:
            return self.blocks.pop(0)

    error = code_of(lambda: me.send_media_message(Pipe(), uid=OTHER_UID))
    assert error.code == "INVALID_PATH_OR_FILE" and "no data" in error.message
    assert paths(sandbox) == []


def test_a_large_file_is_not_loaded(me: Client, sandbox: Sandbox, tmp_path: Path) -> None:
    """A file of 30 MiB is read block by block."""
    tracemalloc = pytest.importorskip("tracemalloc", reason="PyPy cannot count what is allocated")
    path = tmp_path / "large.bin"
    with open(path, "wb") as file:
        file.truncate(30 * 1024 * 1024)
    peaks: List[int] = []
    upload = me._core.media._rest.upload

    def measured(*args: Any, **named: Any) -> None:
        tracemalloc.start()
        try:
            upload(*args, **named)
        finally:
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()

    sandbox.fail_http(204, body="", path="/uploads/*")  # it reads the file, and keeps no part of it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(me._core.media._rest, "upload", measured)
        me.send_media_message(path, uid=OTHER_UID)
    # The sandbox is in this process. It has read the whole body, and no more than that.
    assert peaks and peaks[0] < 2.2 * 30 * 1024 * 1024


def test_a_reply(me: Client, sandbox: Sandbox) -> None:
    """A file can be sent in a thread."""
    parent = me.send_text("question", uid=OTHER_UID)
    sent = me.send_media_message(b"answer", uid=OTHER_UID, parent_message_id=parent.id, name="a.txt")
    assert sent.parent_message_id == parent.id
    assert f"/messages/{parent.id}/thread" in paths(sandbox)[-1]


def test_a_caption_is_edited(me: Client) -> None:
    """``edit_message`` replaces the caption of a file, and the file stays."""
    sent = me.send_media_message(b"content", uid=OTHER_UID, caption="Helo", name="a.txt")
    edited = me.edit_message(sent, "Hello")
    assert (edited.caption, edited.attachments) == ("Hello", sent.attachments)


# An app without storage.


NOT_ENABLED = "Presigned URL mode is not enabled for this app"


@pytest.mark.parametrize(
    "code, message",
    [
        ("ERR_PRESIGNED_URL_MODE_NOT_ENABLED", "no"),
        ("ERR_API_NOT_FOUND", "no"),
        (NOT_ENABLED, "no"),  # the vendor's Android client expects the sentence as the code
        ("ERR_NEW", f"{NOT_ENABLED.upper()}."),
    ],
)
@pytest.mark.parametrize("replies", [False, True])
def test_without_storage_the_file_goes_with_the_message(
    code: str, message: str, replies: bool, me: Client, sandbox: Sandbox
) -> None:
    """One call then takes both, also in a thread."""
    parent = me.send_text("question", uid=OTHER_UID).id if replies else None
    sandbox.fail_http(400, body={"error": {"code": code, "message": message}}, path="/files/upload-url")
    sent = me.send_media_message(
        b"content", uid=OTHER_UID, caption="look", name='a "b"\n.png', parent_message_id=parent
    )
    assert (sent.type, sent.caption, sent.parent_message_id) == ("image", "look", parent)
    assert content(sent) == (b"content", "image/png")
    (attachment,) = sent.attachments
    assert attachment.name is not None and attachment.name.endswith(".png")
    assert not any("/uploads/" in path for path in paths(sandbox))
    assert sandbox.violations == []


def test_a_dead_token_is_replaced_on_the_way(sandbox: Sandbox, party: Party) -> None:
    """With ``refresh`` the form is sent again, from its beginning."""
    client = party.client(auto_establish_socket_connection=False)
    client.login_with_auth_token(sandbox.auth_token(UID), refresh=lambda: sandbox.auth_token(UID))
    sandbox.fail_http(400, code="ERR_API_NOT_FOUND", path="/files/upload-url")
    sandbox.fail_http(401, code="AUTH_ERR_AUTH_TOKEN_NOT_FOUND", times=1, path="/messages")
    assert content(client.send_media_message(b"content", uid=OTHER_UID))[0] == b"content"


# Failures.


def test_the_limit(me: Client, sandbox: Sandbox, tmp_path: Path, party: Party) -> None:
    """The limit is 100 MiB unless the settings have another. Nothing is sent, and a pipe is not read further."""
    path = tmp_path / "huge"
    with open(path, "wb") as file:
        file.truncate(100 * 1024 * 1024 + 1)
    error = code_of(lambda: me.send_media_message(path, uid=OTHER_UID))
    assert error.code == "ERR_FILE_SIZE_EXCEEDED" and "expected at most 104857600 bytes, got 104857601" in error.message
    assert isinstance(error, InvalidArgumentException)
    assert sandbox.requests == []
    sandbox.override_settings(parameters={"file.size.max": 5})
    client = party.client(auto_establish_socket_connection=False)
    client.login(UID, sandbox.auth_key)
    assert code_of(lambda: client.send_media_message(b"123456", uid=OTHER_UID)).code == "ERR_FILE_SIZE_EXCEEDED"
    assert content(client.send_media_message(b"12345", uid=OTHER_UID))[0] == b"12345"
    out, into = os.pipe()
    os.write(into, b"0123456789")
    with os.fdopen(out, "rb", buffering=0) as pipe:
        assert code_of(lambda: client.send_media_message(pipe, uid=OTHER_UID)).code == "ERR_FILE_SIZE_EXCEEDED"
        assert pipe.read(4) == b"6789"
    os.close(into)


@pytest.mark.parametrize("limit, refused", [("5", True), (5.0, True), (True, False), ("0", False), ("much", False)])
def test_the_limit_may_be_text(limit: Any, refused: bool, sandbox: Sandbox, party: Party) -> None:
    """Every number of the service may be text. A value that is not a number does not limit the size."""
    sandbox.override_settings(parameters={"file.size.max": limit})
    client = party.client(auto_establish_socket_connection=False)
    client.login(UID, sandbox.auth_key)
    sandbox.override_settings(parameters={})
    if refused:
        assert code_of(lambda: client.send_media_message(b"123456", uid=OTHER_UID)).code == "ERR_FILE_SIZE_EXCEEDED"
    else:
        assert content(client.send_media_message(b"123456", uid=OTHER_UID))[0] == b"123456"


def test_a_form_with_a_number(me: Client, serve: Callable[..., RawServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """The storage gets each field of its form, since it would refuse one without."""
    seen: List[bytes] = []

    def take(peer: Peer) -> None:
        length = next(line for line in peer.read_head().splitlines() if line.lower().startswith("content-length"))
        seen.append(peer.read(int(length.partition(":")[2])))

    server = serve(take)
    form = {"request": {"url": server.url().replace("ws:", "http:"), "body": {"key": "k", "x-amz-n": 5}}}

    def request(method: str, path: str, body: Any, **named: Any) -> Any:
        return {next(iter(body["files"])): {**form, "attachment": {"url": "https://f"}}}

    monkeypatch.setattr(me._core.account, "request", request)
    code_of(lambda: me.send_media_message(b"content", uid=OTHER_UID))
    assert b'name="key"\r\n\r\nk\r\n' in seen[0] and b'name="x-amz-n"\r\n\r\n5\r\n' in seen[0]


def test_the_service_refuses_a_file(me: Client, sandbox: Sandbox) -> None:
    """The call raises the service's code for the one file."""
    sandbox.override_settings(parameters={"file.size.max": 5})  # this client has the earlier settings
    error = code_of(lambda: me.send_media_message(b"123456", uid=OTHER_UID))
    assert (error.code, error.message) == ("ERR_FILE_SIZE_EXCEEDED", "A file has 5 bytes at most.")
    assert code_of(lambda: me.send_media_message(b"1", uid="unknown")).code == "ERR_UID_NOT_FOUND"
    assert sandbox.messages == []


CODE = "<Code>AccessDenied</Code>"


@pytest.mark.parametrize(
    "status, body, code, shown",
    [
        (403, f"<Error>{CODE}Request has Expired</Error>", "ERR_PRESIGNED_URL_EXPIRED", "AccessDenied"),
        (403, "<Error><Code>SignatureDoesNotMatch</Code></Error>", "ERR_S3_UPLOAD_FAILED", "SignatureDoesNotMatch"),
        (503, "<html>Expired" + "x" * 100_000, "ERR_S3_UPLOAD_FAILED", "HTTP 503"),
        (300, "", "ERR_S3_UPLOAD_FAILED", "HTTP 300"),
    ],
    ids=["expired", "refused", "a proxy's page", "a redirect"],
)
def test_the_storage_refuses(status: int, body: str, code: str, shown: str, me: Client, sandbox: Sandbox) -> None:
    """The code is the vendor's. The message has the storage's own code and is short, and no message is sent."""
    sandbox.fail_http(status, body=body, path="/uploads/*")
    error = code_of(lambda: me.send_media_message(b"content", uid=OTHER_UID))
    assert error.code == code and shown in error.message and error.http_status == status
    assert len(error.message) < 200 and error.details == f"HTTP {status}"
    assert sandbox.messages == []


def prepared(url: str, **changes: Any) -> Dict[str, Any]:
    """Return an answer of the service with another address."""
    good = {"request": {"method": "POST", "url": url, "body": {"key": "k"}}, "attachment": {"url": "https://f"}}
    return {**good, **changes}


@pytest.mark.parametrize(
    "answer",
    [
        {},
        prepared(""),
        prepared("ftp://127.0.0.1/x"),
        prepared("http://storage.example/x"),  # without TLS
        prepared("http://127.0.0.1:0/x"),
        prepared("http://[bad/x"),
        prepared("http://127.0.0.1/x", attachment={}),
        prepared("http://127.0.0.1/x", request={"method": "PUT", "url": "http://127.0.0.1/x"}),
    ],
    ids=repr,
)
def test_an_unusable_address(answer: Dict[str, Any], me: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """``ERR_BAD_RESPONSE`` is raised, and the file is sent nowhere."""

    def request(method: str, path: str, body: Any, **named: Any) -> Any:
        return {next(iter(body["files"])): answer}

    monkeypatch.setattr(me._core.account, "request", request)
    assert code_of(lambda: me.send_media_message(b"content", uid=OTHER_UID)).code == "ERR_BAD_RESPONSE"


def test_a_storage_that_hangs_up(me: Client, serve: Callable[..., RawServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """``FAILED_TO_FETCH`` names the host, and has the library's error as its cause."""

    def hang_up(peer: Peer) -> None:
        peer.read_head()

    server = serve(hang_up)
    url = server.url().replace("ws:", "http:")

    def request(method: str, path: str, body: Any, **named: Any) -> Any:
        return {next(iter(body["files"])): prepared(url)}

    monkeypatch.setattr(me._core.account, "request", request)
    error = code_of(lambda: me.send_media_message(b"x" * 5_000_000, uid=OTHER_UID))
    assert error.code == "FAILED_TO_FETCH" and "127.0.0.1" in error.message and error.__cause__ is not None


class Shrinking(io.BytesIO):
    """A file that has lost its end by the time it is read."""

    def read(self, size: Any = -1) -> bytes:
        return b""


class Broken(io.BytesIO):
    def read(self, size: Any = -1) -> bytes:
        raise OSError(5, "Input/output error")


class Damaged(io.BytesIO):
    """Like a member of a zip file whose checksum is wrong."""

    def read(self, size: Any = -1) -> bytes:
        raise zipfile.BadZipFile("Bad CRC-32")


class Textual(io.BytesIO):
    def read(self, size: Any = -1) -> Any:
        return "text"


class Generous(io.BytesIO):
    def read(self, size: Any = -1) -> bytes:
        return b"more than was asked for"


def half_of_gzip() -> Any:
    """Return a compressed file that lacks its end."""
    return gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(os.urandom(5000))[:-2000]))


@pytest.mark.parametrize(
    "file, reason",
    [
        (Shrinking(b"content"), "keeps its size"),
        (Broken(b"content"), "Input/output"),
        (Damaged(b"content"), "Bad CRC-32"),
        (half_of_gzip(), "end-of-stream marker"),
        (Textual(b"content"), "returns bytes"),
        (Generous(b"content"), "at most as many"),
    ],
    ids=["shorter", "broken", "damaged", "half", "text", "more"],
)
def test_a_file_that_fails_on_the_way(file: Any, reason: str, me: Client, sandbox: Sandbox) -> None:
    """The error names the file, not the network, and the next call works."""
    error = code_of(lambda: me.send_media_message(file, uid=OTHER_UID))
    assert error.code == "INVALID_PATH_OR_FILE" and reason in error.message
    assert content(me.send_media_message(b"good", uid=OTHER_UID))[0] == b"good"


class Vanishing(io.BytesIO):
    """A file that another thread closes during the second call of ``tell``, or the third of ``seek``."""

    def __init__(self, method: str) -> None:
        super().__init__(b"content")
        self._left = {"tell": 2, "seek": 3}
        self._method = method

    def tell(self) -> int:
        self._count("tell")
        return super().tell()

    def seek(self, *args: int) -> int:
        self._count("seek")
        return super().seek(*args)

    def _count(self, method: str) -> None:
        self._left[method] -= 1
        if method == self._method and not self._left[method]:
            self.close()


@pytest.mark.parametrize("method", ["tell", "seek"])
def test_a_file_that_is_closed_before_it_is_sent(method: str, me: Client, sandbox: Sandbox) -> None:
    """The error names the file, not the network."""
    file = Vanishing(method)
    error = code_of(lambda: me.send_media_message(file, uid=OTHER_UID))
    assert file.closed and error.code == "INVALID_PATH_OR_FILE" and "closed file" in error.message


class Comparison:
    """Like an array of numbers: a comparison has no truth value."""

    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


WRONG: Dict[str, Any] = {
    "an array": (Comparison(), "INVALID_PATH_OR_FILE"),
    "nothing": (None, "MISSING_PARAMETERS"),
    "an empty path": ("", "MISSING_PARAMETERS"),
    "a number": (5, "INVALID_PATH_OR_FILE"),
    "a class": (io.BytesIO, "INVALID_PATH_OR_FILE"),
    "a text file": (io.StringIO("a"), "INVALID_PATH_OR_FILE"),
    "no bytes": (b"", "INVALID_PATH_OR_FILE"),
    "a file that is missing": ("/no/such/file", "INVALID_PATH_OR_FILE"),
    "a folder": ("/", "INVALID_PATH_OR_FILE"),
    "a device": (os.devnull, "INVALID_PATH_OR_FILE"),
    "a path with a zero": ("a\0b", "INVALID_PATH_OR_FILE"),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_wrong_files(case: str, me: Client, sandbox: Sandbox) -> None:
    """Each is refused before a request."""
    given, code = WRONG[case]
    error = code_of(lambda: me.send_media_message(given, uid=OTHER_UID))
    assert error.code == code and isinstance(error, InvalidArgumentException)
    assert sandbox.requests == []


def test_a_closed_file(me: Client) -> None:
    """A closed file cannot be read."""
    file = io.BytesIO(b"content")
    file.close()
    assert code_of(lambda: me.send_media_message(file, uid=OTHER_UID)).code == "INVALID_PATH_OR_FILE"


@pytest.mark.parametrize("lack", [errno.EMFILE, errno.ENOSPC], ids=["descriptors", "space for a copy"])
def test_a_lack_of_the_process_is_not_the_files(
    me: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lack: int
) -> None:
    """A program that gives a wrong file up can send this one later."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"content")

    def fail(*args: Any) -> Any:
        raise OSError(lack, os.strerror(lack))

    monkeypatch.setattr(media_module, "open", fail, raising=False)
    monkeypatch.setattr(media_module.tempfile, "TemporaryFile", fail)
    out, into = os.pipe()
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        error = code_of(lambda: me.send_media_message(path if lack == errno.EMFILE else pipe, uid=OTHER_UID))
    assert error.code == "ERR_INTERNAL" and os.strerror(lack) in error.message
    assert not isinstance(error, InvalidArgumentException) and isinstance(error.__cause__, OSError)


@pytest.mark.parametrize("module, ending", [("gzip", "gz"), ("bz2", "bz2"), ("lzma", "xz")])
def test_a_file_that_is_decompressed_while_it_is_read(me: Client, tmp_path: Path, module: str, ending: str) -> None:
    """Its name and its type are those of the content: the receiver could not decompress it once more."""
    opener = pytest.importorskip(module).open
    with opener(tmp_path / f"a.png.{ending}", "wb") as file:
        file.write(b"image")
    with opener(tmp_path / f"a.png.{ending}") as file:
        named = getattr(file, "name", None)  # before Python 3.13 gzip's only
        sent = me.send_media_message(file, uid=OTHER_UID)
    assert content(sent)[0] == b"image"
    assert (sent.attachments[0].name, sent.type) == (("a.png", "image") if named else ("file", "file"))


def test_wrong_arguments_beside_the_file(me: Client) -> None:
    """Receiver, caption and name are checked too."""
    assert code_of(lambda: me.send_media_message(b"a")).code == "MISSING_PARAMETERS"
    assert code_of(lambda: me.send_media_message(b"a", uid="a", caption=5)).code == "INVALID_CAPTION"  # type: ignore
    assert code_of(lambda: me.send_media_message(b"a", uid="a", name=" ")).code == "MISSING_PARAMETERS"
