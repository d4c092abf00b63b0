"""How a generation has ended: the terminal event for whatever became of its task."""

from __future__ import annotations

import asyncio
import logging

from hub.domain.errors import HubError, RequestError
from hub.domain.events import Cancelled, Failed, Interrupted, Terminal, encode
from hub.domain.failures import failed
from hub.domain.generation import Generation
from hub.generations.steering import STEERED

__all__ = ["encodable", "ending_of", "stopped"]

log = logging.getLogger("hub.runs")


def ending_of(task: asyncio.Task[Terminal], generation: Generation, *, cancelled: bool) -> Terminal:
    """The end of a generation whose task is done; ``cancelled``: somebody asked for its stop."""
    if task.cancelled():
        return stopped(generation, cancelled=cancelled)
    error = task.exception()
    if error is None:
        return task.result()
    if isinstance(error, HubError):
        return failed(error)
    log.error("generation %s failed", generation.id, exc_info=error)
    return Failed(code="internal", message="the hub itself failed: its log says more")


def stopped(generation: Generation, *, cancelled: bool) -> Terminal:
    """The end of a generation that was stopped from outside."""
    if not cancelled:
        return Interrupted()
    return Cancelled(extra=STEERED) if generation.yields else Cancelled()


def encodable(ending: Terminal) -> Terminal:
    """The terminal event, or a failure in place of one that cannot be encoded."""
    try:
        encode(ending)
    except RequestError:
        said = "the upstream's last event cannot be written as JSON"
        return Failed(code="upstream_malformed", message=said)
    return ending
