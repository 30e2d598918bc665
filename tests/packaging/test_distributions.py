"""The sdist and the wheel: both build from the sdist's content, and contain the right files."""

from __future__ import annotations

import configparser
import email
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path
from typing import Dict, NamedTuple, Set

import pytest

import cometchat

ROOT = Path(__file__).resolve().parents[2]

#: A build makes a separate environment.
pytestmark = pytest.mark.timeout(300)


#: Files that a maintainer may have in the tree. A build must not publish them.
LEFT = (
    *("examples/.env", "examples/session.json", "examples/django_site/site.db", "examples/django_site/site.db-wal"),
    *("tests/key.pem", "tests/data/session.json", "docs/notes.txt", ".ci/token", "cometchat/session.json", ".netrc"),
)


class Built(NamedTuple):
    """The two files, with the modules and other files of the package in the tree at that time."""

    sdist: Path
    wheel: Path
    modules: Set[str]
    data: Set[str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build the sdist from a copy of the tree, and the wheel from the sdist. The tree itself stays clean."""
    pytest.importorskip("build")
    copy = tmp_path_factory.mktemp("tree") / "cometchat"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", ".hypothesis", "*.egg-info", "__pycache__", "build", "dist", ".*_cache"
    )
    shutil.copytree(ROOT, copy, ignore=ignored)
    for left in LEFT:
        (copy / left).write_text("private")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(out), str(copy)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    package = [path for path in (copy / "cometchat").rglob("*") if path.is_file()]
    package = [path for path in package if path.relative_to(copy).as_posix() not in LEFT]
    modules = {path.relative_to(copy).as_posix() for path in package if path.suffix == ".py"}
    return Built(sdist, wheel, modules, {path.relative_to(copy).as_posix() for path in package} - modules)


def wheel_names(built: Built) -> Set[str]:
    with zipfile.ZipFile(built.wheel) as wheel:
        return set(wheel.namelist())


def wheel_text(built: Built, name: str) -> str:
    with zipfile.ZipFile(built.wheel) as wheel:
        (path,) = (entry for entry in wheel.namelist() if entry.endswith(f".dist-info/{name}"))
        return wheel.read(path).decode()


def metadata(built: Built) -> Message:
    return email.message_from_string(wheel_text(built, "METADATA"))


def test_the_distributions(built: Built) -> None:
    """The distributions pass all checks. This is one test, since pytest-xdist would otherwise build in each process."""
    for check in (
        the_version_is_in_one_place,
        the_wheel_holds_the_package_and_nothing_else,
        the_sdist_holds_what_a_packager_needs,
        the_dependencies_are_three,
        the_metadata,
        the_description_needs_no_other_file,
        the_entry_points_exist,
    ):
        check(built)


def the_description_needs_no_other_file(built: Built) -> None:
    """Check the README's links: a package index shows only README.rst, so relative links would lead nowhere."""
    description = metadata(built).get_payload()
    assert isinstance(description, str) and "A first program" in description
    relative = re.findall(r"<(?!https?:)[^>\s]+>`_|image:: (?!https?:)\S+", description)
    assert not relative and "Inbox (``docs/inbox.rst``)" in description


def bounds(text: str) -> Dict[str, str]:
    """Return package -> version for lines such as ``name[extra]>=1.2,<3; marker`` and ``name==1.2``."""
    found = re.findall(r"^ *([A-Za-z][\w-]*)(?:\[\w,]+)? *[>=]=([\w.]+)", text, re.MULTILINE)
    return {name.lower(): version for name, version in found}


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    """tests/packaging/oldest.txt pins the lower bounds of setup.cfg for all that `make check-oldest` installs."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = config["options.extras_require"]
    wanted = bounds(config["options"]["install_requires"])
    command_line, contrib = ("cli", "completion"), ("django", "flask", "redis", "prometheus", "opentelemetry")
    for extra in ("sandbox", *command_line, "speed", *contrib, "test"):
        wanted.update(bounds(extras[extra]))
    pinned = bounds(Path(__file__).with_name("oldest.txt").read_text(encoding="utf-8"))
    assert {name: pinned.get(name) for name in wanted} == wanted


def the_version_is_in_one_place(built: Built) -> None:
    """Check that both files have the version of cometchat/version.py, which the build reads without dependencies."""
    assert built.sdist.name == f"cometchat-{cometchat.__version__}.tar.gz"
    assert built.wheel.name == f"cometchat-{cometchat.__version__}-py3-none-any.whl"


def the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    """Check that every module, py.typed, scripts and templates are in the wheel. Tests, docs and tools are not."""
    names = {name for name in wheel_names(built) if ".dist-info/" not in name}
    assert names == built.modules | built.data
    page = {f"cometchat/sandbox/page/{name}" for name in ("index.html", "style.css", "script.js")}
    assert {"cometchat/py.typed", "cometchat/contrib/web/cometchat-status.js", *page} <= built.data


def the_sdist_holds_what_a_packager_needs(built: Built) -> None:
    """Check that licence, texts, tests and the build's files are in the sdist, without files that a tool has left."""
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    wanted = {"LICENSE", "README.rst", "CHANGELOG.rst", "Makefile", "setup.cfg", "setup.py", "cometchat/py.typed"}
    assert wanted | built.modules | built.data <= names
    assert "tests/packaging/test_distributions.py" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc") or name.startswith(".venv")]
    assert names.isdisjoint(LEFT)
    asked = ["git", "-C", str(ROOT), "ls-files", ".ci", "benchmarks", "docs", "examples", "tests"]
    if shutil.which("git") is not None and (ROOT / ".git").exists():
        tracked = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
        assert tracked and set(tracked) <= names


def the_dependencies_are_three(built: Built) -> None:
    """Check that an installation brings three packages. Only extras bring more."""
    required = {line.replace(" ", "") for line in metadata(built).get_all("Requires-Dist", [])}
    plain = {line for line in required if "extra==" not in line}
    assert plain == {"websocket-client<2,>=1.8", "requests>=2.28", "tenacity>=8.2.3"}
    extras = set(metadata(built).get_all("Provides-Extra", []))
    contrib = {"django", "flask", "redis", "prometheus", "opentelemetry"}
    tools = {"test", "test-all", "soak", "lint", "bench", "docs", "package"}
    assert extras == {"sandbox", "cli", "completion", "socks", "speed"} | tools | contrib


def the_metadata(built: Built) -> None:
    """Check that name, licence, Python versions and the README are in the metadata."""
    fields = metadata(built)
    assert fields["Name"] == "cometchat"
    assert fields["Requires-Python"] == ">=3.9"
    assert "MIT" in (fields["License"] or fields["License-Expression"])
    classifiers = set(fields.get_all("Classifier", []))
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in range(9, 14)} <= classifiers
    assert "Typing :: Typed" in classifiers
    assert fields["Description-Content-Type"].startswith("text/x-rst")
    assert "make demo" in str(fields.get_payload())


def the_entry_points_exist(built: Built) -> None:
    """Check that the script and the pytest plugin name modules of the wheel."""
    parser = configparser.ConfigParser()
    parser.read_string(wheel_text(built, "entry_points.txt"))
    assert dict(parser["console_scripts"]) == {"cometchat": "cometchat.cli:main"}
    plugin = parser["pytest11"]["cometchat"]
    assert plugin.replace(".", "/") + ".py" in wheel_names(built)
