"""What the readers of all chat formats share: text, tool calls, and how a reply ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

from hub.dialects.reply.error_reports import ErrorReport, error_in_body
from hub.dialects.reply.keepalives import is_padding
from hub.dialects.reply.text_deltas import TextDeltas
from hub.dialects.reply.tool_call_pieces import ToolCalls
from hub.domain.errors import UpstreamError
from hub.domain.events import NOTHING, Event, Finished, Reason, Usage
from hub.domain.json_values import malformed, parse
from hub.framing import SSE, Chunk, Framing, Sniffed

__all__ = ["ObjectReader", "ReplyReader", "expect", "first_of"]

T = TypeVar("T")


class ReplyReader:
    """One reply, read chunk by chunk; a dialect adds `call` and `events`.

    ``_reason`` is the provider's reason for the end, once it has come. Once ``_over`` is set, the
    end has been given, and later chunks are ignored.
    """

    def __init__(self, *, think: bool | str = False) -> None:
        self.usage: Usage | None = None
        self._text = TextDeltas(think=think)
        self._calls = ToolCalls()
        self._reason: str | None = None
        self._over = False

    @property
    def ending(self) -> bool:
        return self._reason is not None

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


class ObjectReader(ReplyReader, ABC):
    """A reply whose chunks are JSON objects; a dialect adds `call` and `_read`."""

    def events(self, chunk: Chunk) -> Iterable[Event]:
        data, name = chunk
        if self._over:
            return ()
        body = data.strip()
        if name == "error":
            return self._fail(error_in_body(body))
        if body[:1] != b"{" or body == b"{}":
            if body == b"[DONE]":
                return self._done()
            if not body or is_padding(body):
                return ()
        try:
            return self._read(parse(body), chunk)
        except UpstreamError:
            if not self._complete:
                raise
            return ()  # broken after the end: nothing of the answer is missing

    @property
    def _complete(self) -> bool:
        """Whether the provider has said that the answer is complete."""
        return self.ending

    @abstractmethod
    def _read(self, held: Any, chunk: Chunk) -> Iterable[Event]:
        """The events of a chunk that holds this value."""

    def _done(self) -> Iterable[Event]:
        """The events of OpenAI's terminator, which servers with several formats send."""
        return ()


def first_of(held: Any, several: str, one: str) -> Mapping[str, Any] | None:
    """The first of several choices with the index 0 or none; the other arguments name them.

    Raises:
        UpstreamError: they are not a list of objects.
    """
    for each in expect(held, list, f"{several} that are not a list"):
        if not expect(each, dict, f"{one} that is not an object").get("index"):
            return cast(dict[str, Any], each)
    return None


def expect(value: Any, kind: type[T], what: str) -> T:
    """The value, which must be of this type.

    Raises:
        UpstreamError: it is not; ``what`` says what the upstream has sent instead.
    """
    if not isinstance(value, kind):
        raise malformed(what)
    return value
