"""OpenAI's Responses, and the servers that copy it.

The answer is a list of items (messages, reasoning, tool calls), each made of parts, and
``{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"Hi"}`` adds
to one part. What counts is the ``type`` inside; not all name the event, too. The end is
``response.completed``, ``.incomplete`` or ``.failed``, which holds the whole answer once
more; without one of them the reply was cut off.

Each text comes up to five times: in deltas, when its text, its part and its item are done,
and in the whole answer. Servers leave out any of them, so each is taken for what it adds to
what was said before (`Item`). An item is known by an id that it was called by, or else by its
``output_index``; the ids are new in every event with some servers, the index is missing with
others, and others give one index to several.

Reasoning that is encrypted is to be given back (`hub.domain.provider_fields`), and told once it is
whole. Only calls of functions and of custom tools are for the client: what the provider runs itself
(searches, code, MCP) is told once it is over (`hub.domain.executed_tools`). A ``response`` that is
not streamed is read as the end of one. ``error`` is always the end.

Options: ``think`` (false): split ``<think>`` off the text, or
with ``"closing"`` what comes before a ``</think>`` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from hub.dialects import Call
from hub.dialects.openai_responses.items import UNNUMBERED, Item
from hub.dialects.openai_responses.request import responses_body
from hub.dialects.reply.error_reports import ErrorReport, announced, complaint_in
from hub.dialects.reply.keepalives import is_padding
from hub.dialects.reply.text_deltas import CLOSING, TextDeltas
from hub.dialects.reply.token_counts import balanced, counted
from hub.dialects.reply.tool_call_pieces import ToolCalls
from hub.dialects.request.dialect_options import Options
from hub.domain.annotations import annotated, logprobs_of, nested, with_logprobs
from hub.domain.events import NOTHING, Delta, Event, Finished, Reason, Usage
from hub.domain.executed_tools import executed
from hub.domain.json_values import as_count, as_object, as_text, malformed, parse
from hub.domain.media import Media
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import RESPONSES, Details
from hub.domain.surrogates import whole
from hub.framing import SSE, Chunk, Framing, Sniffed

__all__ = ["OpenAIResponses"]

DIALECT: Final = "openai-responses"

# A reply of more items than this is not one.
MOST: Final = 1_000

# Which part of which item an event adds to: the field of the item, the kind of its parts.
_TEXT: Final = ("message", "content")
_REFUSAL: Final = ("message", "refusal")
_SUMMARY: Final = ("reasoning", "summary")
_THOUGHT: Final = ("reasoning", "content")
_ARGUMENTS: Final = ("call", "arguments")

_DELTAS: Final[Mapping[str, tuple[str, str]]] = {
    "output_text": _TEXT,
    "text": _TEXT,
    "content_part": _TEXT,  # OpenRouter
    "refusal": _REFUSAL,
    "reasoning_summary_text": _SUMMARY,
    "reasoning_summary": _SUMMARY,
    "reasoning_text": _THOUGHT,
    "reasoning": _THOUGHT,
    "function_call_arguments": _ARGUMENTS,
    "custom_tool_call_input": _ARGUMENTS,
}
_PARTS: Final[Mapping[str, tuple[str, str]]] = {
    "output_text": _TEXT,
    "text": _TEXT,
    "refusal": _REFUSAL,
    "summary_text": _SUMMARY,
    "reasoning_text": _THOUGHT,
}
# A part that is text alone, where parts should be.
_ALONE: Final = {"message": "output_text", "reasoning": "reasoning_text"}
_KINDS: Final[Mapping[str, str]] = {
    "message": "message",
    "reasoning": "reasoning",
    "function_call": "call",
    "custom_tool_call": "call",
}
# Tools that the provider runs: which fields hold what was asked, and what came of it.
_MCP: Final = (("arguments",), ("output", "error"))
_RUN: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "web_search_call": (("action",), ("results",)),
    "file_search_call": (("queries",), ("results",)),
    "code_interpreter_call": (("code",), ("outputs",)),
    "mcp_call": _MCP,
    "mcp_list_tools": ((), ("tools", "error")),
    "mcp_approval_request": (("arguments",), ()),
}
# How xAI begins the ids of the calls that it makes itself.
_XAI: Final = "xs_call"
_ENDS: Final = frozenset({"completed", "done", "incomplete", "failed", "cancelled"})


class OpenAIResponses:
    """Reads one reply in the OpenAI Responses format."""

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        chosen = Options(DIALECT, options, ("think",))
        self._speech = TextDeltas(think=chosen.flag_or("think", CLOSING))
        self._calls = ToolCalls()
        self._items: list[Item] = []
        self._details = Details(RESPONSES)
        self._run: set[str] = set()
        self._media = Media()
        self.usage: Usage | None = None
        self._extra: Mapping[str, Any] = NOTHING
        self._over = False

    @property
    def ending(self) -> bool:
        return False

    def call(self, prompt: Prompt) -> Call:
        return Call("/responses", responses_body(DIALECT, prompt), {"Accept": "text/event-stream"})

    def framing(self, limit: int) -> Framing:
        return Sniffed(SSE(limit), limit)

    def events(self, chunk: Chunk) -> Iterable[Event]:
        body = chunk.data.strip()
        if self._over or body == b"[DONE]":
            return ()
        if chunk.event == "error" and body:
            return self._fail(announced(body))
        if is_padding(body):
            return ()
        held = parse(body)
        if not isinstance(held, dict):
            if (complaint := complaint_in(held)) is None:
                raise malformed("a chunk that is not an object")
            return self._fail(complaint)
        kind = held.get("type")
        kind = kind if isinstance(kind, str) else chunk.event
        if held.get("error") or kind in ("error", "response.error"):
            answer = held.get("object") == "response"
            return self._end("failed", held) if answer else self._fail(announced(body))
        if kind.startswith("response."):
            name, _, stage = kind.removeprefix("response.").rpartition(".")
            return self._stage(name, stage, held)
        if held.get("object") == "response" or isinstance(held.get("output"), list):
            return self._end("completed", held)
        return self._fail(found) if (found := complaint_in(held)) else ()

    def close(self, *, clean: bool) -> Iterable[Event]:
        if self._over:
            return ()
        self._over = True
        return self._rest()

    def _stage(self, name: str, stage: str, held: Mapping[str, Any]) -> Iterable[Event]:
        """One event of the reply; ``stage`` is the last word of its type."""
        if not name:
            answer = held.get("response")
            if stage in _ENDS:
                return self._end(stage, answer if isinstance(answer, dict) else held)
            return ()
        if name == "output_item":
            if stage not in ("added", "done"):
                return ()
            return self._item(as_object(held.get("item")), held, done=stage == "done")
        if stage == "partial_image":
            return self._media.whole("image/png", held.get("partial_image_b64"), preview=True)
        if stage == "delta":
            place = _DELTAS.get(name)
            piece = _piece(held.get("delta"))
            if place is None:
                return ()
            item, number = self._at(place[0], held), _number(held)
            if item.kind == "call":
                item.custom = item.custom or name == "custom_tool_call_input"
                return self._call(item, held, piece)
            item.piece(number)
            told = self._add(item, place, number, piece)
            return with_logprobs(told, logprobs_of(held.get("logprobs")))
        if name == "output_text.annotation":
            return self._cite(self._at("message", held), [held.get("annotation")])
        if name in ("content_part", "reasoning_summary_part", "reasoning_part"):
            part = as_object(held.get("part"))
            place = _PARTS.get(str(part.get("type")))
        elif stage == "done":
            part, place = held, _DELTAS.get(name)
        else:
            return ()
        if place is None:
            return ()
        if stage != "done":
            return ()
        item = self._at(place[0], held)
        if item.kind == "call":
            return self._call(item, held, whole=True)
        item.whole(_number(held))
        return [*self._whole(item, place, _number(held), _full(part))]

    def _item(
        self, held: Mapping[str, Any], event: Mapping[str, Any], *, done: bool
    ) -> list[Event]:
        kind = _KINDS.get(str(held.get("type")))
        if kind is None:
            return [*self._ran(held)] if done else []
        index, keys = event.get("output_index"), _keys(held, "id")
        item = self._found(kind, index, keys)
        if item is not None and not item.called(keys):
            # An index or a place is used again only by servers that number wrongly.
            call = _string(held.get("call_id"))
            other = (item.call and call) or (item.key and keys and not done)
            item = None if item.done or other else item
        if item is None:
            item = self._begin(kind, index, keys)
        item.done = done
        item.custom = item.custom or held.get("type") == "custom_tool_call"
        return self._all_of(item, held)

    def _ran(self, held: Mapping[str, Any]) -> list[Delta]:
        """A tool that the provider has run; each is told once."""
        if held.get("type") == "image_generation_call":
            return self._picture(held)
        name, place = _RUN.get(str(held.get("type"))), len(self._run)
        key = _string(held.get("id")) or str(place)
        if name is None or key in self._run or place >= MOST:
            return []
        self._run.add(key)
        arguments, output = (next((held[n] for n in names if held.get(n)), None) for names in name)
        calls = sum(1 for other in self._items if other.number is not None)
        return executed(
            self._details.place(self._speech.length, calls),
            held.get("name") or str(held["type"]).removesuffix("_call"),
            arguments if isinstance(arguments, str) and name is _MCP else _as_input(arguments),
            output,
            key=key,
            error=bool(held.get("error")) or held.get("status") == "failed",
            item=held,
        )

    def _picture(self, held: Mapping[str, Any]) -> list[Delta]:
        key = _string(held.get("id"))
        if key in self._run or not held.get("result"):
            return []
        self._run.add(key)
        form = held.get("output_format")
        return self._media.whole(f"image/{form or 'png'}", held["result"])

    def _all_of(self, item: Item, held: Mapping[str, Any]) -> list[Event]:
        """What an item as it is told here adds to what was said of it."""
        if item.kind == "call":
            return self._call(item, held, whole=True)
        found: list[Event] = []
        if item.done and not item.sealed and (data := _string(held.get("encrypted_content"))):
            item.sealed = True
            summary = [_full(part) for part in _parts(held.get("summary"), "summary_text")]
            told = {"data": data, "id": _string(held.get("id")), "summary": summary}
            calls = sum(1 for other in self._items if other.number is not None)
            found.append(self._details.of("encrypted", self._speech.length, calls, **told))
        known = item.lists
        for name in ("summary", "content"):
            if item.kind == "reasoning" and known and name not in known:
                continue  # the same thoughts once more, in the other form
            parts = list(enumerate(_parts(held.get(name), _ALONE[item.kind])))
            item.counted(name, len(parts))
            if parts and item.loose:
                joined = "".join(_full(part) for _, part in parts)
                parts = [(UNNUMBERED, {**parts[0][1], "text": joined})]
            for part in (part for _, part in parts if item.kind == "message"):
                found += self._cite(item, part.get("annotations"))
            for number, part in parts:
                place = _PARTS.get(str(part.get("type")))
                if place is not None and place[0] == item.kind:
                    found += self._whole(item, place, number, _full(part))
        return found

    def _whole(self, item: Item, place: tuple[str, str], number: int, text: str) -> list[Delta]:
        """What the whole of a part adds to the pieces of it that came."""
        return self._add(item, place, number, item.left(place[1], number, text))

    def _cite(self, item: Item, held: Any) -> list[Delta]:
        """What an item cites that was not told before."""
        cited = [one for one in held if isinstance(one, dict)] if isinstance(held, list) else []
        new = [one for one in cited if as_text(one) not in item.cited]
        item.cited.update(map(as_text, new))
        return annotated(map(nested, new))

    def _add(self, item: Item, place: tuple[str, str], number: int, piece: str) -> list[Delta]:
        if not piece:
            return []
        item.add(place[1], number, piece)
        if place is _TEXT:
            return self._speech.say(piece)
        if place is _REFUSAL:
            return self._speech.refuse(piece)
        return self._speech.reason(piece)

    def _call(
        self, item: Item, held: Mapping[str, Any], piece: str = "", *, whole: bool = False
    ) -> list[Event]:
        """A piece of a call's arguments, or all of them, with what else is told of the call."""
        call, name = _string(held.get("call_id")), _string(held.get("name"))
        item.call, item.name = item.call or call, item.name or name
        if item.call.startswith(_XAI):
            item.number = None
        if item.number is None:
            return []
        found = self._calls.add(
            item.number, key=item.call, name=name, said=piece, custom=item.custom
        )
        return [*found, *self._calls.whole(item.number, _full(held))] if whole else [*found]

    def _at(self, kind: str, event: Mapping[str, Any]) -> Item:
        """The item that an event adds to, begun if nobody announced it."""
        index, keys = event.get("output_index"), _keys(event, "item_id")
        found = self._found(kind, index, keys)
        if found is None and kind == "call":
            # A call cannot do without the name that was announced under another id.
            announced = [item for item in self._items if item.name and not item.done]
            found = announced[-1] if announced and type(index) is not int else None
        return found or self._begin(kind, index, keys)

    def _found(self, kind: str, index: Any, keys: list[str]) -> Item | None:
        """The last item that this may be: by an id, by its index, or by being the last.

        Some servers number the beginning of an item in another way than its end (vLLM).
        """
        items = [item for item in reversed(self._items) if item.kind == kind]
        if found := next((item for item in items if item.called(keys)), None):
            return found
        if type(index) is int:
            if found := next((item for item in items if item.index == index), None):
                return found
            # One that was begun without an index has this one, if nothing speaks against it.
            open_ones = [item for item in self._items if item.kind == kind and not item.done]
            unknown = [item for item in open_ones if item.index is None]
            if unknown and (not keys or len(open_ones) == 1):
                unknown[0].index = index
                return unknown[0]
            return None
        return items[0] if items and not keys else None

    def _begin(self, kind: str, index: Any, keys: list[str]) -> Item:
        if len(self._items) >= MOST:
            raise malformed(f"more than {MOST} items in one reply")
        item = Item(kind, index if type(index) is int else None, keys[0] if keys else "")
        if kind == "call":
            item.number = sum(1 for other in self._items if other.kind == "call")
        self._items.append(item)
        return item

    def _end(self, stage: str, answer: Mapping[str, Any]) -> list[Event]:
        """The whole answer, said once more, and how it ended."""
        self._count(as_object(answer.get("usage")))
        if isinstance(tier := answer.get("service_tier"), str):
            self._extra = {"service_tier": whole(tier)}
        found = self._outputs(answer.get("output"))
        status = answer.get("status")
        if stage in ("completed", "done") and isinstance(status, str):
            stage = status
        if stage in ("failed", "cancelled") or answer.get("error"):
            why = complaint_in({"error": answer.get("error")})
            return [*found, *self._fail(why or ErrorReport(f'the response is "{stage}"'))]
        self._over = True
        if stage in ("in_progress", "queued"):
            return [*found, *self._rest()]  # an answer that is to be asked for later is none
        why_not = _string(as_object(answer.get("incomplete_details")).get("reason"))
        reason = self._reason(stage, why_not)
        found += self._rest(complete=reason in ("stop", "tool"))
        end = Finished(reason=reason, usage=self.usage, extra=self._extra)
        return [*found, self._calls.ended(end)]

    def _reason(self, stage: str, why_not: str) -> Reason:
        if "filter" in why_not:
            return "filter"
        if stage == "incomplete" or why_not:
            return "length"
        return "tool" if any(item.number is not None for item in self._items) else "stop"

    def _outputs(self, output: Any) -> list[Event]:
        """The items of the whole answer, each held against the one that it was before."""
        told = [
            (kind, held)
            for held in (output if isinstance(output, list) else ())
            if (kind := _KINDS.get(str(as_object(held).get("type")))) is not None
        ]
        known = {id(held): self._known(kind, _keys(held, "id")) for kind, held in told}
        taken = {id(item) for item in known.values()}
        left = sorted(
            (item for item in self._items if item.heard and id(item) not in taken),
            key=lambda item: MOST if item.index is None else item.index,
        )
        found: list[Event] = [
            event
            for held in (output if isinstance(output, list) else ())
            for event in self._ran(as_object(held))
        ]
        for kind, held in told:
            item = known[id(held)] or next((item for item in left if item.kind == kind), None)
            if item in left:
                left.remove(item)
            item = item or self._begin(kind, None, [])
            item.done = True
            found += self._all_of(item, held)
        return found

    def _known(self, kind: str, keys: list[str]) -> Item | None:
        return self._found(kind, None, keys) if keys else None

    def _count(self, held: Mapping[str, Any]) -> None:
        asked = as_object(held.get("input_tokens_details"))
        answered = as_object(held.get("output_tokens_details"))
        said = Usage(
            as_count(held.get("input_tokens"), held.get("prompt_tokens")),
            as_count(held.get("output_tokens"), held.get("completion_tokens")),
            as_count(answered.get("reasoning_tokens")),
            as_count(asked.get("cached_tokens")),
            details=counted(("input_", asked), ("output_", answered)),
        )
        self.usage = balanced(said, total=as_count(held.get("total_tokens"))) or self.usage

    def _fail(self, complaint: ErrorReport) -> list[Event]:
        found = self._rest()
        self._over = True
        return [*found, complaint.failure(self.usage)]

    def _rest(self, *, complete: bool = False) -> list[Event]:
        return [*self._speech.rest(), *self._calls.end(complete=complete)]


