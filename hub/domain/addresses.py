"""Addresses of machines: which of them lead to this one."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network, ip_address

__all__ = ["is_local", "is_loopback", "network"]


def is_loopback(address: str) -> bool:
    """Whether this is an address that only this machine can reach."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    # A socket for both kinds shows IPv4 as ::ffff:127.0.0.1.
    inner = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return (inner or parsed).is_loopback


def is_local(name: str) -> bool:
    """Whether a host name leads to this machine whatever a name server says.

    ``localhost`` and all below it (RFC 6761 section 6.3), and loopback addresses.
    """
    plain = name.lower().removesuffix(".")
    return plain == "localhost" or plain.endswith(".localhost") or is_loopback(plain)


def network(address: str) -> str:
    """What stands for whoever has an address: of IPv6 the /64, as one customer has all of it."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:  # a socket for both kinds shows IPv4 so
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed) >> 64 << 64, 64)))
