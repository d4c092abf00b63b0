"""The input of a response as OpenAI lists it: items function from messages, page by page.

The items are those of this response alone, not of the ones before it. Their ids are the hub's:
they are derived from the response and the place of the item, so that a page can begin after one
of them. (Source: OpenAI API reference, "List input items".)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from hub.domain.errors import RequestError
from hub.domain.json_values import as_object
from hub.domain.provider_fields import ITEM, LISTS, seal
from hub.protocols.openai.responses_state import ID_PREFIXES

__all__ = ["input_items", "input_page"]

Item = dict[str, Any]

MOST: Final = 100
USUAL: Final = 20


def input_items(generation: str, messages: Iterable[Mapping[str, Any]]) -> list[Item]:
    """The messages as items, oldest first."""
    items = [item for message in messages for item in _items(message)]
    name = f"{generation.removeprefix('gen_')}in"
    return [
        {
            "id": f"{ID_PREFIXES.get(item['type'], 'item')}_{name}{place}",
            "status": "completed",
            **item,
        }
        for place, item in enumerate(items)
    ]


def input_page(
    items: Sequence[Item], *, after: str | None, limit: str | None, order: str | None
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
    ordered = list(items) if order == "asc" else list(reversed(items))
    begin = 0
    if after is not None:
        ids = [item["id"] for item in ordered]
        if after not in ids:
            raise RequestError("after must be the id of an item in this list")
        begin = ids.index(after) + 1
    shown = ordered[begin : begin + size]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": begin + size < len(ordered),
    }


def _items(message: Mapping[str, Any]) -> Iterator[Item]:
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        if isinstance(item := message.get(ITEM), dict):
            yield item
            return
        output = content if isinstance(content, str) else _parts("user", content)
        call_id = message.get("tool_call_id")
        yield {"type": "function_call_output", "call_id": call_id, "output": output}
        return
    if fields := {name: message[name] for name in LISTS if name in message}:
        yield {"type": "reasoning", "summary": [], "encrypted_content": seal(fields)}
    if content is not None:
        yield {"type": "message", "role": role, "content": _parts(role, content)}
    for call in map(as_object, message.get("tool_calls") or ()):
        custom = as_object(call.get("custom"))
        kind, name = ("custom_tool_call", "input") if custom else ("function_call", "arguments")
        function = custom or as_object(call.get("function"))
        item = {"type": kind, "call_id": call.get("id"), "name": function.get("name")}
        yield {**item, name: function.get(name)}


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
