"""OpenAI's Responses, and the servers that copy it.

The answer is a list of items (messages, reasoning, tool calls), each made of parts. An event such
as ``{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"Hi"}`` adds to
one part. The ``type`` in the data counts; not all servers name the event, too. The end is
``response.completed``, ``.incomplete`` or ``.failed``, which repeats the whole answer; without one
of them the reply was cut off.

Each text comes up to five times: in deltas, with the ends of its text, its part and its item, and
in the whole answer. Servers leave out any of these, so each is read for what it adds to the earlier
ones (`Item`). An item is known by one of its ids, or else by its ``output_index``. With some
servers the ids are new in every event, with others the index is missing, and others give one index
to several items.

Encrypted reasoning is to be given back (`hub.domain.provider_fields`), and given out once it is
whole. Tools that the provider runs itself (search, code, MCP) are given out once they are done
(`hub.domain.executed_tools`). A ``response`` that is not streamed is read as the end of one.
``error`` is always the end.

Besides functions and custom tools, the client may have to run a ``computer_call`` and the like.
Only clients of Responses know such items. For any other client the reply fails
(``unsupported_part``), unless the provider gives the result itself, as for its hosted shell.

Options: ``think`` (false): see `hub.dialects.reply.think_tags`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from hub.dialects import Call
from hub.dialects.openai_responses.items import UNNUMBERED, Item
from hub.dialects.openai_responses.request import responses_body
from hub.dialects.reply.error_reports import ErrorReport, error_in_body, find_error
from hub.dialects.reply.reply_reader import ObjectReader
from hub.dialects.reply.stop_sequences import StopSequences
from hub.dialects.reply.text_deltas import CLOSING
from hub.dialects.reply.token_counts import balanced, counted
from hub.dialects.request.chat_request import stop_sequences
from hub.dialects.request.dialect_options import Options
from hub.domain.annotations import annotated, logprobs_of, nested, with_logprobs
from hub.domain.errors import Refusal
from hub.domain.events import NOTHING, Delta, Event, Failed, Finished, Reason, Usage
from hub.domain.executed_tools import executed
from hub.domain.json_values import as_count, as_list, as_object, as_string, as_text, malformed
from hub.domain.media import Media
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import EXECUTED, RESPONSES, Details
from hub.framing import Chunk

__all__ = ["OpenAIResponses"]

DIALECT: Final = "openai-responses"

MOST: Final = 1_000
"""Items in one reply."""

# What an event adds to: the kind of the item, and the list of its parts.
_TEXT: Final = ("message", "content")
_REFUSAL: Final = ("message", "refusal")
_SUMMARY: Final = ("reasoning", "summary")
_THOUGHT: Final = ("reasoning", "content")
_ARGUMENTS: Final = ("call", "arguments")

_DELTAS: Final[Mapping[str, tuple[str, str]]] = {
    **dict.fromkeys(("output_text", "text", "content_part"), _TEXT),  # the last of OpenRouter
    "refusal": _REFUSAL,
    **dict.fromkeys(("reasoning_summary_text", "reasoning_summary"), _SUMMARY),
    **dict.fromkeys(("reasoning_text", "reasoning"), _THOUGHT),
    **dict.fromkeys(("function_call_arguments", "custom_tool_call_input"), _ARGUMENTS),
}
_PARTS: Final[Mapping[str, tuple[str, str]]] = {
    "output_text": _TEXT, "text": _TEXT, "refusal": _REFUSAL, "summary_text": _SUMMARY,
    "reasoning_text": _THOUGHT,
}  # fmt: skip
# The type of a part where a text stands in place of a list of parts.
_ALONE: Final = {"message": "output_text", "reasoning": "reasoning_text"}
_KINDS: Final[Mapping[str, str]] = {
    "message": "message", "reasoning": "reasoning", "function_call": "call",
    "custom_tool_call": "call",
}  # fmt: skip
# Tools that the provider runs, with the fields of their input and of their output.
_MCP: Final = (("arguments",), ("output", "error"))
_RUN: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "web_search_call": (("action",), ("results",)),
    "file_search_call": (("queries",), ("results",)),
    "code_interpreter_call": (("code",), ("outputs",)),
    "mcp_call": _MCP,
    "mcp_list_tools": ((), ("tools", "error")),
}
# Tools that the client runs, unless a result comes with the call; with the fields of their input.
_FOR_CLIENT: Final[Mapping[str, tuple[str, ...]]] = {
    "computer_call": ("action", "actions"),
    "local_shell_call": ("action",),
    "shell_call": ("action",),
    "apply_patch_call": ("operation",),
    "mcp_approval_request": ("arguments",),
}
_RESULT: Final = "_output"
"""The end of the type of a result; before it stands the type of the call."""
# The ids of calls that xAI makes itself begin like this.
_XAI: Final = "xs_call"
_ENDS: Final = frozenset({"completed", "done", "incomplete", "failed", "cancelled"})


class OpenAIResponses(ObjectReader):
    """Reads one reply in the OpenAI Responses format."""

    native_items: ClassVar[bool] = True

    def __init__(self, options: Mapping[str, Any] = NOTHING) -> None:
        super().__init__(think=Options(DIALECT, options, ("think",)).flag_or("think", CLOSING))
        self._items: list[Item] = []
        self._details = Details(RESPONSES)
        self._executed: set[str] = set()
        self._pending: dict[str, list[Delta]] = {}
        """The calls that the client has to run, by their ids."""
        self._client_takes_items = True
        self._media = Media()
        self._extra: Mapping[str, Any] = NOTHING
        self._stop = StopSequences(())

    @property
    def stopped(self) -> bool:
        return self._stop.found

    def call(self, prompt: Prompt) -> Call:
        self._stop = StopSequences(stop_sequences(prompt.options.get("stop")))
        self._client_takes_items = prompt.items
        return Call("/responses", responses_body(DIALECT, prompt), {"Accept": "text/event-stream"})

    def events(self, chunk: Chunk) -> Iterable[Event]:
        found = self._stop.cut(super().events(chunk))
        self._over = self._over or self._stop.found
        return found

    def close(self, *, clean: bool) -> Iterable[Event]:
        found = self._stop.cut(super().close(clean=clean))
        return [*found, *self._stop.rest()]

    def _read(self, held: Any, chunk: Chunk) -> Iterable[Event]:
        if not isinstance(held, dict):
            if (report := find_error(held)) is None:
                raise malformed("a chunk that is not an object")
            return self._fail(report)
        kind = held.get("type")
        kind = kind if isinstance(kind, str) else chunk.event
        if held.get("error") or kind in ("error", "response.error"):
            answer = held.get("object") == "response"
            return self._end("failed", held) if answer else self._fail(error_in_body(chunk.data))
        if kind.startswith("response."):
            name, _, stage = kind.removeprefix("response.").rpartition(".")
            return self._stage(name, stage, held)
        if held.get("object") == "response" or isinstance(held.get("output"), list):
            return self._end("completed", held)
        return self._fail(report) if (report := find_error(held)) else ()

    def _stage(self, name: str, stage: str, held: Mapping[str, Any]) -> Iterable[Event]:
        """One event of the reply; ``stage`` is the last word of its type, ``name`` the others."""
        if not name:
            answer = held.get("response")
            if stage in _ENDS:
                return self._end(stage, answer if isinstance(answer, dict) else held)
        elif name == "output_item":
            if stage in ("added", "done"):
                return self._item(as_object(held.get("item")), held, done=stage == "done")
        elif stage == "partial_image":
            return self._media.whole("image/png", held.get("partial_image_b64"), preview=True)
        elif stage == "delta":
            return self._delta(name, held)
        elif name == "output_text.annotation":
            return self._cite(self._at("message", held), [held.get("annotation")])
        elif stage == "done":
            return self._part(name, held)
        return ()

    def _delta(self, name: str, held: Mapping[str, Any]) -> Iterable[Event]:
        place, delta = _DELTAS.get(name), held.get("delta")
        if place is None:
            return ()
        piece = delta.get("text", "") if isinstance(delta, dict) else delta
        piece = piece if isinstance(piece, str) else ""
        item, number = self._at(place[0], held), _number(held)
        if item.kind == "call":
            item.custom = item.custom or name == "custom_tool_call_input"
            return self._call(item, held, piece)
        item.piece(number)
        deltas = self._add(item, place, number, piece)
        return with_logprobs(deltas, logprobs_of(held.get("logprobs")))

    def _part(self, name: str, held: Mapping[str, Any]) -> Iterable[Event]:
        part, place = held, _DELTAS.get(name)
        if name in ("content_part", "reasoning_summary_part", "reasoning_part"):
            part = as_object(held.get("part"))
            place = _PARTS.get(str(part.get("type")))
        if place is None:
            return ()
        item = self._at(place[0], held)
        if item.kind == "call":
            return self._call(item, held, whole=True)
        item.whole(_number(held))
        return self._whole(item, place, _number(held), _full(part))

    def _item(
        self, held: Mapping[str, Any], event: Mapping[str, Any], *, done: bool
    ) -> list[Event]:
        kind = _KINDS.get(str(held.get("type")))
        if kind is None:
            return [*self._execution(held)] if done else []
        index, keys = event.get("output_index"), _keys(held, "id")
        item = self._find(kind, index, keys)
        if item is not None and not item.called(keys):
            # Only servers that number wrongly use an index again.
            call = as_string(held.get("call_id"))
            other = (item.call and call) or (item.key and keys and not done)
            item = None if item.done or other else item
        if item is None:
            item = self._begin(kind, index, keys)
        item.done = done
        item.custom = item.custom or held.get("type") == "custom_tool_call"
        return self._all_of(item, held)

    def _execution(self, held: Mapping[str, Any]) -> list[Delta]:
        """A tool that the provider has run; each is given once."""
        key = as_string(held.get("id"))
        if held.get("type") == "image_generation_call":
            if key in self._executed or not held.get("result"):
                return []
            self._executed.add(key)
            return self._media.whole(f"image/{held.get('output_format') or 'png'}", held["result"])
        if (kind := str(held.get("type"))).removesuffix(_RESULT) in _FOR_CLIENT:
            return self._call_for_client(kind, held)
        fields, count = _RUN.get(kind), len(self._executed)
        key = key or str(count)
        if fields is None or key in self._executed or count >= MOST:
            return []
        self._executed.add(key)
        asked, output = (next((held[n] for n in names if held.get(n)), None) for names in fields)
        return executed(
            self._details.place(self._text.length, self._calls_so_far()),
            held.get("name") or kind.removesuffix("_call"),
            asked if isinstance(asked, str) and fields is _MCP else _arguments(asked),
            output,
            key=key,
            error=bool(held.get("error")) or held.get("status") == "failed",
            item=held,
        )

    def _call_for_client(self, kind: str, held: Mapping[str, Any]) -> list[Delta]:
        """A call that the client has to run, or the provider's own result of one."""
        call = as_string(held.get("call_id")) or as_string(held.get("id"))
        key = f"{kind} {call}"
        if key in self._executed or len(self._executed) >= MOST:
            return []
        self._executed.add(key)
        is_result = kind.endswith(_RESULT)
        names = _FOR_CLIENT[kind.removesuffix(_RESULT)]
        asked = None if is_result else next((held[n] for n in names if held.get(n)), None)
        found = executed(
            self._details.place(self._text.length, self._calls_so_far()),
            held.get("name") or kind.removesuffix("_call"),
            asked if isinstance(asked, str) else as_text(asked or {}),
            held.get("output") if is_result else None,
            key=call,
            item=held,
            pending=not is_result,
        )
        if is_result:
            before = self._pending.pop(call, [])
            return found if self._client_takes_items else [*before, *found]
        self._pending[call] = found
        return found if self._client_takes_items else []

    def _unsupported(self) -> Failed:
        """The end of a reply that asks the client for what it has no form for."""
        calls = (delta.extra[EXECUTED][0] for found in self._pending.values() for delta in found)
        named = ", ".join(dict.fromkeys(str(call["item"].get("type")) for call in calls))
        message = (
            "the model asks the client to run something that this interface has no form for "
            f"({named}): use POST /v1/responses, or leave the tool out"
        )
        said = {"code": "unsupported_part", "type": "invalid_request_error", "param": "tools"}
        return Failed(
            code="unsupported_part",
            message=message,
            usage=self.usage,
            refusal=Refusal(400, message, said),
        )

    def _calls_so_far(self) -> int:
        return sum(1 for item in self._items if item.number is not None)

    def _all_of(self, item: Item, held: Mapping[str, Any]) -> list[Event]:
        """What a whole item adds to what has come of it."""
        if item.kind == "call":
            return self._call(item, held, whole=True)
        found: list[Event] = []
        if item.done and not item.sealed and (data := as_string(held.get("encrypted_content"))):
            item.sealed = True
            summary = [_full(part) for part in _parts(held.get("summary"), "summary_text")]
            fields = {"data": data, "id": as_string(held.get("id")), "summary": summary}
            before = self._text.length, self._calls_so_far()
            found.append(self._details.of("encrypted", *before, **fields))
        known = item.lists
        for name in ("summary", "content"):
            if item.kind == "reasoning" and known and name not in known:
                continue  # the same thoughts in the other form
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
        """What a whole part adds to its pieces."""
        return self._add(item, place, number, item.left(place[1], number, text))

    def _cite(self, item: Item, held: Any) -> list[Delta]:
        """The annotations of an item that have not been given out."""
        cited = [one for one in as_list(held) if isinstance(one, dict)]
        new = [one for one in cited if as_text(one) not in item.cited]
        item.cited.update(map(as_text, new))
        return annotated(map(nested, new))

    def _add(self, item: Item, place: tuple[str, str], number: int, piece: str) -> list[Delta]:
        if not piece:
            return []
        item.add(place[1], number, piece)
        if place is _TEXT:
            return self._text.say(piece)
        if place is _REFUSAL:
            return self._text.refuse(piece)
        return self._text.reason(piece)

    def _call(
        self, item: Item, held: Mapping[str, Any], piece: str = "", *, whole: bool = False
    ) -> list[Event]:
        """A piece of a call's arguments, or all of them, with its id and name if they are given."""
        call, name = as_string(held.get("call_id")), as_string(held.get("name"))
        item.call, item.name = item.call or call, item.name or name
        if item.call.startswith(_XAI):
            item.number = None
        if item.number is None:
            return []
        found = self._calls.add(
            item.number, key=item.call, name=name, arguments=piece, custom=item.custom
        )
        return [*found, *self._calls.whole(item.number, _full(held))] if whole else [*found]

    def _at(self, kind: str, event: Mapping[str, Any]) -> Item:
        """The item that an event adds to, a new one if none was announced."""
        index, keys = event.get("output_index"), _keys(event, "item_id")
        found = self._find(kind, index, keys)
        if found is None and kind == "call":
            # A call needs its name, which may have been announced under another id.
            announced = [item for item in self._items if item.name and not item.done]
            found = announced[-1] if announced and type(index) is not int else None
        return found or self._begin(kind, index, keys)

    def _find(self, kind: str, index: Any, keys: list[str]) -> Item | None:
        """The last item with one of the ids, or with the index, or at all if neither is given.

        vLLM numbers the end of some items differently from their beginning.
        """
        items = [item for item in reversed(self._items) if item.kind == kind]
        if found := next((item for item in items if item.called(keys)), None):
            return found
        if type(index) is int:
            if found := next((item for item in items if item.index == index), None):
                return found
            # An open item without an index may have this one.
            open_ones = [item for item in reversed(items) if not item.done]
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
        """The whole answer, repeated at its end, and how it ended."""
        self._count(as_object(answer.get("usage")))
        if isinstance(tier := answer.get("service_tier"), str):
            self._extra = {"service_tier": as_string(tier)}
        found = self._outputs(as_list(answer.get("output")))
        status = answer.get("status")
        if stage in ("completed", "done") and isinstance(status, str):
            stage = status
        if stage in ("failed", "cancelled") or answer.get("error"):
            report = find_error({"error": answer.get("error")})
            return [*found, *self._fail(report or ErrorReport(f'the response is "{stage}"'))]
        self._over = True
        if stage in ("in_progress", "queued"):
            return [*found, *self._rest()]  # the answer would have to be fetched later
        if self._pending and not self._client_takes_items:
            return [*found, *self._rest(complete=True), self._unsupported()]
        cause = as_string(as_object(answer.get("incomplete_details")).get("reason"))
        reason: Reason = "tool" if self._calls_so_far() or self._pending else "stop"
        if "filter" in cause:
            reason = "filter"
        elif stage == "incomplete" or cause:
            reason = "length"
        found += self._rest(complete=reason in ("stop", "tool"))
        end = Finished(reason=reason, usage=self.usage, extra=self._extra)
        return [*found, self._calls.ended(end)]

    def _outputs(self, output: list[Any]) -> list[Event]:
        """The items of the whole answer, each compared with what has come of it."""
        whole = [
            (kind, held)
            for held in output
            if (kind := _KINDS.get(str(as_object(held).get("type")))) is not None
        ]
        known: dict[int, Item | None] = {}
        for kind, held in whole:
            keys = _keys(held, "id")
            known[id(held)] = self._find(kind, None, keys) if keys else None
        taken = {id(item) for item in known.values()}
        left = sorted(
            (item for item in self._items if item.heard and id(item) not in taken),
            key=lambda item: MOST if item.index is None else item.index,
        )
        found: list[Event] = [
            event for held in output for event in self._execution(as_object(held))
        ]
        for kind, held in whole:
            item = known[id(held)] or next((item for item in left if item.kind == kind), None)
            if item in left:
                left.remove(item)
            item = item or self._begin(kind, None, [])
            item.done = True
            found += self._all_of(item, held)
        return found

    def _count(self, held: Mapping[str, Any]) -> None:
        asked = as_object(held.get("input_tokens_details"))
        answered = as_object(held.get("output_tokens_details"))
        usage = Usage(
            as_count(held.get("input_tokens"), held.get("prompt_tokens")),
            as_count(held.get("output_tokens"), held.get("completion_tokens")),
            as_count(answered.get("reasoning_tokens")),
            as_count(asked.get("cached_tokens")),
            details=counted(("input_", asked), ("output_", answered)),
        )
        self.usage = balanced(usage, total=as_count(held.get("total_tokens"))) or self.usage


def _arguments(held: Any) -> str:
    """The input of a tool as JSON text of an object."""
    if isinstance(held, dict):
        return as_text(held)
    name = "queries" if isinstance(held, list) else "code"
    return as_text({name: held} if held else {})


def _keys(held: Mapping[str, Any], name: str) -> list[str]:
    """The ids by which an item may be known."""
    return [key for key in (as_string(held.get(name)), as_string(held.get("call_id"))) if key]


def _number(event: Mapping[str, Any]) -> int:
    """The number of the part that an event is about."""
    number = event.get("content_index", event.get("summary_index"))
    return number if type(number) is int else UNNUMBERED


def _full(held: Mapping[str, Any]) -> str:
    """The text of a whole part, or the arguments of a whole call."""
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
    return [part for part in as_list(held) if isinstance(part, dict)]
