"""What of an answer its provider must see again, and what of it is no text.

Models sign or encrypt what they think, and refuse or forget it if it does not come back as it
was. Providers run tools of their own. Such fields stand beside the text, by the same names in
events, in chat completions and in the messages of a prompt (``docs/provider-fields.md``)::

    reasoning_details   [{"type","format","index","at","upstream", "text"|"data"|"summary", …}]
    executed_tools      [{"name","format","index","at","upstream","id","arguments","output", …}]
    extra_content       of a tool call: {"google":{"thought_signature"},"streamhub":{"upstream"}}

``upstream`` says whose they are: nobody else is given them (`own_messages`). ``index`` numbers
both lists together, and ``at`` says what of the answer stood before, ``{"text","calls"}``, in
characters and in calls: some providers take their fields only where they were (`woven`).
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from hub.domain.events import Delta, ToolCall

__all__ = [
    "ANTHROPIC",
    "DETAILS",
    "EXECUTED",
    "EXTRA",
    "GEMINI",
    "LISTS",
    "RESPONSES",
    "Details",
    "own_messages",
    "owned",
    "placed",
    "seal",
    "signed",
    "stamped",
    "unseal",
    "woven",
]

Object = Mapping[str, Any]

DETAILS: Final = "reasoning_details"
EXECUTED: Final = "executed_tools"
LISTS: Final = (DETAILS, EXECUTED)
EXTRA: Final = "extra_content"
OURS: Final = "streamhub"
"""The part of an ``extra_content`` that is the hub's."""

# What the provider's own form is, by the names that OpenRouter has for them.
ANTHROPIC: Final = "anthropic-claude-v1"
GEMINI: Final = "google-gemini-v1"
RESPONSES: Final = "openai-responses-v1"

MOST: Final = 4 * 1024 * 1024
"""Characters of reasoning that are kept to be given back: more than any model thinks at once."""

_SEAL: Final = "hub1."


class Details:
    """Numbers the fields of one answer, in the form of one provider."""

    __slots__ = ("_form", "_index")

    def __init__(self, form: str) -> None:
        self._form = form
        self._index = 0

    def __bool__(self) -> bool:
        return self._index > 0

    def place(self, text: int = 0, calls: int = 0) -> dict[str, Any]:
        """What the next field says of itself; so many characters and calls stand before it."""
        placed: dict[str, Any] = {"format": self._form, "index": self._index}
        self._index += 1
        at = {name: count for name, count in (("text", text), ("calls", calls)) if count}
        return {**placed, "at": at} if at else placed

    def of(self, kind: str, before: int = 0, calls: int = 0, /, **fields: Any) -> Delta:
        """Reasoning to be given back, of the kind ``text`` or ``encrypted``."""
        told = {"type": f"reasoning.{kind}", **fields, **self.place(before, calls)}
        return Delta(extra={DETAILS: [told]})


def stamped(event: Delta, upstream: str) -> Delta:
    """The same, saying whose the fields in it are."""
    extra, tool = event.extra, event.tool
    lists = {
        name: [{**one, "upstream": upstream} for one in extra[name]]
        for name in LISTS
        if name in extra
    }
    if tool is not None and tool.extra_content:
        tool = replace(tool, extra_content={**tool.extra_content, OURS: {"upstream": upstream}})
    return Delta(
        event.generation, event.text, event.reasoning, tool, {**extra, **lists} if lists else extra
    )


# The messages of a prompt


def own_messages(messages: Sequence[Object], upstream: str) -> Sequence[Object]:
    """The messages as this upstream may be told them: with its own fields, and no others.

    Fields that say of nobody that they are theirs are a client's own affair and stay.
    """
    if not any(map(_holds, messages)):
        return messages
    return tuple(_own(one, upstream) if _holds(one) else one for one in messages)


def _holds(message: Any) -> bool:
    if not isinstance(message, Mapping) or message.get("role") != "assistant":
        return False
    return any(name in message for name in LISTS) or any(
        EXTRA in call for call in _objects(message.get("tool_calls"))
    )


def _own(message: Object, upstream: str) -> dict[str, Any]:
    told = dict(message)
    if DETAILS in told:
        # They say what is to be given back of it, and by which name.
        told.pop("reasoning_content", None)
    for name in LISTS:
        if name in told:
            told[name] = [
                {key: value for key, value in one.items() if key != "upstream"}
                for one in _objects(told[name])
                if one.get("upstream") in (None, upstream)
            ]
    if isinstance(told.get("tool_calls"), list):
        told["tool_calls"] = [_own_call(call, upstream) for call in told["tool_calls"]]
    return told


def _own_call(call: Any, upstream: str) -> Any:
    held = call.get(EXTRA) if isinstance(call, dict) else None
    if not isinstance(held, dict) or OURS not in held:
        return call
    ours = held[OURS] if isinstance(held[OURS], dict) else {}
    rest = {name: value for name, value in held.items() if name != OURS}
    told = {name: value for name, value in call.items() if name != EXTRA}
    return {**told, EXTRA: rest} if rest and ours.get("upstream") == upstream else told


def owned(message: Object) -> list[Object]:
    """The fields of a message that go back to its provider, in the order they came in."""
    found = [one for name in LISTS for one in _objects(message.get(name))]
    return sorted(found, key=lambda one: _count(one.get("index")))


def woven(text: str, calls: int, fields: Iterable[Object]) -> Iterator[str | int | Object]:
    """An answer as it was said: pieces of its text, the numbers of its calls, and its fields."""
    said = called = 0
    for one in fields:
        at = one.get("at")
        at = at if isinstance(at, dict) else {}
        if (end := min(_count(at.get("text")), len(text))) > said:
            yield text[said:end]
            said = end
        yield from range(called, end := max(called, min(_count(at.get("calls")), calls)))
        called = end
        yield one
    if said < len(text):
        yield text[said:]
    yield from range(called, calls)


def placed(fields: Iterable[Object], calls: Sequence[int]) -> list[Object]:
    """The same beside fewer calls: ``calls`` are the numbers of those that are left."""
    found: list[Object] = []
    for one in fields:
        at = one.get("at")
        before = _count(at.get("calls")) if isinstance(at, dict) else 0
        left = sum(1 for call in calls if call < before)
        if not before or left == before:
            found.append(one)
    return found


def _objects(held: Any) -> list[dict[str, Any]]:
    return [one for one in held if isinstance(one, dict)] if isinstance(held, list) else []


def _count(held: Any) -> int:
    return held if type(held) is int and held > 0 else 0


# For clients that give back one opaque text


def seal(fields: Mapping[str, Sequence[Object]]) -> str:
    """The lists of fields as one text, which `unseal` reads.

    One by the name of `EXTRA` says of calls what is beside them: ``[{"id","extra_content"}]``.
    """
    return _SEAL + urlsafe_b64encode(orjson.dumps(fields)).decode()


def unseal(text: Any) -> dict[str, list[dict[str, Any]]]:
    """The lists in a text that `seal` made; none in any other."""
    if not isinstance(text, str) or not text.startswith(_SEAL):
        return {}
    try:
        held = orjson.loads(urlsafe_b64decode(text.removeprefix(_SEAL)))
    except ValueError:
        return {}
    held = held if isinstance(held, dict) else {}
    return {name: found for name in (*LISTS, EXTRA) if (found := _objects(held.get(name)))}


def signed(call: ToolCall) -> dict[str, Any]:
    """What a call holds beside its function, where a client is to give it back."""
    return {EXTRA: dict(call.extra_content)} if call.extra_content else {}
