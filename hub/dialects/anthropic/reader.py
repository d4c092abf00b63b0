"""Anthropic's Messages API, as Anthropic and the servers that copy it stream it.

The events are ``message_start``; for each block of content ``content_block_start``,
``content_block_delta`` and ``content_block_stop``; ``message_delta`` with the reason of the end;
and ``message_stop``. The last ends a reply, and so does a clean end of the body after a reason. The
``type`` in the data counts, not the event's name. In detail:

- blocks are known by their ``index``; several may be open at once, and some are never closed;
- a tool's input comes in pieces, or whole with the start of its block, or as ``{}``, which means no
  arguments if no pieces follow;
- tools that Anthropic runs itself (``server_tool_use``, ``mcp_tool_use`` and their results) are not
  calls of the client, and are given out once their result has come (`hub.domain.executed_tools`);
- summaries of forgotten context, ``ping`` and unknown events are ignored;
- the citations of a block of text are given when it ends (`hub.domain.annotations`);
- signed thoughts, and those that nobody is shown (``redacted_thinking``), are to be given back
  unchanged (`hub.domain.provider_fields`), so they are given whole when their block ends;
- ``message_start`` may be repeated for one message, but there is only one message;
- usage is cumulative and stands in two places; later counts replace earlier ones. ``input_tokens``
  leaves out tokens that were read from or written to the cache, so these are added;
- a whole message comes although a stream was asked for, or after one, in which case it adds only
  what was missing; a ``message_start`` may have content, too;
- a block may come twice with the same id, and ``input`` as ``{}`` before the real one
  (`hub.dialects.reply.tool_call_pieces`);
- errors come as an event or as the whole body, and always end the reply.

Options: ``max_tokens`` (8192): for a prompt that sets none. ``thinking``: how ``reasoning_effort``
is asked for, ``"adaptive"`` or ``"budget"``; if left out, the model's name decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hub.dialects import Call, KeyHeader
from hub.dialects.anthropic.request import request_body
from hub.dialects.reply.error_reports import ErrorReport, error_in_body, find_error
from hub.dialects.reply.keepalives import is_padding
from hub.dialects.reply.reply_reader import ReplyReader
from hub.dialects.reply.token_counts import balanced, counted
from hub.dialects.request.dialect_options import Options
from hub.domain.annotations import annotated, citation
from hub.domain.errors import UpstreamError
from hub.domain.events import NOTHING, Delta, Event, Finished, Reason, Usage
from hub.domain.executed_tools import executed
from hub.domain.json_values import as_count, as_object, as_string, as_text, malformed, parse
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import ANTHROPIC, MOST, Details
from hub.domain.surrogates import whole
from hub.framing import Chunk

__all__ = ["Anthropic"]

MOST_CITED: Final = 1_000
VERSION: Final = "2023-06-01"
KEY: Final = KeyHeader("x-api-key")
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
_ASKED: Final = "input_tokens"
_READ, _WRITTEN = "cache_read_input_tokens", "cache_creation_input_tokens"
_COUNTED: Final = (_ASKED, "output_tokens", _READ, _WRITTEN)


@dataclass(slots=True)
class _Block:
    """An open block of text or thinking: where it ``start``s, and what is given when it ends.

    ``pieces`` are those of its thoughts, and ``length`` their characters.
    """

    start: int
    cited: list[Mapping[str, Any]] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    length: int = 0
    signature: str = ""


@dataclass(slots=True)
class _Tool:
    """An open call, by its slot; ``whole`` is the input that its block began with."""

    slot: int
    whole: Any
    begun: bool = False


@dataclass(slots=True)
class _Executed:
    """A tool that Anthropic runs: its place in the answer, its block, and its input."""

    place: Mapping[str, Any]
    use: Mapping[str, Any]
    input: Any
    pieces: list[str] = field(default_factory=list)


class Anthropic(ReplyReader):
    """Reads one reply of the Messages API."""

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        super().__init__()
        chosen = Options("anthropic", options, ("max_tokens", "thinking"))
        self._max_tokens = int(chosen.number("max_tokens", 8192))
        self._thinking = chosen.choice("thinking", ("adaptive", "budget"))
        self._texts: dict[int, _Block] = {}
        self._thoughts: dict[int, _Block] = {}
        self._details = Details(ANTHROPIC)
        self._tools: dict[int, _Tool] = {}
        self._executed: dict[str, _Executed] = {}
        self._executing: dict[int, _Executed] = {}
        self._slots = 0
        self._last = -1
        self._begun = False
        self._message_id: Any = None
        # The first index that is allowed after a repeated ``message_start``.
        self._beyond = 0
        self._counts: dict[str, int] = {}
        self._tier = ""
        self._reason: str | None = None

    @property
    def ending(self) -> bool:
        return self._reason is not None

    @property
    def reasoned(self) -> bool:
        return self._reason is not None

    def call(self, prompt: Prompt) -> Call:
        body = request_body(prompt, max_tokens=self._max_tokens, thinking=self._thinking)
        headers = {"Accept": "text/event-stream", "anthropic-version": VERSION}
        return Call("/messages", body, headers, KEY)

    def events(self, chunk: Chunk) -> Iterable[Event]:
        body, name = chunk.data.strip(), chunk.event
        if self._over:
            return ()
        if name == "error":
            return self._fail(error_in_body(body))
        if body == b"[DONE]":  # of servers that speak several formats
            return self._end() if self._begun or self._reason is not None else ()
        if not body or is_padding(body):
            return ()
        found: list[Event] = []
        try:
            self._event(parse(body), name, found)
        except UpstreamError:
            if self._reason is None:
                raise
            # Broken after the reason of the end: nothing of the answer is missing.
        return found

    def _event(self, held: Any, name: str, found: list[Event]) -> None:
        kind = (held.get("type") or name) if isinstance(held, dict) else None
        read = _KINDS.get(kind) if isinstance(kind, str) else None
        if read is None or "error" in held:
            report = find_error(held)
            if report is not None:
                found += self._fail(report)
                return
            if not isinstance(held, dict):
                raise malformed("an event that is not an object")
        if read is not None:
            read(self, held, found)

    def close(self, *, clean: bool) -> Iterable[Event]:
        if clean and self._reason is not None and not self._over:
            return self._end()
        return super().close(clean=clean)

    def _message_start(self, held: Mapping[str, Any], found: list[Event]) -> None:
        message = as_object(held.get("message"))
        key = message.get("id")
        if not self._begun:
            self._message_id = key
            self._message(message, found)
        elif key and key == self._message_id:
            self._beyond = self._last + 1
        else:
            raise _second_message()

    def _message(self, held: Mapping[str, Any], found: list[Event]) -> None:
        self._take_end(held)
        for place, block in enumerate(_blocks(held)):
            self._open(place, block, found)
            self._close_block(place, found)

    def _whole_message(self, held: Mapping[str, Any], found: list[Event]) -> None:
        if self._begun:
            self._add_missing(held, found)
        else:
            self._message(held, found)
        found += self._end()

    def _add_missing(self, held: Mapping[str, Any], found: list[Event]) -> None:
        """Add what the pieces lacked of the whole message."""
        self._take_end(held)
        for index in list(self._tools):
            self._close_block(index, found)
        blocks = [as_object(block) for block in _blocks(held)]
        found += self._text.reason_whole(_joined(blocks, "thinking"))
        found += self._text.say_whole(_joined(blocks, "text"))
        found += self._calls.wholes(
            [
                {
                    "id": call.get("id"),
                    "function": {"name": call.get("name"), "arguments": call.get("input")},
                }
                for call in blocks
                if call.get("type") == "tool_use"
            ]
        )

    def _block_start(self, held: Mapping[str, Any], found: list[Event]) -> None:
        index = held.get("index")
        self._last = index if type(index) is int else self._last + 1
        if self._last < self._beyond:
            raise _second_message()
        self._open(self._last, held.get("content_block"), found)

    def _open(self, index: int, block: Any, found: list[Event]) -> None:
        if not isinstance(block, dict):
            raise malformed("a block that is not an object")
        self._begun = True
        self._close_block(index, found)
        kind = block.get("type")
        if kind == "text":
            self._texts[index] = text = _Block(self._text.length)
            text.cited += [one for one in block.get("citations") or () if isinstance(one, dict)]
            self._say(block.get("text"), found)
        elif kind == "thinking":
            thought = self._thoughts[index] = _Block(self._text.length)
            thought.signature = as_string(block.get("signature"))
            self._think(thought, block.get("thinking"), found)
        elif kind == "redacted_thinking":
            if isinstance(data := block.get("data"), str):
                found.append(self._details.of("encrypted", *self._position(), data=data))
        elif kind in ("server_tool_use", "mcp_tool_use"):
            use = {name: value for name, value in block.items() if name != "input"}
            place = self._details.place(*self._position())
            run = self._executing[index] = _Executed(place, use, block.get("input"))
            self._executed[str(block.get("id"))] = run
        elif isinstance(kind, str) and kind.endswith("_tool_result"):
            executed_tool = self._executed.pop(str(block.get("tool_use_id")), None)
            if executed_tool is not None:
                found += _execution(executed_tool, block)
        elif kind == "tool_use":
            name = as_string(block.get("name"))
            if not name:
                raise malformed("a tool call without a name")
            tool = self._tools[index] = _Tool(self._slots, block.get("input"))
            self._slots += 1
            found += self._calls.add(tool.slot, key=as_string(block.get("id")), name=name)

    def _block_delta(self, held: Mapping[str, Any], found: list[Event]) -> None:
        delta, index = as_object(held.get("delta")), self._index(held)
        kind = delta.get("type")
        self._begun = True
        if kind == "text_delta":
            self._say(delta.get("text"), found)
        elif kind == "thinking_delta":
            self._think(self._thoughts.get(index), delta.get("thinking"), found)
        elif kind == "citations_delta":
            text = self._texts.get(index)
            if text is not None and len(text.cited) < MOST_CITED:
                text.cited.append(as_object(delta.get("citation")))
        elif kind == "signature_delta":
            if (thought := self._thoughts.get(index)) is not None:
                thought.signature += as_string(delta.get("signature"))
        elif kind == "input_json_delta":
            tool, run = self._tools.get(index), self._executing.get(index)
            piece = delta.get("partial_json")
            if tool is not None:
                if arguments := _arguments(piece):
                    tool.begun = True
                    found += self._calls.add(tool.slot, arguments=arguments)
            elif run is not None and isinstance(piece, str):
                run.pieces.append(piece)

    def _block_stop(self, held: Mapping[str, Any], found: list[Event]) -> None:
        self._close_block(self._index(held), found)

    def _close_block(self, index: int, found: list[Event]) -> None:
        """The block has ended. A tool without pieces of input had it whole from the start."""
        text = self._texts.pop(index, None)
        if text is not None and text.cited:
            place = {"start": text.start, "end": self._text.length}
            found += annotated(_citation(one, place) for one in text.cited)
        thought = self._thoughts.pop(index, None)
        if thought is not None and thought.signature and thought.length <= MOST:
            fields = {"text": whole("".join(thought.pieces)), "signature": thought.signature}
            found.append(self._details.of("text", *self._position(), **fields))
        tool = self._tools.pop(index, None)
        if tool is not None:
            if not tool.begun and tool.whole:
                found += self._calls.add(tool.slot, arguments=_arguments(tool.whole))
            found += self._calls.settle(tool.slot)

    def _message_delta(self, held: Mapping[str, Any], found: list[Event]) -> None:
        self._take_end({**as_object(held.get("delta")), "usage": held.get("usage")})

    def _message_stop(self, held: Mapping[str, Any], found: list[Event]) -> None:
        if message := as_object(held.get("message")):
            self._add_missing(message, found)
        found += self._end()

    def _error(self, held: Mapping[str, Any], found: list[Event]) -> None:
        found += self._fail(find_error(held) or ErrorReport(""))

    def _index(self, held: Mapping[str, Any]) -> int:
        index = held.get("index")
        return index if type(index) is int else self._last

    def _position(self) -> tuple[int, int]:
        """The characters and the calls so far."""
        return self._text.length, self._slots

    def _say(self, text: Any, found: list[Event]) -> None:
        if text is not None and not isinstance(text, str):
            raise malformed("text that is not a string")
        found += self._text.say(text or "")

    def _think(self, thought: _Block | None, piece: Any, found: list[Event]) -> None:
        if isinstance(piece, str):
            if thought is not None:
                thought.pieces.append(piece)
                thought.length += len(piece)
            found += self._text.reason(piece)

    def _take_end(self, held: Mapping[str, Any]) -> None:
        """Take the reason of the end and the token counts."""
        self._count(as_object(held.get("usage")))
        if isinstance(reason := held.get("stop_reason"), str) and reason:
            self._reason = reason

    def _count(self, held: Mapping[str, Any]) -> None:
        """Take token counts.

        A zero after a count of the prompt means that there is nothing to add (SGLang). A zero of
        the cache counts, because the prompt may have been summed up meanwhile.
        """
        counts = self._counts
        written = as_object(held.get("cache_creation"))  # by how long it is kept
        parts = [count for value in written.values() if (count := as_count(value)) is not None]
        before = sum(counts.get(name, 0) for name in (_ASKED, _READ, _WRITTEN))
        for name in _COUNTED:
            count = as_count(held.get(name))
            if name == _WRITTEN and count is None and parts:
                count = sum(parts)
            if name == _ASKED and count and count == before:
                continue  # the whole prompt, whose parts were counted before
            if count is not None:
                counts[name] = count or (counts.get(name, 0) if name == _ASKED else 0)
        details = as_object(held.get("output_tokens_details"))
        if (count := as_count(details.get("thinking_tokens"))) is not None:
            counts["thinking_tokens"] = count
        prompt = None
        if _ASKED in counts:
            prompt = counts[_ASKED] + counts.get(_READ, 0) + counts.get(_WRITTEN, 0)
        further = counted(
            ("", {"cache_write_tokens": counts.get(_WRITTEN)}),
            ("", as_object(held.get("server_tool_use"))),
        )
        usage = Usage(
            prompt_tokens=prompt,
            completion_tokens=counts.get("output_tokens"),
            reasoning_tokens=counts.get("thinking_tokens"),
            cached_tokens=counts.get(_READ),
            details=further or (self.usage.details if self.usage else None),
        )
        self.usage = balanced(usage) or self.usage
        self._tier = as_string(held.get("service_tier")) or self._tier

    def _end(self) -> list[Event]:
        reason = _REASONS.get(self._reason or "", "stop")
        if self._calls and self._reason in (None, "end_turn", "stop"):
            reason = "tool"  # some copies never say so
        found: list[Event] = []
        cut = reason == "length"
        for index in [*self._texts, *self._thoughts, *self._tools]:
            tool = self._tools.get(index)
            if tool is None or not cut or tool.begun:
                self._close_block(index, found)
        for run in self._executed.values():
            found += _execution(run)  # Anthropic continues it on the next turn
        found += self._rest(complete=not cut)
        self._over = True
        extra = {"service_tier": self._tier} if self._tier else NOTHING
        end = Finished(reason=reason, usage=self.usage, extra=extra)
        return [*found, self._calls.ended(end)]


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


def _blocks(held: Mapping[str, Any]) -> list[Any]:
    content = held.get("content") or []
    if not isinstance(content, list):
        raise malformed("content that is not a list of blocks")
    return content


def _joined(blocks: list[Mapping[str, Any]], kind: str) -> str:
    """The texts of the blocks of one kind."""
    texts = (block.get(kind) for block in blocks if block.get("type") == kind)
    return "".join(text for text in texts if isinstance(text, str))


def _execution(run: _Executed, result: Mapping[str, Any] = NOTHING) -> list[Delta]:
    """A tool that was run, with its result if that has come."""
    arguments = "".join(run.pieces) or as_text(run.input or {})
    output = result.get("content")
    beside = {name: value for name, value in result.items() if name != "content"}
    fault = result.get("is_error") is True or "error_code" in as_object(output)
    item = {"use": run.use, **({"result": beside} if result else {})}
    name, key = run.use.get("name"), run.use.get("id")
    return executed(run.place, name, whole(arguments), output, key=key, error=fault, item=item)


def _citation(held: Mapping[str, Any], place: Mapping[str, int]) -> dict[str, Any]:
    """A citation; ``location`` says where in a document it is, in Anthropic's own terms."""
    title, words = held.get("title"), held.get("cited_text")
    if held.get("url"):
        return citation(held["url"], title=title, **place, content=words)
    kinds = ("_index", "_number")
    location = {name: value for name, value in held.items() if name.endswith(kinds)}
    return citation(
        None,
        file_id=held.get("file_id"),
        filename=held.get("document_title") or title or held.get("source"),
        index=location.pop("document_index", location.pop("search_result_index", None)),
        **place,
        content=words,
        location={"type": held.get("type"), **location},
    )


def _second_message() -> UpstreamError:
    return malformed("a second message in the middle of the first")


def _arguments(value: Any) -> str:
    """Input as JSON text: a piece is text already, a whole input is an object."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, dict):
        return as_text(value)
    raise malformed("the input of a tool that is neither text nor an object")
