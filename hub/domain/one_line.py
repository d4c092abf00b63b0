"""What people call things: one line of any script."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["LINE_PATTERN", "is_line"]

# Neither a control character, nor a line or paragraph separator, nor what turns the text around it
# (UAX #9 section 2). All else may be in a name: U+3000 is Japan's space, and U+200D joins emoji.
LINE_PATTERN: Final = r"[^\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]+"
_LINE: Final = re.compile(LINE_PATTERN)


def is_line(text: str, most: int) -> bool:
    """Whether this is one line of 1 to ``most`` characters."""
    return len(text) <= most and _LINE.fullmatch(text) is not None
