"""Check the host that a request names against the hub's names (RFC 9110 section 7.2).

The owner of a name can first serve a page under it and then make it resolve to 127.0.0.1 (DNS
rebinding). To the browser that page and the hub have the same origin: the page may read every
response, and its ``Origin`` equals ``Host``. Only ``Host`` gives it away. So a request that arrives
at a loopback address must name a loopback address, too, or a configured name. At any other address
every name is accepted, unless names are configured; then only these are, and the address itself,
which probes use. A trusted proxy tells which name its client used. No browser can reach a Unix
socket or omit ``Host``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from aiohttp import web

from hub.domain.addresses import is_local, is_loopback
from hub.domain.errors import Forbidden
from hub.http.forwarded import host as named_host

__all__ = ["Hosts"]

OWN_ADDRESSES: Final = 256
"""Addresses of this machine of which it is remembered whether they are loopback addresses."""

_HOST: Final = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\]]+))(?::[0-9]*)?")


class Hosts:
    """The configured names; ``*`` allows any."""

    def __init__(self, named: Iterable[str] = ()) -> None:
        self._named = frozenset(_plain(name) for name in named)

    def check(self, request: web.Request) -> None:
        """Check a request.

        Raises:
            Forbidden: it does not name the hub.
        """
        host = named_host(request)
        here = _address(request)
        if not host or "*" in self._named or not (self._named or _is_loopback(here)):
            return
        found = _HOST.fullmatch(host)
        name = _plain(found[1] or found[2]) if found else ""
        if name and (name in self._named or name == here or is_local(name)):
            return
        shown = (name or host)[:200]
        message = f'"{shown}" is not a name of this hub: to allow it, add it to server.hosts'
        raise Forbidden(message, code="host_not_allowed")


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


_is_loopback = lru_cache(OWN_ADDRESSES)(is_loopback)


def _address(request: web.Request) -> str:
    """The address at which a request arrived; empty for a Unix socket."""
    place = None if request.transport is None else request.transport.get_extra_info("sockname")
    return str(place[0]) if isinstance(place, tuple) else ""
