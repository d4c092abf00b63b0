"""What writes in a stream, for tests that have no generation."""

from __future__ import annotations

from hub.domain.generation import Generation

__all__ = ["Writing"]


class Writing:
    """Writes nothing; see `hub.streams.stream.ActiveWriter`."""

    started = None

    def __init__(self) -> None:
        self.id = Generation("", "", None).id
        self.ended = False

    def end(self) -> None:
        self.ended = True
