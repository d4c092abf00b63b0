"""By which names the hub may be called: the `Host` check (RFC 9110 section 7.2).

A page can come from a name whose owner then lets it lead to 127.0.0.1 (DNS rebinding). For the
browser that page and the hub are of one origin: it may read every answer, and its `Origin`
equals `Host`. Only `Host` tells. So what arrives at a loopback address must be addressed to one
too, or to a name that the configuration has. Elsewhere any name will do, unless the configuration
has some; then these hold, and the address itself, which probes use. No browser reaches a Unix
socket, nor leaves `Host` out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from aiohttp import web

from hub.domain.errors import Forbidden

__all__ = ["Hosts"]

_HOST: Final = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\]]+))(?::[0-9]*)?")


class Hosts:
    """The names from the configuration; ``*`` is any."""

    def __init__(self, named: Iterable[str] = ()) -> None:
        self._named = frozenset(_plain(name) for name in named)

    def check(self, request: web.Request) -> None:
        """Let a request pass or not.

        Raises:
            Forbidden: it is addressed to a name that is not the hub's.
        """
        host = request.headers.get("Host", "")
        here = _address(request)
        if not host or "*" in self._named or not (self._named or _is_loopback(here)):
            return
        found = _HOST.fullmatch(host)
        name = _plain(found[1] or found[2]) if found else ""
        if name and (name in self._named or name == here or _is_local(name)):
            return
        shown = (name or host)[:200]
        said = f'this hub is not called "{shown}": if it should be, add that to server.hosts'
        raise Forbidden(said, code="host_not_allowed")


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


def _is_local(name: str) -> bool:
    """Whether a name leads to this machine whatever a name server says (RFC 6761 section 6.3)."""
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


def _address(request: web.Request) -> str:
    """Where it has arrived; nothing for a Unix socket."""
    place = None if request.transport is None else request.transport.get_extra_info("sockname")
    return str(place[0]) if isinstance(place, tuple) else ""


def _is_loopback(address: str) -> bool:
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:
        return False
    # A socket for both kinds has ::ffff:127.0.0.1.
    inner = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return (inner or parsed).is_loopback
