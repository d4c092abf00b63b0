"""Where an answer can stop so that another prompt goes first: at the end of a sentence or line.

What has come stays in the conversation, and reads as if the model had chosen to end there. The
pieces of a tool call are never cut, and no wait is longer than `STEER_SECONDS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from hub.domain.events import Delta
from hub.domain.generation import Generation, State
from hub.domain.queued_prompt import QueuedPrompt

__all__ = ["STEERED", "STEER_SECONDS", "Answering", "ends_sentence", "make_way"]

STEER_SECONDS: Final = 3.0
"""How long an answer may go on until it is stopped wherever it is."""

STEERED: Final = {"reason": "steered"}
"""What its terminal event says besides."""

_STOPS: Final = (".", "!", "?", "…", ":", ";")
_WIDE_STOPS: Final = ("。", "！", "？", "；", "：")
_QUOTES: Final = "\"')]}»”’*_`"


def ends_sentence(delta: Delta) -> bool:
    """Whether an answer reads as complete after this delta, as far as that can be told.

    Thinking can stop anywhere. ``3.`` may go on as ``3.14``, so a digit before the stop is no end.
    """
    if delta.tool is not None or not delta.text:
        return bool(delta.reasoning)
    if delta.text.endswith("\n"):
        return True
    said = delta.text.rstrip().rstrip(_QUOTES)
    if said.endswith(_WIDE_STOPS):
        return True
    return said.endswith(_STOPS) and not said[:-1][-1:].isdigit()


class Answering(Protocol):
    """A generation that runs.

    ``cancelled``: somebody has asked for it to stop; ``steering`` stops it for a prompt that goes
    first, if it has not found a place to stop by then.
    """

    generation: Generation
    cancelled: bool
    steering: asyncio.TimerHandle | None


def make_way(run: Answering, queue: Sequence[QueuedPrompt], stop: Callable[[], None]) -> None:
    """Stop the answer that runs, if the next prompt does not wait for its end."""
    if not queue or not queue[0].goes_first or run.cancelled:
        return
    steers = queue[0].request.when_busy == "steer"
    if not steers or run.generation.state is not State.STREAMING:
        run.generation.yields = steers
        stop()
    elif run.steering is None:
        run.generation.yields = True
        run.steering = asyncio.get_running_loop().call_later(STEER_SECONDS, stop)
