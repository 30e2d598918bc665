"""The page that the sandbox shows in a browser, with its files."""

from ._page import Page

__all__ = ["Page"]
