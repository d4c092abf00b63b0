"""Addresses as they may be logged: without what lets somebody in."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

__all__ = ["logged_path"]

_SECRET: Final = re.compile(
    r"(?i)([/\\]s[/\\.]+(?=[^/\\?#]{20})|\bs[lt]_(?=[^/\\?#]{43}))[^/\\?#]+"
)
"""That of a share link or a ticket, also where its address is misspelled: it is valid elsewhere."""
_LOGIN: Final = re.compile(r"\b(s[a-z]_[a-z0-9]{12}_)[A-Za-z0-9_-]{43,}")
"""A sign-in link, of which the id is shown; `hub.http.log_format` finds it where it is plain."""
_PLAIN: Final = "/*:@-._~!$&'()+,;="


def logged_path(address: str) -> str:
    """A path or a URL without its query, which may have a ticket, and without the secret of a
    share link, a ticket or a sign-in link, however these are spelled.
    """
    path = address.partition("?")[0]
    if "%" in path:
        # The router decodes it as well: "/%73/" is "/s/".
        decoded = unquote(path)
        shown = _without_secrets(decoded)
        return path if shown == decoded else quote(shown, safe=_PLAIN)
    return _without_secrets(path)


def _without_secrets(path: str) -> str:
    return _LOGIN.sub(r"\1***", _SECRET.sub(r"\1***", path))
