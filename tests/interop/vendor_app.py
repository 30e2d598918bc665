"""The app around the vendor's UI Kit. Its packages come from npm into build/interop, where Vite builds it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, List

APP = Path(__file__).resolve().parent / "app"
BUILD = Path(__file__).resolve().parents[2] / "build" / "interop"

#: Command -> the Debian package that has it.
NEEDED = {"node": "nodejs", "npm": "npm", "chromium": "chromium"}


def install_commands() -> None:
    """Install the missing ones of node, npm and Chromium, as root on Debian. On other systems, say what to install.

    :raises SystemExit: a command is missing, and could not be installed.
    """
    missing = [package for command, package in NEEDED.items() if shutil.which(command) is None]
    if not missing:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        sys.exit(f"interop: install {', '.join(missing)}, or run it as root on Debian")
    print(f"Installing {', '.join(missing)} ...", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "-qq", "update"], env=quiet)
    _run(["apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing], env=quiet)


def build_app() -> Path:
    """Build the app, and return the folder that a web server serves.

    An app that is newer than its sources is not built again.

    :raises SystemExit: npm or Vite failed. Their output comes before it.
    """
    served = BUILD / "dist"
    page = served / "index.html"
    changed = max(path.stat().st_mtime for path in APP.iterdir())
    if page.exists() and page.stat().st_mtime > changed:
        return served
    print("Building the app around the UI Kit ...", flush=True)
    BUILD.mkdir(parents=True, exist_ok=True)
    for path in APP.iterdir():
        shutil.copy(path, BUILD)
    _run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"])
    _run([str(BUILD / "node_modules" / ".bin" / "vite"), "build"])
    return served


def _run(command: List[str], **options: Any) -> None:
    done = subprocess.run(command, cwd=BUILD if BUILD.exists() else None, text=True, capture_output=True, **options)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}{done.stderr}interop: {' '.join(command)} failed with {done.returncode}")
