"""What proxies tell of the client in front of them, and which of it can be believed.

Each proxy appends what it saw to the headers that it received. So the values stand in the order in
which the request travelled, and anybody may have written the first ones. They are read from the
right: the peer of the connection vouches for the last value, and if that is a trusted proxy, too,
it vouches for the one before. The first address that is not a trusted proxy is the client. What
stands left of it is the client's own word, and is ignored.

A value that is no address (``unknown`` and ``_hidden`` in RFC 7239 section 6, or garbage) hides the
client; then the proxy that wrote it stands for its clients. Nothing here fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import Final

__all__ = ["Client", "Hops", "client", "forwarded", "parse_node", "x_forwarded"]

MOST: Final = 32
"""Proxies in a row that are looked at."""

MOST_CHARACTERS: Final = 8190
"""As in one line of a request's head."""

NODE_CHARACTERS: Final = 64
"""No address with a port is longer."""

REMEMBERED: Final = 10_000
"""Nodes of which it is remembered what address they are."""

_NODE: Final = re.compile(
    r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9]{1,3}(?:\.[0-9]{1,3}){3}))(?::[0-9]{1,5})?"
    r"|([0-9A-Fa-f:.]{2,45})",
    re.ASCII,
)
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._~-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_PROTOCOLS: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Possessive, or else a line of blanks would take a time that is quadratic in its length.
_PAIR: Final = re.compile(
    rf'[ \t]*+(?:({_WORD})=(?:({_WORD})|"((?:[^"\\]|\\.)*)"))?[ \t]*+(?:([;,])|$)', re.ASCII
)
_ESCAPED: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Client:
    """Who made a request, as far as the hub can know.

    ``address`` is an IP address in its usual spelling, or the word for a peer that has none.
    ``scheme`` is ``http`` or ``https``, ``None`` if no trusted proxy told. ``host`` is what the
    client called the hub, with the port if there is one; ``None`` as for ``scheme``.
    """

    address: str
    scheme: str | None = None
    host: str | None = None
    proxied: bool = False
    """A trusted proxy passed the request on."""


@dataclass(frozen=True, slots=True)
class Hops:
    """The values of a request's headers from right to left, the latest first."""

    nodes: Sequence[str] = ()
    schemes: Sequence[str] = ()
    hosts: Sequence[str] = ()
    aligned: bool = False
    """Each value belongs to the node at its place. Otherwise there may be fewer, if a proxy in
    between passed on a value instead of appending its own."""

    def at(self, values: Sequence[str], place: int) -> str:
        """The value of a node; empty if there is none."""
        if place < len(values):
            return values[place]
        return values[-1] if values and not self.aligned else ""


def client(peer: str, hops: Hops, is_trusted: Callable[[str], bool]) -> Client:
    """The client in front of ``peer``, which is a trusted proxy."""
    address, place = peer, 0
    for at, node in enumerate(hops.nodes):
        found = parse_node(node)
        place = at
        if found is None:
            break
        address = found
        if not is_trusted(found):
            break
    host = hops.at(hops.hosts, place).strip()
    return Client(
        address,
        _PROTOCOLS.get(hops.at(hops.schemes, place).strip().lower()),
        host if _HOST.fullmatch(host) else None,
        proxied=True,
    )


def x_forwarded(nodes: Iterable[str], schemes: Iterable[str], hosts: Iterable[str]) -> Hops:
    """The values of ``X-Forwarded-For``, ``-Proto`` and ``-Host``, a text for each header line."""
    return Hops(_backwards(nodes), _backwards(schemes), _backwards(hosts))


def _backwards(lines: Iterable[str]) -> list[str]:
    text = ",".join(lines)
    return text.rsplit(",", MOST)[::-1][:MOST] if text else []


def forwarded(lines: Iterable[str]) -> Hops:
    """The elements of ``Forwarded`` (RFC 7239 section 4), one text for each header line.

    There are none if the header is malformed: a client may have begun a quoted string that
    swallows what the proxies appended.
    """
    text = ",".join(lines)
    if len(text) > MOST_CHARACTERS:
        return Hops()
    elements: list[dict[str, str]] = [{}]
    at = 0
    while at < len(text):
        # Pairs and elements may be empty (RFC 7239 section 4, RFC 9110 section 5.6.1).
        found = _PAIR.match(text, at)
        if found is None:
            return Hops()
        if found[1] is not None:
            name = found[1].lower()
            if name in elements[-1]:
                return Hops()
            elements[-1][name] = found[2] or _ESCAPED.sub(r"\1", found[3])
        if found[4] == "," and elements[-1]:
            elements.append({})
        at = found.end()
    given = [one for one in reversed(elements) if one][:MOST]
    nodes, schemes, hosts = (
        [one.get(name, "") for one in given] for name in ("for", "proto", "host")
    )
    return Hops(nodes, schemes, hosts, aligned=True)


def parse_node(text: str) -> str | None:
    """The address of a node, which may have a port; ``None`` if it is not one."""
    node = text.strip()
    return None if len(node) > NODE_CHARACTERS else _parse_node(node)


@lru_cache(REMEMBERED)
def _parse_node(node: str) -> str | None:
    found = _NODE.fullmatch(node)
    if found is None:
        return None
    try:
        parsed: IPv4Address | IPv6Address = (
            IPv6Address(found[1]) if found[1] else ip_address(found[2] or found[3])
        )
    except (AddressValueError, ValueError):
        return None
    inner = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(inner or parsed)
