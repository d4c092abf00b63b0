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
from hub.dialects.reply.error_reports import ErrorReport, find_error
from hub.dialects.reply.reply_reader import ObjectReader, expect
from hub.dialects.reply.token_counts import balanced, counted
from hub.dialects.request.dialect_options import Options
from hub.domain.annotations import annotated, citation
from hub.domain.errors import UpstreamError
from hub.domain.events import NOTHING, Delta, Event, Finished, Reason, Usage
from hub.domain.executed_tools import executed
from hub.domain.json_values import as_count, as_object, as_string, as_text, malformed
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
_USES: Final = ("tool_use", "server_tool_use", "mcp_tool_use")
_ASKED: Final = "input_tokens"
_READ, _WRITTEN = "cache_read_input_tokens", "cache_creation_input_tokens"
_COUNTED: Final = (_ASKED, "output_tokens", _READ, _WRITTEN)


@dataclass(slots=True)
class _Block:
    """An open block; ``place`` is the characters and the calls before it.

    ``pieces`` are those of its thoughts or of its input, ``length`` the characters of its thoughts,
    and ``cited`` what its text cites.
    """

    held: Mapping[str, Any]
    place: tuple[int, int]
    pieces: list[str] = field(default_factory=list)
    length: int = 0
    signature: str = ""
    cited: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def kind(self) -> Any:
        return self.held.get("type")


