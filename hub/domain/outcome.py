"""What became of a write: all that an answer to whoever wrote needs to say.

An answer is built from this and not from the stream, which may have gone on in the meantime, or
may be written by another process.
"""

from __future__ import annotations

from hub.domain.frozen import frozen
from hub.domain.records import Position

__all__ = ["Outcome"]


@frozen
class Outcome:
    """The state of a stream right after a write to it."""

    position: Position
    """Where it ends for those who write: after all that was written, whether shown or not."""
    closed: bool
    """It takes no more records."""
    content_type: str
    """What its records are."""
    duplicate: bool = False
    """What was asked for had been done before: nothing was written now."""
    number: int | None = None
    """The highest number accepted in its producer's epoch, if a producer wrote."""
