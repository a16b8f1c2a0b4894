"""Install a lock into the environment that runs this script.

    .venv/bin/python tools/install.py requirements/serve.txt [--editable clients/python]...

uv installs, for it takes a fifth of pip's time (docs/decisions/0001-locks-and-installs.md). pip brings uv, from the
index that the user has configured for pip, and uv is pointed at the same one. Where uv fails all the same, pip does
the work. Both check every file against the hashes in the lock.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIP = (sys.executable, "-m", "pip")

# What pip calls a setting → the variable that uv reads. A variable that the user has set wins.
UV_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "proxy": "ALL_PROXY",
    "cert": "SSL_CERT_FILE",
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Install a lock into the environment that runs this script.")
    parser.add_argument("lock", type=Path)
    parser.add_argument("--editable", action="append", default=[], metavar="DIRECTORY")
    arguments = parser.parse_args()
    # Relative: the lock and what pip prints then name no path of this machine.
    os.chdir(ROOT)
    if arguments.lock.resolve().is_relative_to(ROOT):
        arguments.lock = arguments.lock.resolve().relative_to(ROOT)

    environment = uv_environment()
    if install_uv() and all(run([*uv_pip(), *step], environment) for step in steps(arguments)):
        return 0
    print(f"uv could not install {arguments.lock}; trying pip, which takes longer", file=sys.stderr, flush=True)
    pip_install = [*PIP, "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    return 0 if all(run([*pip_install, *step], None) for step in steps(arguments)) else 1


def steps(arguments: argparse.Namespace) -> list[list[str]]:
    """Arguments after `install` that pip and uv share: the lock is complete, so nothing is left to resolve."""
    locked = ["--no-deps", "--require-hashes", "-r", str(arguments.lock)]
    editables = [argument for directory in arguments.editable for argument in ("-e", directory)]
    return [locked, ["--no-deps", "--no-build-isolation", *editables]] if editables else [locked]


def install_uv() -> bool:
    lock = ROOT / "requirements" / "uv.txt"
    return run(
        [*PIP, "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "-r", str(lock)],
        None,
    )


def uv_pip() -> list[str]:
    return [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable]


def uv_environment() -> dict[str, str]:
    """This process's environment, with what pip is configured to use said in uv's words."""
    environment = dict(os.environ)
    for name, value in pip_settings().items():
        if variable := UV_VARIABLES.get(name):
            environment.setdefault(variable, ",".join(value.split()) if name == "find-links" else value)
    # As pip does: look at every index. What may come from where is decided by the hashes.
    environment.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return environment


def pip_settings() -> dict[str, str]:
    """pip's settings by name, as `pip install` would see them: later lines and the environment win."""
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=False).stdout
    by_section: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listed.splitlines():
        key, _, quoted = line.partition("=")
        section, _, name = key.partition(".")
        if section in by_section and quoted:
            by_section[section][name] = str(ast.literal_eval(quoted))
    return {**by_section["global"], **by_section["install"], **by_section[":env:"]}


def run(command: list[str], environment: dict[str, str] | None) -> bool:
    return subprocess.run(command, env=environment, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
