"""Fail when a file of the repository names a package registry's host or a path of somebody's machine.

A lock or a script that names one works on one network only; which index is used is each user's configuration.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# One letter stands in brackets, so that this file passes its own check.
RULES = {
    "names a package registry's host": re.compile(
        r"py[p]i\.org|python[h]osted\.org|registry\.np[m]js|registry\.yarn[p]kg|(?:proxy|sum)\.gola[n]g\.org|gopro[x]y\.io"
        r"|crate[s]\.io|rubygem[s]\.org|repo1?\.mave[n]|mave[n]\.org|(?:deb|security)\.debia[n]\.org|anacond[a]\.org"
        r"|(?:gh[c]r|qua[y]|gc[r]|docke[r])\.io/|jfro[g]|artifactor[y]|nexu[s]\.",
        re.IGNORECASE,
    ),
    "sets an index": re.compile(
        r"--(?:extra-)?index-ur[l]|UV_(?:DEFAULT_)?INDE[X]\s*=|PIP_(?:EXTRA_)?INDEX_UR[L]|GOPROX[Y]\s*="
    ),
    "names a path of a machine": re.compile(
        r"(?<![\w.$}~-])/(?:wor[k]|roo[t]/(?:\.\w+|go)|hom[e]/\w+|User[s]/\w+|tmp/tr[y])/"
    ),
}


def main() -> int:
    complaints = [complaint for path in repository_files() for complaint in check(path)]
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


def repository_files() -> list[Path]:
    """Files that git tracks, or would if they were added."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [path for name in sorted(filter(None, listed.split("\0"))) if (path := ROOT / name).is_file()]


def check(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return []
    name = path.relative_to(ROOT)
    return [
        f"{name}:{number}: {rule}: {found.group()}"
        for number, line in enumerate(lines, start=1)
        for rule, pattern in RULES.items()
        if (found := pattern.search(line))
    ]


if __name__ == "__main__":
    sys.exit(main())
