"""Anthropic's Messages API, as Anthropic and the servers that copy it stream it.

Named events: ``message_start``, then for each block of content ``content_block_start``,
``content_block_delta`` and ``content_block_stop``, then ``message_delta`` with the reason
of the end, and ``message_stop``. That ends a reply, and so does a clean end of the body after
a reason. The names also stand in the data as ``type``, and that counts. Taken as they come:

- blocks belong together by ``index``, and may be open side by side or never be closed;
- a tool's input comes in pieces, or whole with the start of its block, or as ``{}``, which
  after no pieces at all means no arguments;
- tools that Anthropic itself runs (``server_tool_use``, ``mcp_tool_use`` and their results) are
  none of the client's calls, and told once their result has come (`hub.domain.executed_tools`);
  summaries of what was forgotten, ``ping``, and whatever comes to be sent one day, say nothing
  here;
- what a block of text cites is told when it ends (`hub.domain.annotations`);
- thoughts that are signed, and those that are shown to nobody (``redacted_thinking``), are to be
  given back as they are (`hub.domain.provider_fields`), so they are told whole when their block
  ends;
- ``message_start`` may come twice for one message, but not a message twice;
- usage is cumulative and stands in two places, a field said later being the right one.
  ``input_tokens`` leaves out what was read from and written to the cache, so they are added;
- a whole message comes although a stream was asked for, or after one, in which case it adds
  only what was missing; a ``message_start`` may have content, too;
- a block may come twice with the same id, and ``input`` as ``{}`` before the real one
  (`hub.dialects.reply.tool_call_pieces`);
- errors come as an event or as the whole body, and always end a reply.

Options: ``max_tokens`` (8192): for a prompt that sets none. ``thinking``: how
``reasoning_effort`` is asked for, ``"adaptive"`` or ``"budget"``; if left out, the model's
name tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hub.dialects import Call, KeyHeader
from hub.dialects.anthropic.request import request_body
from hub.dialects.reply.error_reports import ErrorReport, announced, complaint_in
from hub.dialects.reply.keepalives import is_padding
from hub.dialects.reply.text_deltas import TextDeltas
from hub.dialects.reply.token_counts import balanced, counted
from hub.dialects.reply.tool_call_pieces import ToolCalls
from hub.dialects.request.dialect_options import Options
from hub.domain.annotations import annotated, citation
from hub.domain.errors import UpstreamError
from hub.domain.events import NOTHING, Delta, Event, Finished, Reason, Usage
from hub.domain.executed_tools import executed
from hub.domain.json_values import as_count, as_object, as_text, malformed, parse
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import ANTHROPIC, MOST, Details
from hub.domain.surrogates import whole
from hub.framing import SSE, Chunk, Framing, Sniffed

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
_READ, _WRITTEN = "cache_read_input_tokens", "cache_creation_input_tokens"
_ASKED: Final = "input_tokens"
_COUNTED: Final = (_ASKED, "output_tokens", _READ, _WRITTEN)


@dataclass(slots=True)
class _Thought:
    """A block of thoughts that is coming."""

    pieces: list[str] = field(default_factory=list)
    length: int = 0
    signature: str = ""

    def add(self, piece: str) -> None:
        self.pieces.append(piece)
        self.length += len(piece)


@dataclass(slots=True)
class _Text:
    """A block of text that is coming, and what it cites; ``start`` is where it begins."""

    start: int
    cited: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class _Tool:
    """A call whose input is coming, in a slot; ``whole`` is what its block began with."""

    slot: int
    whole: Any
    begun: bool = False


@dataclass(slots=True)
class _Executed:
    """A tool that Anthropic runs: where it stands, its block, and its input."""

    place: Mapping[str, Any]
    use: Mapping[str, Any]
    input: Any
    pieces: list[str] = field(default_factory=list)


class Anthropic:
    """Reads one reply of the Messages API."""

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        chosen = Options("anthropic", options, ("max_tokens", "thinking"))
        self._max_tokens = int(chosen.number("max_tokens", 8192))
        self._thinking = chosen.choice("thinking", ("adaptive", "budget"))
        self._speech = TextDeltas()
        self._texts: dict[int, _Text] = {}
        self._thoughts: dict[int, _Thought] = {}
        self._details = Details(ANTHROPIC)
        self._tools: dict[int, _Tool] = {}
        self._executed: dict[str, _Executed] = {}
        self._executing: dict[int, _Executed] = {}
        self._calls = ToolCalls()
        self._slots = 0
        self._last = -1
        self._begun = False
        self._message_id: Any = None
        # The first index that may come now that a message was begun again.
        self._beyond = 0
        self._counts: dict[str, int] = {}
        self.usage: Usage | None = None
        self._tier = ""
        self._reason: str | None = None
        self._over = False

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
        if is_padding(body):
            return ()
        found: list[Event] = []
        try:
            self._event(parse(body), name, found)
        except UpstreamError:
            if self._reason is None:
                raise
            # Broken behind the reason of the end: nothing of the answer is missing.
        return found

    def _event(self, held: Any, name: str, found: list[Event]) -> None:
        kind = (held.get("type") or name) if isinstance(held, dict) else None
        read = _KINDS.get(kind) if isinstance(kind, str) else None
        if read is None or "error" in held:
            complaint = complaint_in(held)
            if complaint is not None:
                found += self._fail(complaint)
                return
            if not isinstance(held, dict):
                raise malformed("an event that is not an object")
        if read is not None:
            read(self, held, found)

    def close(self, *, clean: bool) -> Iterable[Event]:
        if self._over:
            return ()
        if clean and self._reason is not None:
            return self._finish()
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
        for place, block in enumerate(_blocks(held)):
            self._open(place, block, found)
            self._shut(place, found)

    def _whole_message(self, held: Mapping[str, Any], found: list[Event]) -> None:
        if self._begun:
            self._once_more(held, found)
        else:
            self._message(held, found)
        found += self._finish()

    def _once_more(self, held: Mapping[str, Any], found: list[Event]) -> None:
        """The whole message after its pieces: what they lacked."""
        self._count(held.get("usage"))
        self._because(held.get("stop_reason"))
        for index in list(self._tools):
            self._shut(index, found)
        blocks = [as_object(block) for block in _blocks(held)]
        found += self._speech.reason_whole(_all_of(blocks, "thinking"))
        found += self._speech.say_whole(_all_of(blocks, "text"))
        calls = (block for block in blocks if block.get("type") == "tool_use")
        found += self._calls.wholes(
            [
                {
                    "id": call.get("id"),
                    "function": {"name": call.get("name"), "arguments": call.get("input")},
                }
                for call in calls
            ]
        )

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
            cited = block.get("citations")
            self._texts[index] = text = _Text(self._speech.length)
            text.cited += [one for one in cited or () if isinstance(one, dict)]
            self._say(block.get("text"), found)
        elif kind == "thinking":
            thought = self._thoughts[index] = _Thought()
            self._sign(thought, block.get("signature"))
            self._think(thought, block.get("thinking"), found)
        elif kind == "redacted_thinking":
            self._detail(found, "encrypted", data=block.get("data"))
        elif kind in ("server_tool_use", "mcp_tool_use"):
            use = {name: value for name, value in block.items() if name != "input"}
            place = self._details.place(self._speech.length, self._slots)
            run = self._executing[index] = _Executed(place, use, block.get("input"))
            self._executed[str(block.get("id"))] = run
        elif isinstance(kind, str) and kind.endswith("_tool_result"):
            self._result(block, found)
        elif kind == "tool_use":
            name, key = block.get("name"), block.get("id")
            if not isinstance(name, str) or not name:
                raise malformed("a tool call without a name")
            tool = self._tools[index] = _Tool(self._slots, block.get("input"))
            self._slots += 1
            key = whole(key) if isinstance(key, str) else ""
            found += self._calls.add(tool.slot, key=key, name=whole(name))

    def _block_delta(self, held: Mapping[str, Any], found: list[Event]) -> None:
        delta = as_object(held.get("delta"))
        kind = delta.get("type")
        self._begun = True
        if kind == "text_delta":
            self._say(delta.get("text"), found)
        elif kind == "thinking_delta":
            self._think(self._thoughts.get(self._index(held)), delta.get("thinking"), found)
        elif kind == "citations_delta":
            text = self._texts.get(self._index(held))
            if text is not None and len(text.cited) < MOST_CITED:
                text.cited.append(as_object(delta.get("citation")))
        elif kind == "signature_delta":
            self._sign(self._thoughts.get(self._index(held)), delta.get("signature"))
        elif kind == "input_json_delta":
            tool = self._tools.get(self._index(held))
            run, piece = self._executing.get(self._index(held)), delta.get("partial_json")
            if tool is not None:
                self._argue(tool, piece, found)
            elif run is not None and isinstance(piece, str):
                run.pieces.append(piece)

    def _result(self, block: Mapping[str, Any], found: list[Event]) -> None:
        """What came of a tool that Anthropic has run."""
        run = self._executed.pop(str(block.get("tool_use_id")), None)
        if run is not None:
            found += _told_run(run, block)

    def _block_stop(self, held: Mapping[str, Any], found: list[Event]) -> None:
        self._shut(self._index(held), found)

    def _shut(self, index: int, found: list[Event]) -> None:
        """The block has ended: a tool without pieces of input had it whole from the start."""
        text = self._texts.pop(index, None)
        if text is not None and text.cited:
            place = {"start": text.start, "end": self._speech.length}
            found += annotated(_citation(one, place) for one in text.cited)
        thought = self._thoughts.pop(index, None)
        if thought is not None and thought.signature and thought.length <= MOST:
            words = whole("".join(thought.pieces))
            self._detail(found, "text", text=words, signature=thought.signature)
        tool = self._tools.pop(index, None)
        if tool is None:
            return
        if not tool.begun and tool.whole:
            found += self._calls.add(tool.slot, said=_arguments(tool.whole))
        found += self._calls.settle(tool.slot)

    def _message_delta(self, held: Mapping[str, Any], found: list[Event]) -> None:
        self._because(as_object(held.get("delta")).get("stop_reason"))
        self._count(held.get("usage"))

    def _message_stop(self, held: Mapping[str, Any], found: list[Event]) -> None:
        if message := as_object(held.get("message")):
            self._once_more(message, found)
        found += self._finish()

    def _error(self, held: Mapping[str, Any], found: list[Event]) -> None:
        found += self._fail(complaint_in(held) or ErrorReport(""))

    def _index(self, held: Mapping[str, Any]) -> int:
        index = held.get("index")
        return index if type(index) is int else self._last

    def _say(self, text: Any, found: list[Event]) -> None:
        if text is not None and not isinstance(text, str):
            raise malformed("text that is not a string")
        found += self._speech.say(text or "")

    def _think(self, thought: _Thought | None, piece: Any, found: list[Event]) -> None:
        if isinstance(piece, str):
            if thought is not None:
                thought.add(piece)
            found += self._speech.reason(piece)

    def _sign(self, thought: _Thought | None, signature: Any) -> None:
        if thought is not None and isinstance(signature, str):
            thought.signature += whole(signature)

    def _detail(self, found: list[Event], kind: str, **fields: Any) -> None:
        """Something to be given back, where it stands in the answer."""
        if all(isinstance(value, str) for value in fields.values()):
            found.append(self._details.of(kind, self._speech.length, self._slots, **fields))

    def _argue(self, tool: _Tool, piece: Any, found: list[Event]) -> None:
        text = _arguments(piece) if piece is not None else ""
        if not text:
            return
        tool.begun = True
        found += self._calls.add(tool.slot, said=text)

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
        written = as_object(said.get("cache_creation"))  # the same, by how long it is kept
        parts = [count for value in written.values() if (count := as_count(value)) is not None]
        before = sum(counts.get(name, 0) for name in (_ASKED, _READ, _WRITTEN))
        for name in _COUNTED:
            count = as_count(said.get(name))
            if name == _WRITTEN and count is None and parts:
                count = sum(parts)
            if name == _ASKED and count and count == before:
                continue  # the whole prompt, once it had been told in its parts
            if count is not None:
                counts[name] = count or (counts.get(name, 0) if name == _ASKED else 0)
        details = as_object(said.get("output_tokens_details"))
        if (count := as_count(details.get("thinking_tokens"))) is not None:
            counts["thinking_tokens"] = count
        prompt = None
        if "input_tokens" in counts:
            prompt = counts["input_tokens"] + counts.get(_READ, 0) + counts.get(_WRITTEN, 0)
        known = Usage(
            prompt_tokens=prompt,
            completion_tokens=counts.get("output_tokens"),
            reasoning_tokens=counts.get("thinking_tokens"),
            cached_tokens=counts.get(_READ),
            details=counted(
                ("", {"cache_write_tokens": counts.get(_WRITTEN)}),
                ("", as_object(said.get("server_tool_use"))),
            )
            or (self.usage.details if self.usage else None),
        )
        self.usage = balanced(known) or self.usage
        if isinstance(tier := said.get("service_tier"), str):
            self._tier = whole(tier)

    def _finish(self) -> list[Event]:
        reason = _REASONS.get(self._reason or "", "stop")
        if self._calls and self._reason in (None, "end_turn", "stop"):
            reason = "tool"  # not said by every server that copies
        found: list[Event] = []
        cut = reason == "length"
        for index in [*self._texts, *self._thoughts, *self._tools]:
            tool = self._tools.get(index)
            if tool is None or not cut or tool.begun:
                self._shut(index, found)
        for run in self._executed.values():
            found += _told_run(run)  # Anthropic will go on with it on the next turn
        found += self._rest(complete=not cut)
        self._over = True
        extra = {"service_tier": self._tier} if self._tier else NOTHING
        end = Finished(reason=reason, usage=self.usage, extra=extra)
        return [*found, self._calls.ended(end)]

    def _fail(self, complaint: ErrorReport) -> list[Event]:
        self._over = True
        return [*self._rest(), complaint.failure(self.usage)]

    def _rest(self, *, complete: bool = False) -> list[Event]:
        """What was held back, in case its other half came."""
        return [*self._speech.rest(), *self._calls.end(complete=complete)]


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


def _all_of(blocks: list[Mapping[str, Any]], kind: str) -> str:
    """The texts of the blocks of one kind, joined."""
    texts = (block.get(kind) for block in blocks if block.get("type") == kind)
    return "".join(text for text in texts if isinstance(text, str))


def _told_run(run: _Executed, result: Mapping[str, Any] = NOTHING) -> list[Delta]:
    """A tool that was run, and its result once it has come."""
    arguments = "".join(run.pieces) or as_text(run.input or {})
    output = result.get("content")
    beside = {name: value for name, value in result.items() if name != "content"}
    fault = result.get("is_error") is True or "error_code" in as_object(output)
    item = {"use": run.use, **({"result": beside} if result else {})}
    name, key = run.use.get("name"), run.use.get("id")
    return executed(run.place, name, whole(arguments), output, key=key, error=fault, item=item)


def _citation(held: Mapping[str, Any], place: Mapping[str, int]) -> dict[str, Any]:
    """A citation; of a document, ``location`` says where in it, in Anthropic's own words."""
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


def _spliced() -> UpstreamError:
    return malformed("a second message in the middle of the first")


def _arguments(value: Any) -> str:
    """Input as JSON text; it is text already in a piece, and an object where it is whole."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return as_text(value)
    raise malformed("the input of a tool that is neither text nor an object")
