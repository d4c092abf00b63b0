"""What the readers of all chat formats share: text, tool calls, and how a reply ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hub.dialects.reply.error_reports import ErrorReport
from hub.dialects.reply.text_deltas import TextDeltas
from hub.dialects.reply.tool_call_pieces import ToolCalls
from hub.domain.events import NOTHING, Event, Finished, Reason, Usage
from hub.framing import SSE, Framing, Sniffed

__all__ = ["ReplyReader"]


class ReplyReader:
    """One reply, read chunk by chunk; a dialect adds `call` and `events` to it.

    Once ``_over`` is set, the reply has its end, and later chunks are ignored.
    """

    def __init__(self, *, think: bool | str = False) -> None:
        self.usage: Usage | None = None
        self._text = TextDeltas(think=think)
        self._calls = ToolCalls()
        self._over = False

    @property
    def ending(self) -> bool:
        return False

    def framing(self, limit: int) -> Framing:
        return Sniffed(SSE(limit), limit)

    def close(self, *, clean: bool) -> Iterable[Event]:
        if self._over:
            return ()
        self._over = True
        return self._rest()

    def _rest(self, *, complete: bool = False) -> list[Event]:
        """The text and the tool calls that were held back; ``complete`` if nothing was cut off."""
        return [*self._text.rest(), *self._calls.end(complete=complete)]

    def _fail(self, report: ErrorReport) -> list[Event]:
        """The end of a reply whose provider reports an error."""
        self._over = True
        return [*self._rest(), report.failure(self.usage)]

    def _finish(
        self, reason: Reason, *, beside: Iterable[Event] = (), extra: Mapping[str, Any] = NOTHING
    ) -> list[Event]:
        """The end of a whole reply, after the events ``beside`` its text and calls.

        Many servers give the reason "stop" after tool calls, too.
        """
        if reason == "stop" and self._calls:
            reason = "tool"
        rest = self._rest(complete=reason != "length")
        self._over = True
        end = Finished(reason=reason, usage=self.usage, extra=extra)
        return [*rest, *beside, self._calls.ended(end)]
