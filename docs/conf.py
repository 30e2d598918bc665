"""Sphinx's settings, and the two things that make one set of pages fit the code host and the site.

The pages are plain reStructuredText that is read on the code host, too: they link to each other by file name, which
the site needs as links between its pages. And classes are documented where users import them from
(``cometchat.User``), while annotations name the module that they are made in.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional
from urllib.parse import unquote, urlsplit

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

import cometchat  # noqa: E402
import cometchat.sandbox  # noqa: E402

# Names that these modules import for type checkers only. The reference needs them.
for name in ("_sending", "api", "client", "listeners", "outbox", "settings"):
    for public in cometchat.__all__:
        vars(sys.modules[f"cometchat.{name}"]).setdefault(public, getattr(cometchat, public))

logger = logging.getLogger(__name__)

project = "cometchat"
author = "The cometchat developers"
copyright = "CometChat SDK for Python contributors"
version = release = cometchat.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]

nitpicky = True
nitpick_ignore_regex = [
    # The standard library's, tenacity's and the frameworks': there is no inventory of theirs at hand.
    (r"py:(class|exc|obj|func|meth|attr|data)", r"(?!cometchat\b)(?!_)[a-z_]+(\.\w+)+"),
    (r"py:(class|exc)", r"None|True|bool|bytes|dict|float|int|list|object|str|tuple|type|\w+Error|KeyboardInterrupt"),
    (r"py:exc", r"ImproperlyConfigured"),
    (r"py:obj", r"typing\.Callable\[.*"),
    # Parameters of contrib's constructors and methods that users do not call.
    (r"py:class", r"cometchat\.contrib\.(\w+\.)?_\w+\.\w+"),
    # The classes behind the sandbox's helpers.
    (r"py:class", r"cometchat\.sandbox\.(\w+\.)?_\w+\.\w+"),
    # Type variables of the sandbox and of send_message.
    (r"py:(class|obj)", r"cometchat\.(\w+\.)*(M|T)"),
]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
autodoc_mock_imports = ["pytest"]
python_maximum_signature_line_length = 100

# A literal block that does not say what it is may be anything.
highlight_language = "none"

html_theme = "furo"
html_title = f"cometchat {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
# A dark page needs other colours for code, a light one is read in print, too.
pygments_style = "default"
pygments_dark_style = "monokai"

#: Files outside of docs/ that have a page here, which shows them.
PAGES_OF_OTHERS = {"README.rst": "index", "CHANGELOG.rst": "changes", "examples/README.rst": "examples"}

#: Classes whose fields are listed below them, so that the signature would say it again; and what users don't make.
WITHOUT_SIGNATURE = {
    *cometchat.models.__all__,
    *("Attempt", "CometChatWSState", "ConnectionInfo", "DeadLetter", "Outbox", "PastError", "Request", "Stats"),
}


def setup(app: Sphinx) -> Dict[str, Any]:
    """Called by Sphinx."""
    # Before Sphinx collects what a page links to (500).
    app.connect("doctree-read", link_pages, priority=400)
    app.connect("doctree-read", link_names, priority=401)
    app.connect("missing-reference", find_public_name)
    app.connect("autodoc-process-signature", shorten_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def link_pages(app: Sphinx, doctree: nodes.document) -> None:
    """Make links between pages of links to their files, and of names of the API links to where it is described.

    A link to another file of the project becomes a download.
    """
    for reference in list(doctree.findall(nodes.reference)):
        address = urlsplit(reference.get("refuri", ""))
        if address.scheme or address.netloc or not address.path:
            continue
        target = (source_of(reference, doctree).parent / unquote(address.path)).resolve()
        if not target.is_relative_to(ROOT) or not target.is_file():
            logger.warning("a link to a file outside of this project: %s", address.path, location=reference)
            continue
        reference.replace_self(link_to(target, reference, app.env.docname))


def link_names(app: Sphinx, doctree: nodes.document) -> None:
    """Make ``CometChat.login`` or ``AppSettings(region=...)`` a link to its place in the API reference."""
    for literal in list(doctree.findall(nodes.literal)):
        name = re.match(r"(\w+)(\.\w+)?(?=\(|$)", literal.astext())
        linked = isinstance(literal.parent, (nodes.reference, addnodes.pending_xref, addnodes.download_reference))
        if linked or not name or name[1] not in cometchat.__all__:
            continue
        if name[2] and not hasattr(getattr(cometchat, name[1]), name[2][1:]):
            continue  # what only an object has is described with its class
        link = addnodes.pending_xref("", literal.deepcopy(), refdomain="py", reftype="obj", refdoc=app.env.docname)
        link["reftarget"] = f"cometchat.{name[0]}"
        literal.replace_self(link)


def source_of(node: Optional[nodes.Node], doctree: nodes.document) -> Path:
    """Return the file that a node was written in: not the page's, where the page includes another."""
    while node is not None:
        if isinstance(node, nodes.Element) and node.source and os.path.exists(node.source):
            return Path(node.source)
        node = node.parent
    return Path(doctree["source"])


def link_to(target: Path, reference: nodes.reference, docname: str) -> nodes.Element:
    """Return the node that Sphinx turns into a link to a page, or to a copy of a file."""
    name = target.relative_to(ROOT).as_posix()
    page = PAGES_OF_OTHERS.get(name)
    if page is None and target.is_relative_to(DOCS) and target.suffix == ".rst":
        page = target.relative_to(DOCS).with_suffix("").as_posix()
    text = nodes.inline("", "", *(child.deepcopy() for child in reference.children))
    if page is None:
        return addnodes.download_reference("", "", text, reftarget=f"/{os.path.relpath(target, DOCS)}", refdoc=docname)
    attributes = {"refdomain": "std", "reftype": "doc", "refexplicit": True, "refwarn": True}
    return addnodes.pending_xref("", text, reftarget=f"/{page}", refdoc=docname, **attributes)


def find_public_name(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, contnode: nodes.TextElement
) -> Optional[nodes.reference]:
    """Find ``cometchat.models.user.User``, or ``User`` alone, where it is documented: as ``cometchat.User``."""
    if node.get("refdomain") != "py":
        return None
    parts: List[str] = node["reftarget"].split(".")
    for module in (cometchat, cometchat.sandbox):
        for place, part in enumerate(parts):
            if part in module.__all__ and (place == 0 or parts[0] == "cometchat"):
                target = ".".join([module.__name__, *parts[place:]])
                found = env.domains["py"].resolve_xref(
                    env, node["refdoc"], app.builder, node["reftype"], target, node, contnode
                )
                if found is not None:
                    return found
    return None


def shorten_signature(
    app: Sphinx, what: str, name: str, obj: object, options: Any, signature: str, returned: str
) -> Any:
    """Leave out the fields that are listed below the signature."""
    if what == "class" and name.rpartition(".")[2] in WITHOUT_SIGNATURE:
        return "", returned
    return None