class Anthropic(ObjectReader):
    """Reads one reply of the Messages API."""

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        super().__init__()
        chosen = Options("anthropic", options, ("max_tokens", "thinking"))
        self._max_tokens = int(chosen.number("max_tokens", 8192))
        self._thinking = chosen.choice("thinking", ("adaptive", "budget"))
        self._open: dict[int, _Block] = {}
        self._executing: dict[str, tuple[_Block, Mapping[str, Any]]] = {}
        """The tools that Anthropic runs, each with its place in the answer, until their results."""
        self._details = Details(ANTHROPIC)
        self._slots = 0
        self._last = -1
        self._begun = False
        self._message_id: Any = None
        # The first index that is allowed after a repeated ``message_start``.
        self._beyond = 0
        self._counts: dict[str, int] = {}
        self._tier = ""

    @property
    def reasoned(self) -> bool:
        return self._reason is not None

    def call(self, prompt: Prompt) -> Call:
        body = request_body(prompt, max_tokens=self._max_tokens, thinking=self._thinking)
        headers = {"Accept": "text/event-stream", "anthropic-version": VERSION}
        return Call("/messages", body, headers, KEY)

    def _done(self) -> Iterable[Event]:
        return self._end() if self._begun or self._reason is not None else ()

    def _read(self, held: Any, chunk: Chunk) -> Iterable[Event]:
        found: list[Event] = []
        try:
            self._event(held, chunk.event, found)
        except UpstreamError:
            if not self._complete:
                raise
        return found

    def _event(self, held: Any, name: str, found: list[Event]) -> None:
        kind = (held.get("type") or name) if isinstance(held, dict) else None
        read = _KINDS.get(kind) if isinstance(kind, str) else None
        if read is None or "error" in held:
            report = find_error(held)
            if report is not None:
                found += self._fail(report)
                return
            expect(held, dict, "an event that is not an object")
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
            self._open_block(place, block, found)
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
        for index in [index for index, block in self._open.items() if block.kind == "tool_use"]:
            self._close_block(index, found)
        blocks = [as_object(block) for block in _blocks(held)]
        found += self._text.add_whole("reasoning", _joined(blocks, "thinking"))
        found += self._text.add_whole("text", _joined(blocks, "text"))
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
        self._open_block(self._last, held.get("content_block"), found)

    def _open_block(self, index: int, held: Any, found: list[Event]) -> None:
        held = expect(held, dict, "a block that is not an object")
        self._begun = True
        self._close_block(index, found)
        block = self._open[index] = _Block(held, (self._text.length, self._slots))
        kind, key = block.kind, as_string(held.get("id"))
        if kind == "text":
            block.cited += [one for one in held.get("citations") or () if isinstance(one, dict)]
            self._say(held.get("text"), found)
        elif kind == "thinking":
            block.signature = as_string(held.get("signature"))
            self._think(block, held.get("thinking"), found)
        elif kind == "redacted_thinking":
            if isinstance(data := held.get("data"), str):
                found.append(self._details.of("encrypted", *block.place, data=data))
        elif kind in _USES and kind != "tool_use":
            self._executing[key] = block, self._details.place(*block.place)
        elif isinstance(kind, str) and kind.endswith("_tool_result"):
            run = self._executing.pop(as_string(held.get("tool_use_id")), None)
            if run is not None:
                found += _execution(*run, held)
        elif kind == "tool_use":
            name = as_string(held.get("name"))
            if not name:
                raise malformed("a tool call without a name")
            self._slots += 1
            found += self._calls.add(block.place[1], key=key, name=name)

    def _block_delta(self, held: Mapping[str, Any], found: list[Event]) -> None:
        delta = as_object(held.get("delta"))
        kind = delta.get("type")
        self._begun = True
        if kind == "text_delta":
            self._say(delta.get("text"), found)
            return
        block = self._open.get(self._index(held))
        if kind == "thinking_delta":
            self._think(block, delta.get("thinking"), found)
        elif block is None:
            return
        elif kind == "citations_delta":
            if len(block.cited) < MOST_CITED:
                block.cited.append(as_object(delta.get("citation")))
        elif kind == "signature_delta":
            block.signature += as_string(delta.get("signature"))
        elif kind == "input_json_delta" and block.kind in _USES:
            piece = _arguments(delta.get("partial_json"))
            block.pieces += [piece] if piece else []
            if piece and block.kind == "tool_use":
                found += self._calls.add(block.place[1], arguments=piece)

    def _block_stop(self, held: Mapping[str, Any], found: list[Event]) -> None:
        self._close_block(self._index(held), found)

    def _close_block(self, index: int, found: list[Event]) -> None:
        """Give what is only given when a block has ended."""
        block = self._open.pop(index, None)
        if block is None:
            return
        if block.kind == "text" and block.cited:
            place = {"start": block.place[0], "end": self._text.length}
            found += annotated(_citation(one, place) for one in block.cited)
        elif block.kind == "thinking" and block.signature and block.length <= MOST:
            fields = {"text": whole("".join(block.pieces)), "signature": block.signature}
            at = self._text.length, self._slots
            found.append(self._details.of("text", *at, **fields))
        elif block.kind == "tool_use":
            # Without pieces, its input was whole from the start.
            if not block.pieces and (arguments := block.held.get("input")):
                found += self._calls.add(block.place[1], arguments=_arguments(arguments))
            found += self._calls.settle(block.place[1])

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

    def _say(self, text: Any, found: list[Event]) -> None:
        if text is not None and not isinstance(text, str):
            raise malformed("text that is not a string")
        found += self._text.say(text or "")

    def _think(self, block: _Block | None, piece: Any, found: list[Event]) -> None:
        if isinstance(piece, str):
            if block is not None and block.kind == "thinking":
                block.pieces.append(piece)
                block.length += len(piece)
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
        for index, block in [*self._open.items()]:
            if block.kind != "tool_use" or not cut or block.pieces:
                self._close_block(index, found)
        for run in self._executing.values():
            found += _execution(*run)  # Anthropic continues it on the next turn
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
    return expect(held.get("content") or [], list, "content that is not a list of blocks")


def _joined(blocks: list[Mapping[str, Any]], kind: str) -> str:
    """The texts of the blocks of one kind."""
    texts = (block.get(kind) for block in blocks if block.get("type") == kind)
    return "".join(text for text in texts if isinstance(text, str))


def _execution(
    block: _Block, place: Mapping[str, Any], result: Mapping[str, Any] = NOTHING
) -> list[Delta]:
    """A tool that Anthropic has run, with its result if that has come."""
    arguments = "".join(block.pieces) or as_text(block.held.get("input") or {})
    use = {name: value for name, value in block.held.items() if name != "input"}
    output = result.get("content")
    beside = {name: value for name, value in result.items() if name != "content"}
    fault = result.get("is_error") is True or "error_code" in as_object(output)
    item = {"use": use, **({"result": beside} if result else {})}
    name, key = use.get("name"), use.get("id")
    return executed(place, name, whole(arguments), output, key=key, error=fault, item=item)


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
