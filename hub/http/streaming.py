"""Headers that keep proxies and browsers from holding back a streaming response."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

__all__ = ["SERVER_NAME", "attachment", "streaming_headers"]

SERVER_NAME: Final = "streamhub"
"""The ``Server`` of every response. aiohttp would reveal its version and Python's."""

_NAMED: Final = frozenset({"text/plain", "text/event-stream", "application/x-ndjson"})
"""Types that are sent with a charset, which is always UTF-8.

Without it browsers read plain text as windows-1252 (WHATWG Encoding), and ``requests`` reads any
text as Latin-1 and NDJSON as bytes. JSON has no such parameter (RFC 8259 section 11).
"""


def streaming_headers(content_type: str, *, charset: bool = True) -> dict[str, str]:
    """The headers of a streaming response, including ``Content-Type``.

    Caches may not store it. Intermediaries may not transform it, which keeps compressing proxies
    from holding it back (RFC 9111 section 5.2.2.6), and nginx may not buffer it. Browsers may not
    guess another type for what a model wrote (WHATWG Fetch, ``X-Content-Type-Options``).

    ``charset=False`` omits the charset, as the Durable Streams Protocol requires for its
    server-sent events.
    """
    if charset and content_type in _NAMED:
        content_type = f"{content_type}; charset=utf-8"
    return {
        "Content-Type": content_type,
        "Cache-Control": "no-store, no-transform",
        "X-Accel-Buffering": "no",
        "X-Content-Type-Options": "nosniff",
        # The URL may have a ticket.
        "Referrer-Policy": "no-referrer",
    }


def attachment(name: str) -> str:
    """A ``Content-Disposition`` that makes a browser save a file under this name.

    Clients without ``filename*`` get the name in ASCII, with other characters replaced (RFC 6266
    section 4.3, RFC 8187).
    """
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in name)
    value = f'attachment; filename="{plain}"'
    return value if plain == name else f"{value}; filename*=UTF-8''{quote(name, safe='')}"
