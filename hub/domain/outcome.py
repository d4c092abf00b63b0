"""The result of a write, with everything that the response to the writer needs.

Responses are built from it and not from the stream, which may have changed since, or which another
process may write.
"""

from __future__ import annotations

from hub.domain.frozen import frozen
from hub.domain.records import Position

__all__ = ["Outcome"]


@frozen
class Outcome:
    """The state of a stream right after a write to it."""

    position: Position
    """The end for writers: after everything written, whether readers see it yet or not."""
    closed: bool
    content_type: str
    duplicate: bool = False
    """The write had been done before; nothing was written now."""
    number: int | None = None
    """For a producer's write: the highest number accepted in the producer's epoch."""
