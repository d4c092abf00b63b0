"""What a response was asked, as OpenAI lists it: messages as items again, page by page.

The items are those of this response alone; what was said before it stands with the ones that
``previous_response_id`` names. Their ids are the hub's: they follow from the response and the
place of the item, so that a page can be asked for after one of them.
(Source: OpenAI API reference, "List input items".)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from hub.domain.errors import RequestError
from hub.domain.json_values import as_object
from hub.domain.provider_fields import LISTS, seal

__all__ = ["input_items", "input_page"]

Item = dict[str, Any]

MOST: Final = 100
USUAL: Final = 20

_PREFIX: Final = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "function_call_output": "fco",
}


def input_items(generation: str, messages: Iterable[Mapping[str, Any]]) -> list[Item]:
    """The items that these messages were, oldest first."""
    found = [item for message in messages for item in _items(message)]
    name = f"{generation.removeprefix('gen_')}in"
    return [
        {"id": f"{_PREFIX[item['type']]}_{name}{place}", "status": "completed", **item}
        for place, item in enumerate(found)
    ]


def input_page(
    items: Sequence[Item], *, after: str | None, limit: str | None, order: str | None
) -> dict[str, Any]:
    """One page of them, the newest first unless ``order`` is ``asc``.

    Raises:
        RequestError: there is no item ``after``, or no such page.
    """
    if order not in (None, "asc", "desc"):
        raise RequestError("order is asc or desc")
    size = _size(limit)
    ordered = list(items) if order == "asc" else list(reversed(items))
    begin = 0
    if after is not None:
        places = [place for place, item in enumerate(ordered) if item["id"] == after]
        if not places:
            raise RequestError("after is the id of an item in this list")
        begin = places[0] + 1
    shown = ordered[begin : begin + size]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": begin + size < len(ordered),
    }


def _size(limit: str | None) -> int:
    if limit is None:
        return USUAL
    if not (limit.isascii() and limit.isdecimal() and len(limit) <= 3 and 1 <= int(limit) <= MOST):
        raise RequestError(f"limit is a number from 1 to {MOST}")
    return int(limit)


def _items(message: Mapping[str, Any]) -> Iterator[Item]:
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        key = message.get("tool_call_id")
        yield {"type": "function_call_output", "call_id": key, "output": _output(content)}
        return
    if fields := {name: message[name] for name in LISTS if name in message}:
        yield {"type": "reasoning", "summary": [], "encrypted_content": seal(fields)}
    if content is not None:
        yield {"type": "message", "role": role, "content": _parts(role, content)}
    for call in message.get("tool_calls") or ():
        if custom := as_object(as_object(call).get("custom")):
            told = {"name": custom.get("name"), "input": custom.get("input")}
            yield {"type": "custom_tool_call", "call_id": as_object(call).get("id"), **told}
            continue
        function = as_object(as_object(call).get("function"))
        yield {
            "type": "function_call",
            "call_id": as_object(call).get("id"),
            "name": function.get("name"),
            "arguments": function.get("arguments"),
        }


def _output(content: Any) -> Any:
    return content if isinstance(content, str) else _parts("user", content)


def _parts(role: Any, content: Any) -> list[Item]:
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [_part(role, part) for part in parts]


def _part(role: Any, part: Mapping[str, Any]) -> Item:
    if part["type"] == "file":
        return {"type": "input_file", **as_object(part["file"])}
    if part["type"] == "input_audio":
        return {"type": "input_audio", "input_audio": part["input_audio"]}
    if part["type"] == "image_url":
        return {"type": "input_image", "detail": "auto", "image_url": "", **_image(part)}
    if role == "assistant":
        return {"type": "output_text", "text": part["text"], "annotations": [], "logprobs": []}
    return {"type": "input_text", "text": part["text"]}


def _image(part: Mapping[str, Any]) -> dict[str, Any]:
    image = as_object(part["image_url"])
    return {"image_url": image["url"], **({"detail": image["detail"]} if "detail" in image else {})}
