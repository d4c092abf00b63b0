"""The input of a response as OpenAI lists it: items function from messages, page by page.

The items are those of this response alone, not of the ones before it. Their ids are the hub's:
they are derived from the response and the place of the item, so that a page can begin after one
of them. (Source: OpenAI API reference, "List input items".)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from hub.domain.errors import RequestError
from hub.domain.json_values import as_object
from hub.domain.provider_fields import ITEM, LISTS, seal
from hub.protocols.openai.responses_state import ID_PREFIXES

__all__ = ["InputItems", "input_page"]

Item = dict[str, Any]

MOST: Final = 100
USUAL: Final = 20

MOST_DIGITS: Final = 18
"""No list is that long, and Python refuses to convert numbers of thousands of digits."""


class InputItems:
    """The messages as items, oldest first; each is made when it is asked for."""

    def __init__(self, generation: str, messages: Sequence[Mapping[str, Any]]) -> None:
        self._messages = messages
        self._name = f"{generation.removeprefix('gen_')}in"
        self._ends = list(accumulate(map(_count, messages)))
        """Of each message, how many items there are up to its last one."""

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, place: int) -> Item:
        number = bisect_right(self._ends, place)
        begin = self._ends[number - 1] if number else 0
        item = _item(self._messages[number], place - begin)
        prefix = ID_PREFIXES.get(item["type"], "item")
        return {"id": f"{prefix}_{self._name}{place}", "status": "completed", **item}

    def find(self, name: str) -> int | None:
        """The place of the item with an id; ``None`` if there is none."""
        _, _, digits = name.partition(f"_{self._name}")
        if digits.isascii() and digits.isdecimal() and len(digits) <= MOST_DIGITS:
            place = int(digits)
            if place < len(self) and self[place]["id"] == name:
                return place
        # What came in a provider's own form may have an id of its own.
        for number, message in enumerate(self._messages):
            if as_object(message.get(ITEM)).get("id") == name:
                return self._ends[number] - 1
        return None


def input_page(
    items: InputItems, *, after: str | None, limit: str | None, order: str | None
) -> dict[str, Any]:
    """One page of them, the newest first unless ``order`` is ``asc``.

    Raises:
        RequestError: a parameter is malformed, or no item has the id ``after``.
    """
    if order not in (None, "asc", "desc"):
        raise RequestError("order must be asc or desc")
    size = USUAL
    if limit is not None:
        size = int(limit) if limit.isascii() and limit.isdecimal() and len(limit) <= 3 else 0
        if not 1 <= size <= MOST:
            raise RequestError(f"limit must be a number from 1 to {MOST}")
    places = range(len(items)) if order == "asc" else range(len(items))[::-1]
    begin = 0
    if after is not None:
        place = items.find(after)
        if place is None:
            raise RequestError("after must be the id of an item in this list")
        begin = places.index(place) + 1
    shown = [items[place] for place in places[begin : begin + size]]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": begin + size < len(items),
    }


def _count(message: Mapping[str, Any]) -> int:
    """How many items a message becomes."""
    if message.get("role") == "tool":
        return 1
    return (
        any(name in message for name in LISTS)
        + (message.get("content") is not None)
        + len(message.get("tool_calls") or ())
    )


def _item(message: Mapping[str, Any], place: int) -> Item:
    """One of the items of a message: its reasoning, its text, its calls."""
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        if isinstance(item := message.get(ITEM), dict):
            return item
        output = content if isinstance(content, str) else _parts("user", content)
        call_id = message.get("tool_call_id")
        return {"type": "function_call_output", "call_id": call_id, "output": output}
    if fields := {name: message[name] for name in LISTS if name in message}:
        if place == 0:
            return {"type": "reasoning", "summary": [], "encrypted_content": seal(fields)}
        place -= 1
    if content is not None:
        if place == 0:
            return {"type": "message", "role": role, "content": _parts(role, content)}
        place -= 1
    call = as_object(message["tool_calls"][place])
    custom = as_object(call.get("custom"))
    kind, name = ("custom_tool_call", "input") if custom else ("function_call", "arguments")
    function = custom or as_object(call.get("function"))
    item = {"type": kind, "call_id": call.get("id"), "name": function.get("name")}
    return {**item, name: function.get(name)}


def _parts(role: Any, content: Any) -> list[Item]:
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [_part(role, part) for part in parts]


def _part(role: Any, part: Mapping[str, Any]) -> Item:
    if part["type"] == "file":
        return {"type": "input_file", **as_object(part["file"])}
    if part["type"] == "input_audio":
        return {"type": "input_audio", "input_audio": part["input_audio"]}
    if part["type"] == "image_url":
        image = as_object(part["image_url"])
        detail = image.get("detail", "auto")
        return {"type": "input_image", "detail": detail, "image_url": image["url"]}
    if role == "assistant":
        return {"type": "output_text", "text": part["text"], "annotations": [], "logprobs": []}
    return {"type": "input_text", "text": part["text"]}
