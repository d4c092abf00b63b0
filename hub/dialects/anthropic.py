"""Anthropic's Messages API, as Anthropic and the servers that copy it stream it.

Named events: ``message_start``, then for each block of content ``content_block_start``,
``content_block_delta`` and ``content_block_stop``, then ``message_delta`` with the reason
of the end, and ``message_stop``, which alone ends a reply. The names also stand in the
data as ``type``, and that counts. Taken as they come:

- blocks belong together by ``index``, and may be open side by side or never be closed;
- a tool's input comes in pieces, or whole with the start of its block, or as ``{}``, which
  after no pieces at all means no arguments;
- tools that Anthropic itself runs (``server_tool_use``, ``mcp_tool_use`` and their results)
  are none of the client's calls; signatures, citations, summaries of what was forgotten,
  ``ping``, and whatever comes to be sent one day, say nothing here;
- ``message_start`` may come twice for one message, but not a message twice;
- usage is cumulative and stands in two places, a field said later being the right one.
  ``input_tokens`` leaves out what was read from and written to the cache, so they are added;
- a whole message comes although a stream was asked for; a ``message_start`` may have
  content, too;
- errors come as an event or as the whole body, and always end a reply.

Options: ``max_tokens`` (8192): for a prompt that sets none. ``thinking``: how
``reasoning_effort`` is asked for, ``"adaptive"`` or ``"budget"``; if left out, the model's
name tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hub.anthropic_request import request_body
from hub.complaint import Complaint, announced, complaint_in
from hub.dialects import Call, KeyHeader
from hub.errors import UpstreamError
from hub.events import NOTHING, Delta, Event, Finished, Reason, ToolCall, Usage
from hub.framing import SSE, Chunk, Framing, Sniffed
from hub.jsonvalue import as_count, as_object, as_text, malformed, parse
from hub.options import Options
from hub.prompt import Prompt
from hub.surrogates import Surrogates, whole

__all__ = ["Anthropic"]

VERSION: Final = "2023-06-01"
KEY: Final = KeyHeader("x-api-key")
# A reply with more blocks open at once, or more calls, is not one.
MOST: Final = 1_000

_REASONS: Final[Mapping[str, Reason]] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool",
    "refusal": "filter",
    # OpenAI's words, of servers that translate the rest.
    "length": "length",
    "tool_calls": "tool",
    "content_filter": "filter",
}
_READ, _WRITTEN = "cache_read_input_tokens", "cache_creation_input_tokens"
_ASKED: Final = "input_tokens"
_COUNTED: Final = (_ASKED, "output_tokens", _READ, _WRITTEN)


@dataclass(slots=True)
class _Tool:
    """A call whose input is coming; ``whole`` is what its block began with."""

    number: int
    whole: Any
    begun: bool = False
    arguments: Surrogates = field(default_factory=Surrogates)


class Anthropic:
    """Reads one reply of the Messages API."""

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        chosen = Options("anthropic", options, ("max_tokens", "thinking"))
        self._max_tokens = int(chosen.number("max_tokens", 8192))
        self._thinking = chosen.choice("thinking", ("adaptive", "budget"))
        self._text = Surrogates()
        self._reasoning = Surrogates()
        self._tools: dict[int, _Tool] = {}
        self._calls = 0
        self._last = -1
        self._begun = False
        self._message_id: Any = None
        # The first index that may come now that a message was begun again.
        self._beyond = 0
        self._counts: dict[str, int] = {}
        self.usage: Usage | None = None
        self._reason: str | None = None
        self._over = False

    @property
    def ending(self) -> bool:
        return self._reason is not None

    def call(self, prompt: Prompt) -> Call:
        body = request_body(prompt, max_tokens=self._max_tokens, thinking=self._thinking)
        headers = {"Accept": "text/event-stream", "anthropic-version": VERSION}
        return Call("/messages", body, headers, KEY)

    def framing(self, limit: int) -> Framing:
        return Sniffed(SSE(limit), limit)

    def events(self, chunk: Chunk) -> Iterable[Event]:
        body, name = chunk.data.strip(), chunk.event
        if self._over:
            return ()
        if name == "error":
            return self._fail(announced(body))
        if not body:
            return ()
        if body == b"[DONE]":  # of servers that speak several formats
            return self._finish() if self._begun or self._reason is not None else ()
        held = parse(body)
        kind = (held.get("type") or name) if isinstance(held, dict) else None
        read = _KINDS.get(kind) if isinstance(kind, str) else None
        if read is None or "error" in held:
            complaint = complaint_in(held)
            if complaint is not None:
                return self._fail(complaint)
            if not isinstance(held, dict):
                raise malformed("an event that is not an object")
        found: list[Event] = []
        if read is not None:
            read(self, held, found)
        return found

    def close(self, *, clean: bool) -> Iterable[Event]:
        if self._over:
            return ()
        self._over = True
        return self._rest()

    def _message_start(self, held: Mapping[str, Any], found: list[Event]) -> None:
        message = as_object(held.get("message"))
        again = message.get("id")
        if self._begun:
            if not again or again != self._message_id:
                raise _spliced()
            self._beyond = self._last + 1
            return
        self._message_id = again
        self._message(message, found)

    def _message(self, held: Mapping[str, Any], found: list[Event]) -> None:
        self._count(held.get("usage"))
        self._because(held.get("stop_reason"))
        content = held.get("content") or []
        if not isinstance(content, list):
            raise malformed("content that is not a list of blocks")
        for place, block in enumerate(content):
            self._open(place, block, found)
            self._shut(place, found)

    def _whole_message(self, held: Mapping[str, Any], found: list[Event]) -> None:
        self._message(held, found)
        found += self._finish()

    def _block_start(self, held: Mapping[str, Any], found: list[Event]) -> None:
        index = held.get("index")
        self._last = index if type(index) is int else self._last + 1
        if self._last < self._beyond:
            raise _spliced()
        self._open(self._last, held.get("content_block"), found)

    def _open(self, index: int, block: Any, found: list[Event]) -> None:
        if not isinstance(block, dict):
            raise malformed("a block that is not an object")
        self._begun = True
        self._shut(index, found)
        kind = block.get("type")
        if kind == "text":
            self._say(block.get("text"), found)
        elif kind == "thinking":
            self._think(block.get("thinking"), found)
        elif kind == "tool_use":
            name, key = block.get("name"), block.get("id")
            if not isinstance(name, str) or not name:
                raise malformed("a tool call without a name")
            if self._calls >= MOST:
                raise malformed(f"more than {MOST} tool calls in one reply")
            self._tools[index] = _Tool(self._calls, block.get("input"))
            key = whole(key) if isinstance(key, str) and key else None
            found.append(Delta(tool=ToolCall(self._calls, key, whole(name))))
            self._calls += 1

    def _block_delta(self, held: Mapping[str, Any], found: list[Event]) -> None:
        delta = as_object(held.get("delta"))
        kind = delta.get("type")
        self._begun = True
        if kind == "text_delta":
            self._say(delta.get("text"), found)
        elif kind == "thinking_delta":
            self._think(delta.get("thinking"), found)
        elif kind == "input_json_delta":
            tool = self._tools.get(self._index(held))
            if tool is not None:
                self._argue(tool, delta.get("partial_json"), found)

    def _block_stop(self, held: Mapping[str, Any], found: list[Event]) -> None:
        self._shut(self._index(held), found)

    def _shut(self, index: int, found: list[Event]) -> None:
        """The block has ended: a tool without pieces of input had it whole from the start."""
        tool = self._tools.pop(index, None)
        if tool is None:
            return
        left = tool.arguments.rest() if tool.begun else _arguments(tool.whole or {})
        if left:
            found.append(Delta(tool=ToolCall(tool.number, arguments=left)))

    def _message_delta(self, held: Mapping[str, Any], found: list[Event]) -> None:
        self._because(as_object(held.get("delta")).get("stop_reason"))
        self._count(held.get("usage"))

    def _message_stop(self, held: Mapping[str, Any], found: list[Event]) -> None:
        found += self._finish()

    def _error(self, held: Mapping[str, Any], found: list[Event]) -> None:
        found += self._fail(complaint_in(held) or Complaint(""))

    def _index(self, held: Mapping[str, Any]) -> int:
        index = held.get("index")
        return index if type(index) is int else self._last

    def _say(self, text: Any, found: list[Event]) -> None:
        if text is not None and not isinstance(text, str):
            raise malformed("text that is not a string")
        if text and (text := self._text.join(text)):
            found.append(Delta(text=text))

    def _think(self, thought: Any, found: list[Event]) -> None:
        if isinstance(thought, str) and (thought := self._reasoning.join(thought)):
            found.append(Delta(reasoning=thought))

    def _argue(self, tool: _Tool, piece: Any, found: list[Event]) -> None:
        text = _arguments(piece) if piece is not None else ""
        if not text:
            return
        tool.begun = True
        if text := tool.arguments.join(text):
            found.append(Delta(tool=ToolCall(tool.number, arguments=text)))

    def _because(self, reason: Any) -> None:
        if isinstance(reason, str) and reason:
            self._reason = reason

    def _count(self, held: Any) -> None:
        """Take in what is said of the counts; only noughts are a server that does not count.

        A nought after a count of the prompt means that there was no more to say (SGLang); of
        the cache it counts, for the prompt may have been summed up in between.
        """
        said = as_object(held)
        counts = self._counts
        for name in _COUNTED:
            if (count := as_count(said.get(name))) is not None:
                counts[name] = count or (counts.get(name, 0) if name == _ASKED else 0)
        details = as_object(said.get("output_tokens_details"))
        if (count := as_count(details.get("thinking_tokens"))) is not None:
            counts["thinking_tokens"] = count
        prompt = None
        if "input_tokens" in counts:
            prompt = counts["input_tokens"] + counts.get(_READ, 0) + counts.get(_WRITTEN, 0)
        if prompt or counts.get("output_tokens"):
            self.usage = Usage(
                prompt_tokens=prompt,
                completion_tokens=counts.get("output_tokens"),
                reasoning_tokens=counts.get("thinking_tokens"),
                cached_tokens=counts.get(_READ),
            )

    def _finish(self) -> list[Event]:
        reason = _REASONS.get(self._reason or "", "stop")
        if self._calls and self._reason in (None, "end_turn", "stop"):
            reason = "tool"  # not said by every server that copies
        found: list[Event] = []
        for index in list(self._tools):
            self._shut(index, found)
        found += self._rest()
        self._over = True
        return [*found, Finished(reason=reason, usage=self.usage)]

    def _fail(self, complaint: Complaint) -> list[Event]:
        self._over = True
        return [*self._rest(), complaint.failure(self.usage)]

    def _rest(self) -> list[Event]:
        """What was held back, in case its other half came."""
        found: list[Event] = []
        if text := self._reasoning.rest():
            found.append(Delta(reasoning=text))
        if text := self._text.rest():
            found.append(Delta(text=text))
        left = ((tool.number, tool.arguments.rest()) for tool in self._tools.values())
        found += [Delta(tool=ToolCall(number, arguments=text)) for number, text in left if text]
        return found


_Read = Callable[[Anthropic, Mapping[str, Any], list[Event]], None]
_KINDS: Final[Mapping[str, _Read]] = {
    "message_start": Anthropic._message_start,
    "content_block_start": Anthropic._block_start,
    "content_block_delta": Anthropic._block_delta,
    "content_block_stop": Anthropic._block_stop,
    "message_delta": Anthropic._message_delta,
    "message_stop": Anthropic._message_stop,
    "message": Anthropic._whole_message,
    "error": Anthropic._error,
}


def _spliced() -> UpstreamError:
    return malformed("a second message in the middle of the first")


def _arguments(value: Any) -> str:
    """Input as JSON text; it is text already in a piece, and an object where it is whole."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return as_text(value)
    raise malformed("the input of a tool that is neither text nor an object")
