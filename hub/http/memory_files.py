"""Serve files from memory, compressed once and revalidated by their tag."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from typing import Self

from aiohttp import hdrs, web

__all__ = ["MemoryFile"]


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """A file; ``packed`` is its gzip form, if it has one, and ``tag`` identifies its content."""

    content_type: str
    whole: bytes
    packed: bytes | None
    tag: str

    @classmethod
    def of(cls, content_type: str, whole: bytes, *, pack: bool = True) -> Self:
        """A file; text should be packed, unlike types that gzip does not make smaller."""
        return cls(
            f"{content_type}; charset=utf-8" if pack else content_type,
            whole,
            gzip.compress(whole, mtime=0) if pack else None,
            hashlib.sha256(whole).hexdigest()[:32],
        )

    def response(self, request: web.Request) -> web.Response:
        """The file, compressed if the client accepts that, or 304."""
        packed = self.packed if _takes_gzip(request) else None
        response = web.Response(
            body=self.whole if packed is None else packed,
            headers={
                "Content-Type": self.content_type,
                "Cache-Control": "no-cache",
                "Vary": "Accept-Encoding",
            },
        )
        # A strong tag, so each encoding has its own (RFC 9110 section 8.8.3.3).
        response.etag = tag = self.tag if packed is None else f"{self.tag}-gzip"
        if packed is not None:
            response.headers["Content-Encoding"] = "gzip"
        if any(known.value in ("*", tag) for known in request.if_none_match or ()):
            response.set_status(304)
            response.body = None
        return response


def _takes_gzip(request: web.Request) -> bool:
    """Whether the client accepts gzip (RFC 9110 section 12.5.3)."""
    for part in request.headers.get(hdrs.ACCEPT_ENCODING, "").lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() == "gzip":
            return not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight)
    return False
