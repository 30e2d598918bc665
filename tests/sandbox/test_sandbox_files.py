"""Files: the API gives an address, which accepts one form, and serves the file. Limits have the vendor's codes."""

from __future__ import annotations

import json
from typing import Any, Dict, Tuple

import pytest
import requests
from sandbox_answers import code

from cometchat.sandbox import Sandbox

A, B = "cometchat-uid-1", "cometchat-uid-2"


def wanted(**fields: Any) -> Dict[str, Any]:
    return {"fileId": "f1", "name": "a b.png", "size": 7, "mimeType": "image/png", **fields}


def ask(client: Any, sandbox: Sandbox, *files: Dict[str, Any], **more: Any) -> requests.Response:
    described = {f"f{number}": file for number, file in enumerate(files, 1)}
    body = {"files": described, "receiver": B, "receiverType": "user", **more}
    return client.call("POST", "/files/upload-url", headers={"authToken": sandbox.auth_token(A)}, body=body)


def answer(client: Any, sandbox: Sandbox, **fields: Any) -> Dict[str, Any]:
    return ask(client, sandbox, wanted(**fields)).json()["data"]["f1"]


def put(prepared: Dict[str, Any], content: bytes, **changes: Any) -> Tuple[int, str]:
    """Upload like a browser: no header of the API, the fields first, then the file."""
    fields = {**prepared["request"]["body"], **changes}
    posted = requests.post(prepared["request"]["url"], data=fields, files={"file": ("x", content)}, timeout=5)
    return posted.status_code, posted.text


def test_an_upload(client: Any, sandbox: Sandbox) -> None:
    """After the upload the attachment's address serves the file with its type, also after a restart."""
    prepared = answer(client, sandbox)
    attachment = prepared["attachment"]
    assert {**attachment, "url": ""} == {
        "url": "",
        "name": "a b.png",
        "mimeType": "image/png",
        "extension": "png",
        "size": 7,
    }
    assert prepared["request"]["method"] == "POST" and isinstance(prepared["expiresAt"], int)
    assert requests.get(attachment["url"], timeout=5).status_code != 200
    assert put(prepared, b"content") == (204, "")
    sandbox.restart()
    fetched = requests.get(attachment["url"], timeout=5)
    assert (fetched.content, fetched.headers["Content-Type"]) == (b"content", "image/png")
    message = {
        "receiver": B,
        "receiverType": "user",
        "category": "message",
        "type": "image",
        "data": {"attachments": [attachment]},
    }
    sent = client.call("POST", "/messages", headers={"authToken": sandbox.auth_token(A)}, body=message)
    assert sent.json()["data"]["data"]["attachments"] == [attachment]
    assert sandbox.violations == []


def test_several_files_in_one_question(client: Any, sandbox: Sandbox) -> None:
    """Each file gets its own address, or its own refusal."""
    files = ask(client, sandbox, wanted(), wanted(size=104857601), wanted()).json()["data"]
    assert files["f1"]["request"]["url"] != files["f3"]["request"]["url"]
    assert files["f1"]["attachment"]["url"] != files["f3"]["attachment"]["url"]
    assert files["f2"] == {"code": "ERR_FILE_SIZE_EXCEEDED", "message": "A file has 104857600 bytes at most."}


def test_the_limits_are_those_of_the_settings(client: Any, sandbox: Sandbox) -> None:
    """The settings have the vendor's default limits, and a test sets others."""
    parameters = client.log_in(A)["settings"]["parameters"]
    assert (parameters["file.size.max"], parameters["file.count.max"]) == (104857600, 10)
    assert code(ask(client, sandbox, *[wanted()] * 11)) == (400, "ERR_FILE_COUNT_EXCEEDED")
    sandbox.override_settings(parameters={"file.size.max": 6, "file.count.max": 1})
    assert answer(client, sandbox)["code"] == "ERR_FILE_SIZE_EXCEEDED"
    assert code(ask(client, sandbox, wanted(), wanted())) == (400, "ERR_FILE_COUNT_EXCEEDED")


def test_a_form_with_a_message_has_the_same_limits(client: Any, sandbox: Sandbox) -> None:
    """``POST /messages`` as multipart refuses files that are too large or too many, with the same codes."""
    sandbox.override_settings(parameters={"file.size.max": 6, "file.count.max": 1})
    form = {"receiver": B, "receiverType": "user", "category": "message", "type": "file", "data": json.dumps({})}
    headers = {**client.headers, "authToken": sandbox.auth_token(A)}
    del headers["Content-Type"]

    def post(*contents: bytes) -> requests.Response:
        files = [("files[]", (f"{number}.txt", content)) for number, content in enumerate(contents)]
        return requests.post(sandbox.url + "/messages", headers=headers, data=form, files=files, timeout=5)

    assert code(post(b"content")) == (400, "ERR_FILE_SIZE_EXCEEDED")
    assert code(post(b"a", b"b")) == (400, "ERR_FILE_COUNT_EXCEEDED")
    assert post(b"a").status_code == 200


