"""Addresses of machines: which of them lead to this one, and which are in a network."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

__all__ = ["Networks", "canonical", "is_local", "is_loopback", "network", "parse_network"]

Network = IPv4Network | IPv6Network

MAPPED_BITS: Final = 96
"""The bits before an IPv4 address that is written as one of IPv6 (RFC 4291 section 2.5.5.2)."""


def is_loopback(address: str) -> bool:
    """Whether this is an address that only this machine can reach."""
    parsed = _parsed(address)
    return parsed is not None and parsed.is_loopback


def is_local(name: str) -> bool:
    """Whether a host name leads to this machine whatever a name server says.

    ``localhost`` and all below it (RFC 6761 section 6.3), and loopback addresses.
    """
    plain = name.lower().removesuffix(".")
    return plain == "localhost" or plain.endswith(".localhost") or is_loopback(plain)


def canonical(address: str) -> str:
    """An address in its usual spelling, an IPv4 address as such; other text as it is."""
    parsed = _parsed(address)
    return address if parsed is None else str(parsed)


def network(address: str) -> str:
    """What stands for whoever has an address: of IPv6 the /64, as one customer has all of it."""
    parsed = _parsed(address)
    if parsed is None:
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    return str(IPv6Network((int(parsed) >> 64 << 64, 64)))


def parse_network(text: str) -> Network:
    """A network such as ``10.0.0.0/8``; an address is a network of one.

    Raises:
        ValueError: it is neither; the message says what to write.
    """
    try:
        found = ip_network(text)
    except ValueError:
        raise ValueError(_meant(text)) from None
    if isinstance(found, IPv6Network) and found.prefixlen >= MAPPED_BITS:
        mapped = found.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((int(mapped), found.prefixlen - MAPPED_BITS))
    return found


def _meant(text: str) -> str:
    try:
        return f"has bits set beyond its prefix: {ip_network(text, strict=False)} is meant"
    except ValueError:
        return 'must be an address such as "192.0.2.7" or a network such as "10.0.0.0/8"'


class Networks:
    """Some networks of both kinds."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = tuple(networks)

    def __contains__(self, address: str) -> bool:
        """Whether an address is in one of them; other text never is."""
        parsed = _parsed(address)
        return parsed is not None and any(parsed in one for one in self._networks)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    """An address; that of IPv4 which a socket for both kinds shows as ``::ffff:127.0.0.1``."""
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:
        return None
    inner = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return inner or parsed
