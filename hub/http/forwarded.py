"""Who made a request, and how the client called the hub, also if there are proxies in between.

What proxies tell is believed of trusted ones only, and of everybody else it is as if it were not
there (`hub.domain.forwarded` says which value is the client's). Only the configured family of
headers is read: a proxy that writes the one passes the other on as the client sent it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, Literal

from aiohttp import web

from hub.domain import forwarded
from hub.domain.addresses import Networks, canonical, parse_network
from hub.domain.forwarded import Client

__all__ = [
    "UNIX",
    "UNKNOWN",
    "ProxyHeaders",
    "TrustedProxies",
    "client_address",
    "host",
    "is_forwarded",
    "is_trusted",
    "known_scheme",
    "scheme",
]

ProxyHeaders = Literal["x-forwarded", "forwarded"]
"""``X-Forwarded-For``, ``-Proto`` and ``-Host``, or ``Forwarded`` (RFC 7239)."""

UNIX: Final = "unix"
"""What stands for the address of whoever comes over a Unix socket, and for trust in them."""

UNKNOWN: Final = "unknown"
"""What stands for the address of a peer that disconnected before it was asked for."""

REMEMBERED: Final = 10_000
"""Addresses of which it is remembered whether they are trusted."""

_CLIENT: Final = web.RequestKey("client", Client)

_PROXIED: Final = frozenset({
    "cf-connecting-ip", "cf-connecting-ipv6", "cf-ray", "cdn-loop", "client-ip",
    "fastly-client-ip", "forwarded", "forwarded-for", "true-client-ip", "via", "x-azure-clientip",
    "x-azure-socketip", "x-client-ip", "x-cluster-client-ip", "x-envoy-external-address",
    "x-forwarded", "x-original-host", "x-proxyuser-ip", "x-real-ip",
})  # fmt: skip
"""What proxies add to a request, beside ``X-Forwarded-…`` and ``X-Original-Forwarded-…``."""

_PREFIXES: Final = ("x-forwarded-", "x-original-forwarded-")


class TrustedProxies:
    """Networks whose hosts are believed, and `UNIX` for whoever comes over a Unix socket.

    Raises:
        ValueError: one is not a network; see `hub.domain.addresses.parse_network`.
    """

    def __init__(
        self, trusted: Iterable[str] = (), *, headers: ProxyHeaders = "x-forwarded"
    ) -> None:
        named = list(trusted)
        networks = Networks(parse_network(one) for one in named if one != UNIX)
        self._unix = UNIX in named
        self._hops = _x_forwarded if headers == "x-forwarded" else _forwarded
        self._is_trusted: Callable[[str], bool] = lru_cache(REMEMBERED)(networks.__contains__)

    def identify(self, request: web.BaseRequest) -> Client:
        """Find out who made a request, once; the functions below tell it from then on."""
        client: Client | None = request.get(_CLIENT)
        if client is None:
            peer, unix = _peer(request)
            trusted = self._unix if unix else self._is_trusted(peer)
            if trusted and request.headers:  # of garbage aiohttp makes a request without any
                client = forwarded.client(peer, self._hops(request), self._is_trusted)
            else:
                client = Client(peer)
            request[_CLIENT] = client
        return client


def is_trusted(request: web.BaseRequest) -> bool:
    """Whether a trusted proxy passed the request on; only of one may headers be believed."""
    client: Client | None = request.get(_CLIENT)
    return client is not None and client.proxied


def client_address(request: web.BaseRequest) -> str:
    """The IP address of the client in its usual spelling; else `UNIX` or `UNKNOWN`."""
    client: Client | None = request.get(_CLIENT)
    return _peer(request)[0] if client is None else client.address


def known_scheme(request: web.BaseRequest) -> str | None:
    """The scheme that the client used, ``http`` or ``https``; ``None`` if it is not certain.

    A proxy that is not trusted, or does not tell, may have ended the client's TLS.
    """
    client: Client | None = request.get(_CLIENT)
    if client is not None and client.scheme is not None:
        return client.scheme
    return "https" if request.scheme == "https" else None


def scheme(request: web.BaseRequest) -> str:
    """The scheme that the client used, ``http`` or ``https``, by all that is known."""
    return known_scheme(request) or "http"


def host(request: web.BaseRequest) -> str:
    """What the client called the hub, with the port if there is one; empty if it did not."""
    client: Client | None = request.get(_CLIENT)
    told = None if client is None else client.host
    return request.headers.get("Host", "") if told is None else told


def is_forwarded(request: web.BaseRequest) -> bool:
    """Whether a request says that it came through a proxy, trusted or not."""
    return any(
        name.lower() in _PROXIED or name.lower().startswith(_PREFIXES) for name in request.headers
    )


def _peer(request: web.BaseRequest) -> tuple[str, bool]:
    """The address of the other end of the connection, and whether that is a Unix socket's.

    A Unix socket may be bound to a path that looks like an address, so the own end decides.
    """
    transport = request.transport
    own = None if transport is None else transport.get_extra_info("sockname")
    if isinstance(own, tuple):
        return _canonical(request.remote or UNKNOWN), False
    return (UNKNOWN, False) if own is None else (UNIX, True)


_canonical = lru_cache(REMEMBERED)(canonical)


def _x_forwarded(request: web.BaseRequest) -> forwarded.Hops:
    lines = request.headers.getall
    return forwarded.x_forwarded(
        lines("X-Forwarded-For", ()), lines("X-Forwarded-Proto", ()), lines("X-Forwarded-Host", ())
    )


def _forwarded(request: web.BaseRequest) -> forwarded.Hops:
    return forwarded.forwarded(request.headers.getall("Forwarded", ()))