@pytest.mark.parametrize(
    "fields",
    [{"name": ""}, {"name": 5}, {"name": "\ud800"}, {"size": None}, {"size": True}, {"size": "7"}, {"mimeType": None}]
    + [{"mimeType": "text/html\r\nX-More: 1"}, {"mimeType": "text/\0"}, {"mimeType": "text/\u00e9"}],
    ids=repr,
)
def test_a_file_that_is_not_described(fields: Dict[str, Any], client: Any, sandbox: Sandbox) -> None:
    """``ERR_BAD_REQUEST`` names the field."""
    refused = ask(client, sandbox, wanted(**fields))
    assert code(refused) == (400, "ERR_BAD_REQUEST")
    assert list(refused.json()["error"]["details"]) == list(fields)


@pytest.mark.parametrize("mime_type", ["text/\x01", "text/\0", "text/\u00e9"], ids=repr)
def test_a_form_with_a_wrong_type_of_file_is_refused(mime_type: str, client: Any, sandbox: Sandbox) -> None:
    """The sandbox could not serve such a file."""
    head = f'Content-Disposition: form-data; name="file"; filename="x"\r\nContent-Type: {mime_type}'
    body = f"--b\r\n{head}\r\n\r\ncontent\r\n--b--\r\n".encode()
    headers = {"authToken": sandbox.auth_token(A), "Content-Type": "multipart/form-data; boundary=b"}
    assert code(client.call("POST", "/messages", headers=headers, body=body)) == (400, "ERR_BAD_REQUEST")
    prepared = answer(client, sandbox)
    storage = requests.post(prepared["request"]["url"], data=body, headers=headers, timeout=5)
    assert storage.status_code in (400, 403)


@pytest.mark.parametrize("mime_type", ["text/html", "image/svg+xml", "text/plain"])
def test_a_file_is_no_page_of_the_sandbox(mime_type: str, client: Any, sandbox: Sandbox) -> None:
    """Its scripts and forms could press the buttons of the sandbox's own page, and read its events."""
    prepared = answer(client, sandbox, mimeType=mime_type)
    assert put(prepared, b"<html/>") == (204, "")
    headers = requests.get(prepared["attachment"]["url"], timeout=5).headers
    assert headers["Content-Type"] == mime_type
    assert headers["X-Content-Type-Options"] == "nosniff"
    rules = headers["Content-Security-Policy"].split("; ")
    assert {"script-src 'none'", "form-action 'none'", "base-uri 'none'"} <= set(rules)


def test_a_wrong_question(client: Any, sandbox: Sandbox) -> None:
    """A request without files, for an unknown user, or without a token, is refused."""
    assert code(ask(client, sandbox)) == (400, "ERR_BAD_REQUEST")
    assert code(ask(client, sandbox, wanted(), receiver="unknown")) == (404, "ERR_UID_NOT_FOUND")
    assert code(ask(client, sandbox, wanted(), receiver="unknown", receiverType="group"))[1] == "ERR_GUID_NOT_FOUND"
    assert code(client.call("POST", "/files/upload-url", body={})) == (401, "AUTH_ERR_EMPTY_AUTH_TOKEN")


def test_the_refusals_of_the_storage(client: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other fields, a larger file, no file, no form, and an expired address are refused. The file is not served."""
    prepared = answer(client, sandbox)
    assert put(prepared, b"content", key="files/other")[0] == 403
    assert put(prepared, b"content", more="x")[0] == 403
    status, text = put(prepared, b"content and more")
    assert status == 400 and "<Code>EntityTooLarge</Code>" in text
    url, fields = prepared["request"]["url"], prepared["request"]["body"]
    empty = requests.post(url, files={name: (None, value) for name, value in fields.items()}, timeout=5)
    assert empty.status_code == 400 and "<Code>InvalidArgument</Code>" in empty.text
    broken = requests.post(url, data=b"--", headers={"Content-Type": "multipart/form-data"}, timeout=5)
    assert broken.status_code == 400
    monkeypatch.setattr("cometchat.sandbox._service.time.time", lambda: float(prepared["expiresAt"]) + 1)
    status, text = put(prepared, b"content")
    assert status == 403 and "Expired" in text
    assert requests.get(prepared["attachment"]["url"], timeout=5).status_code != 200


def test_faults_of_the_storage(client: Any, sandbox: Sandbox) -> None:
    """``fail_http`` works with the path of the addresses."""
    prepared = answer(client, sandbox)
    sandbox.fail_http(503, times=1, body="<Error/>", path="/uploads/*")
    assert put(prepared, b"content") == (503, "<Error/>")
    assert put(prepared, b"content") == (204, "")
