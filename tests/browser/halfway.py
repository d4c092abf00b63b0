"""An answer that stands still in the middle until the test lets it go on.

So that what a test does in mid-answer is done there, however slow the machine is.
"""

from __future__ import annotations

from typing import Any, Final

from tests.browser.chat import words
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer, Gate, openai_sse

__all__ = ["WHOLE", "Halfway", "far"]

WHOLE: Final = words(120)
_HALF: Final = 60


def far(upstream: Scripted, **more: Any) -> dict[str, Any]:
    """The tables of a hub that asks this upstream."""
    table = {"dialect": "openai-chat", "url": upstream.url, "model": "scripted", "retries": 0}
    return {"default_upstream": "far", "upstreams": {"far": {**table, **more}}}


class Halfway:
    """One answer of an upstream: half of ``WHOLE``, and the rest after ``go_on()``."""

    def __init__(self, upstream: Scripted) -> None:
        self._gate = Gate()
        said = openai_sse(*(f"{word} " for word in WHOLE.split()))
        upstream.answers(Answer(*said[: _HALF + 1], self._gate, *said[_HALF + 1 :]))

    def go_on(self) -> None:
        self._gate.open()
