"""Paths that a browser may be sent to because a request asks for it."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["local_path"]

LENGTH: Final = 500

_LOCAL: Final = re.compile(r"/(?![/\\])[A-Za-z0-9._~!$&'()*+,;=:@%/?#-]*", re.ASCII)


def local_path(text: str) -> str:
    r"""A path of this host; empty if ``text`` is none, or leads elsewhere.

    Browsers take ``//host`` and ``/\host`` for addresses of another host.
    """
    return text if len(text) <= LENGTH and _LOCAL.fullmatch(text) else ""