def _as_input(held: Any) -> str:
    """What a tool was asked, as the JSON text of an object."""
    if isinstance(held, dict):
        return as_text(held)
    name = "queries" if isinstance(held, list) else "code"
    return as_text({name: held} if held else {})


def _string(value: Any) -> str:
    return whole(value) if isinstance(value, str) else ""


def _keys(held: Mapping[str, Any], name: str) -> list[str]:
    """The ids by which an item may be known."""
    return [key for key in (_string(held.get(name)), _string(held.get("call_id"))) if key]


def _number(event: Mapping[str, Any]) -> int:
    """Which part of its item an event is about."""
    number = event.get("content_index", event.get("summary_index"))
    return number if type(number) is int else UNNUMBERED


def _piece(delta: Any) -> str:
    found = as_object(delta).get("text", "") if isinstance(delta, dict) else delta
    return found if isinstance(found, str) else ""


def _full(held: Mapping[str, Any]) -> str:
    """The text of a part, or the arguments of a call, as a whole."""
    for name in ("text", "refusal", "arguments", "input"):
        found = held.get(name)
        if isinstance(found, str):
            return found
        if isinstance(found, dict) and found:
            return as_text(found)
    return ""


def _parts(held: Any, alone: str) -> list[Mapping[str, Any]]:
    if isinstance(held, str):
        return [{"type": alone, "text": held}]
    return [part for part in held if isinstance(part, dict)] if isinstance(held, list) else []
