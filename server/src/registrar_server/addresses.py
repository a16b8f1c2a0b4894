"""Addresses of hosts and of services, as the configuration writes them."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})
ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}")
"""`host:port`."""


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port`; port 0 when it names none."""
    host, _, port = address.rpartition(":")
    return host, int(port) if port.isdecimal() else 0


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches `host:port`."""
    return split_address(address)[0] in LOOPBACK


def is_every_address(address: str) -> bool:
    """Whether its host stands for all addresses of the machine, which is none that a client could call."""
    try:
        return ip_address(split_address(address)[0].strip("[]")).is_unspecified
    except ValueError:
        return False


def scheme_of(url: str) -> str:
    """Its scheme without a driver; empty for what is no address."""
    try:
        return urlsplit(url).scheme.split("+")[0]
    except ValueError:
        return ""


def hide_password(url: str) -> str:
    """An address with *** for its password, whether it stands before the host or in the query."""
    without = re.sub(r"(//[^/@]*?:)[^/]*@", r"\1***@", url)
    return re.sub(r"(?i)([?&][^=&]*(?:password|secret|token|key)[^=&]*=)[^&]*", r"\1***", without)
