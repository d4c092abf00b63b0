"""The fields of a reply that are not text and that its provider requires back.

Models sign or encrypt their reasoning, and refuse or forget it if it does not come back unchanged.
Providers run tools of their own. Such fields have the same names in events, in chat completions and
in the messages of a prompt (``docs/provider-fields.md``)::

    reasoning_details   [{"type","format","index","at","upstream", "text"|"data"|"summary", …}]
    executed_tools      [{"name","format","index","at","upstream","id","arguments","output", …}]
    item                of a tool's message: a result in the provider's own format
    extra_content       of a tool call: {"google":{"thought_signature"},"streamhub":{"upstream"}}

A detail with ``media`` is the signature of the message's image with that index, which goes back
with it.

``upstream`` names the upstream that the fields belong to; no other gets them (`own_messages`).
``index`` numbers both lists together. ``at`` is ``{"text","calls"}``, the characters and calls of
the reply before the field: some providers require their fields in the original places (`woven`).
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from hub.domain.events import Delta, ToolCall
from hub.domain.media import IMAGES

__all__ = [
    "ANTHROPIC",
    "DETAILS",
    "EXECUTED",
    "EXTRA",
    "GEMINI",
    "ITEM",
    "LISTS",
    "RESPONSES",
    "Details",
    "is_signed_media",
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
ITEM: Final = "item"
"""The key of a result in the provider's own format, in a message of a tool."""
OURS: Final = "streamhub"
"""The key of the hub's own part of an ``extra_content``."""

# The formats of providers, by OpenRouter's names.
ANTHROPIC: Final = "anthropic-claude-v1"
GEMINI: Final = "google-gemini-v1"
RESPONSES: Final = "openai-responses-v1"

MOST: Final = 4 * 1024 * 1024
"""Characters of reasoning that are kept to send back, which is more than any model writes."""

_SEAL: Final = "hub1."


class Details:
    """Numbers the fields of one reply, which are in the format of one provider."""

    __slots__ = ("_form", "_index")

    def __init__(self, form: str) -> None:
        self._form = form
        self._index = 0

    def __bool__(self) -> bool:
        return self._index > 0

    def place(self, text: int = 0, calls: int = 0) -> dict[str, Any]:
        """The next field's format, index and place; ``text`` and ``calls`` come before it."""
        placed: dict[str, Any] = {"format": self._form, "index": self._index}
        self._index += 1
        at = {name: count for name, count in (("text", text), ("calls", calls)) if count}
        return {**placed, "at": at} if at else placed

    def of(self, kind: str, before: int = 0, calls: int = 0, /, **fields: Any) -> Delta:
        """Reasoning to send back, of the kind ``text`` or ``encrypted``."""
        detail = {"type": f"reasoning.{kind}", **fields, **self.place(before, calls)}
        return Delta(extra={DETAILS: [detail]})


def stamped(event: Delta, upstream: str) -> Delta:
    """The delta with the name of the upstream in its fields."""
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
    """The messages without the fields that belong to other upstreams.

    Fields without an upstream are the client's responsibility and stay.
    """
    if not any(map(_has_fields, messages)):
        return messages
    own = (_own(one, upstream) if _has_fields(one) else one for one in messages)
    return tuple(one for one in own if one)


def _has_fields(message: Any) -> bool:
    if not isinstance(message, Mapping) or message.get("role") != "assistant":
        return False
    return any(name in message for name in LISTS) or any(
        EXTRA in call for call in _objects(message.get("tool_calls"))
    )


def _own(message: Object, upstream: str) -> dict[str, Any]:
    """The message without other upstreams' fields; empty if it had nothing else."""
    own = dict(message)
    if DETAILS in own:
        # The details have what to send back, under the provider's names.
        own.pop("reasoning_content", None)
        own.pop("audio", None)  # no other upstream knows its id
    for name in LISTS:
        if name in own:
            own[name] = [
                {key: value for key, value in one.items() if key != "upstream"}
                for one in _objects(own[name])
                if one.get("upstream") in (None, upstream)
            ]
    if isinstance(own.get("tool_calls"), list):
        own["tool_calls"] = [_own_call(call, upstream) for call in own["tool_calls"]]
    if is_signed_media(message) and not is_signed_media(own):
        own.pop(IMAGES, None)
        if not own.get("content") and not own.get("tool_calls"):
            return {}
    return own


def is_signed_media(fields: Object) -> bool:
    """Whether the fields of a delta or of a message sign an image."""
    return any("media" in one for one in _objects(fields.get(DETAILS)))


def _own_call(call: Any, upstream: str) -> Any:
    extra = call.get(EXTRA) if isinstance(call, dict) else None
    if not isinstance(extra, dict) or OURS not in extra:
        return call
    ours = extra[OURS] if isinstance(extra[OURS], dict) else {}
    rest = {name: value for name, value in extra.items() if name != OURS}
    bare = {name: value for name, value in call.items() if name != EXTRA}
    return {**bare, EXTRA: rest} if rest and ours.get("upstream") == upstream else bare


def owned(message: Object) -> list[Object]:
    """The fields of a message to send back to its provider, in their original order."""
    found = [one for name in LISTS for one in _objects(message.get(name))]
    return sorted(found, key=lambda one: _count(one.get("index")))


def woven(text: str, calls: int, fields: Iterable[Object]) -> Iterator[str | int | Object]:
    """A reply in its original order: pieces of text, the numbers of calls, and fields."""
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
    """The fields that still fit when only the calls with these numbers are left."""
    found: list[Object] = []
    ordered = sorted(calls)
    for one in fields:
        at = one.get("at")
        before = _count(at.get("calls")) if isinstance(at, dict) else 0
        if not before or bisect_left(ordered, before) == before:
            found.append(one)
    return found


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _count(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0


# For clients that send back one opaque text


def seal(fields: Mapping[str, Sequence[Object]]) -> str:
    """Encode the lists of fields as one text, for `unseal`.

    The list named `EXTRA` has the fields of calls: ``[{"id","extra_content","custom"}]``.
    """
    return _SEAL + urlsafe_b64encode(orjson.dumps(fields)).decode()


def unseal(text: Any) -> dict[str, list[dict[str, Any]]]:
    """The lists in a text that `seal` made; empty for any other text."""
    if not isinstance(text, str) or not text.startswith(_SEAL):
        return {}
    try:
        value = orjson.loads(urlsafe_b64decode(text.removeprefix(_SEAL)))
    except ValueError:
        return {}
    value = value if isinstance(value, dict) else {}
    return {name: found for name in (*LISTS, EXTRA) if (found := _objects(value.get(name)))}


def signed(call: ToolCall) -> dict[str, Any]:
    """A call's ``extra_content``, for a client to send back."""
    return {EXTRA: dict(call.extra_content)} if call.extra_content else {}
