"""Ask pip-audit about what is installed beside this Python, and say how much of it was audited.

Usage: audit.py [optional]. Exit code 1 if an advisory is found, or if nothing was audited; the latter is not a failure
with ``optional``. pip-audit itself ends with 0 although its database knew none of the packages.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path


def main(optional: bool) -> int:
    bin_ = Path(sys.executable).parent
    frozen = subprocess.run([bin_ / "pip", "freeze", "-q", "--exclude-editable"], stdout=subprocess.PIPE, check=True)
    with tempfile.TemporaryDirectory() as folder:
        installed = Path(folder) / "installed.txt"
        installed.write_bytes(frozen.stdout)
        options = ["--progress-spinner", "off", "--disable-pip", "--no-deps", "-f", "json", "-r", str(installed)]
        ended = subprocess.run([bin_ / "pip-audit", *options], capture_output=True, text=True)
    try:
        packages = json.loads(ended.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(ended.stdout + ended.stderr, file=sys.stderr)
        packages = []
    audited = [package for package in packages if "vulns" in package]
    found = [f"{each['name']} {each['version']}: {vuln['id']}" for each in audited for vuln in each["vulns"]]
    total = len(frozen.stdout.splitlines())
    print(f"pip-audit: {len(audited)} of {total} packages audited, {len(found)} advisories")
    print("\n".join(found), end="\n" if found else "")
    if not audited:
        print("pip-audit: NOTHING WAS AUDITED: the database of advisories was not reached", file=sys.stderr)
    return 1 if found or not audited and not optional else 0


if __name__ == "__main__":
    sys.exit(main("optional" in sys.argv[1:]))
