"""One HTTP request, as the API sees it."""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Sequence

from .._api_paths import bare_path, version_of
from .._app import Address
from .._json import read_json
from ..chat import ApiError
from ..chat._errors import bad_request

#: Maximum items on a page.
LARGEST_PAGE = 1000


class ApiRequest:
    """One request, read whole.

    :param query: the values of each parameter, decoded.
    :param form: the fields of a multipart body, in place of ``text``.
    :param extension: the extension that it is for, or None for the API.
    """

    def __init__(
        self,
        method: str,
        raw_path: str,
        headers: Mapping[str, str],
        query: Mapping[str, Sequence[str]],
        text: str,
        form: Optional[Dict[str, Any]],
        address: Address,
        extension: Optional[str] = None,
    ) -> None:
        self.method = method
        self.extension = extension
        # The endpoints of extensions have versions of their own.
        self.path: str = bare_path(raw_path) if extension is None else raw_path
        #: The version of the API in the address, such as ``v3``, or empty.
        self.version: str = version_of(raw_path)
        self.headers = headers
        self.query: Mapping[str, str] = {name: values[0] for name, values in query.items()}
        self._values = query
        self.resource: str = headers.get("resource", "")
        self.address = address
        self.form = form
        self._text = text

    @property
    def body(self) -> Any:
        """The JSON body, or None without a body.

        :raises ApiError: it is not JSON.
        """
        if self.form is not None:
            return self.form
        if not self._text:
            return None
        try:
            return read_json(self._text)
        except ValueError:
            raise bad_request("body", "is not JSON") from None

    @property
    def fields(self) -> Dict[str, Any]:
        """The fields of the JSON body. An empty dict without a body.

        :raises ApiError: it is not JSON, or not an object.
        """
        body = self.body
        if body is None:
            return {}
        if not isinstance(body, dict):
            raise bad_request("body", "is not a JSON object")
        return body

    @property
    def is_of_back_end(self) -> bool:
        """Return whether a back end sent it: with an API key, and without an SDK's headers.

        A back end needs no appId header, since its host name has the app id.
        """
        return "apiKey" in self.headers and not any(name in self.headers for name in ("sdk", "resource"))

    def check_query(self, known: FrozenSet[str]) -> None:
        """Check that all parameters of the query are known.

        :raises ApiError: the sandbox does not implement a parameter; the error names it.
        """
        unknown = sorted(set(self.query) - known)
        if unknown:
            error = bad_request(unknown[0], "is not implemented by the sandbox")
            details = {name: [f"The {name} is not implemented by the sandbox."] for name in unknown}
            raise ApiError(error.status, error.code, error.message, details)

    def list_of_texts(self, name: str) -> List[str]:
        """Return a list in the JSON body.

        :raises ApiError: it is missing, or not a list of texts.
        """
        found = self.fields.get(name)
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise bad_request(name, "is missing, or not a list of texts")
        return found

    def number(self, name: str) -> Optional[int]:
        """Return a whole number of the query, or None without the parameter.

        :raises ApiError: the parameter is not a whole number.
        """
        text = self.query.get(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise bad_request(name, "is not a whole number")
        return int(text)

    def limit(self, name: str, default: int) -> int:
        """Return the number of items that the client asks for.

        :raises ApiError: the number is 0, or not a number.
        """
        limit = self.number(name)
        if limit == 0:
            raise bad_request(name, "is 0")
        return default if limit is None else min(limit, LARGEST_PAGE)

    @property
    def word(self) -> str:
        """The lowercase word that the client searches for. Empty without a search."""
        return self.query.get("searchKey", "").lower()

    def flag(self, name: str) -> bool:
        """Return whether a parameter of the query is set."""
        return self.query.get(name) in ("1", "true")

    def texts(self, *names: str) -> FrozenSet[str]:
        """Return the values of parameters that may be repeated, or hold several values with commas between them."""
        given = [value for name in names for value in self._values.get(name, ())]
        return frozenset(item for value in given for item in value.split(",") if item)
