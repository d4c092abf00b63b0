"""Why an engine refuses a write, in the same words whichever engine it is."""

from __future__ import annotations

from hub.domain.errors import Conflict, Gone, StreamBusy

__all__ = ["busy", "deleted", "moved", "not_rising", "requeued", "runs"]


def deleted(stream: str) -> Gone:
    """The stream is only kept for its forks."""
    return Gone(f'"{stream}" was deleted; only its forks remain', code="stream_deleted")


def runs(stream: str) -> StreamBusy:
    """The stream cannot be closed now."""
    return StreamBusy(f'a generation runs or waits in "{stream}": cancel it, or wait for its end')


def busy(stream: str) -> StreamBusy:
    """No generation can begin in the stream now."""
    return StreamBusy(
        f'a generation is already running in "{stream}": cancel it or wait for its end'
    )


def moved(stream: str) -> Conflict:
    """The stream does not end where the generation that begins has read to."""
    return Conflict(f'"{stream}" has been written to meanwhile', code="stream_moved")


def requeued(stream: str) -> Conflict:
    """The queue of the stream is not the one that was changed."""
    return Conflict(
        f'what waits in "{stream}" has been changed meanwhile: try again', code="queue_changed"
    )


def not_rising() -> Conflict:
    """The ``Stream-Seq`` of a write."""
    return Conflict("Stream-Seq must be greater than the last", code="stream_seq")
