"""What people call things, one line of any script, and what users are called."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["LINE_PATTERN", "USER_LENGTH", "is_line", "is_user"]

USER_LENGTH: Final = 256
"""The most characters of a user, a tenant, or the name of a credential (OpenID Connect has 255 for
``sub``)."""

# Neither a control character, nor a line or paragraph separator, nor what turns the text around it
# (UAX #9 section 2). All else may be in a name: U+3000 is Japan's space, and U+200D joins emoji.
LINE_PATTERN: Final = r"[^\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]+"
_LINE: Final = re.compile(LINE_PATTERN)
# What a command line has for bytes that are no text; JSON from clients has none.
_HALF: Final = re.compile("[\ud800-\udfff]")


def is_line(text: str, most: int) -> bool:
    """Whether this is one line of 1 to ``most`` characters."""
    return len(text) <= most and bool(_LINE.fullmatch(text)) and not _HALF.search(text)


def is_user(text: str) -> bool:
    """Whether a user or a tenant may be called this: a line without what cannot be seen.

    Nobody should pass for another, so a name has no character without a form, such as those that
    join others, and of spaces only the usual one.
    """
    return 0 < len(text) <= USER_LENGTH and text.isprintable()
