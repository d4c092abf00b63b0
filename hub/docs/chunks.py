"""JSON Schemas of the chunks that other clients' protocols stream.

Each is a union over ``type``, and each row here is one member with its fields; a question mark
makes a field optional. The modules that write the chunks (`hub.protocols.aisdk.chunks`,
`hub.protocols.agui.chunks`, `hub.protocols.openai.responses_state`) explain the fields. A test
compares these rows with what those modules make of every recorded reply.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hub.docs.json_schema import ANY, BOOLEAN, TEXT, Schema, array, enum, ref, tagged

__all__ = ["CHUNKS"]

_NUMBER: Final[Schema] = {"type": "integer"}
_OBJECT: Final = ref("Object")
_LIST: Final = array(ANY)


def _one_of(
    description: str, kinds: Mapping[str, Mapping[str, Schema]], **common: Schema
) -> Schema:
    members = [
        tagged("", kind, {**common, **fields}, additionalProperties=False)
        for kind, fields in kinds.items()
    ]
    return {"description": description, "oneOf": members}


_PART: Final = {"id": TEXT}
_CALL: Final = {"toolCallId": TEXT}
_NAMED_CALL: Final = {**_CALL, "toolName": TEXT}
# Always true if present; client generators make broken code of a constant.
_RAN: Final = {"providerExecuted?": BOOLEAN, "dynamic?": BOOLEAN}
_BESIDE: Final = {"providerMetadata?": _OBJECT}
_UI: Final[Mapping[str, Mapping[str, Schema]]] = {
    "start": {"messageId": TEXT},
    "start-step": {},
    "text-start": _PART,
    "text-delta": {**_PART, "delta": TEXT},
    "text-end": _PART,
    "reasoning-start": _PART,
    "reasoning-delta": {**_PART, "delta": TEXT},
    "reasoning-end": {**_PART, **_BESIDE},
    "tool-input-start": _NAMED_CALL,
    "tool-input-delta": {**_CALL, "inputTextDelta": TEXT},
    "tool-input-available": {**_NAMED_CALL, "input": ANY, **_RAN, **_BESIDE},
    "tool-input-error": {**_NAMED_CALL, "input": ANY, "errorText": TEXT, **_BESIDE},
    "tool-output-available": {**_CALL, "output": ANY, **_RAN},
    "tool-output-error": {**_CALL, "errorText": TEXT, **_RAN},
    "source-url": {"sourceId": TEXT, "url": TEXT, "title?": TEXT},
    "source-document": {"sourceId": TEXT, "mediaType": TEXT, "title": TEXT, "filename": TEXT},
    "file": {"url": TEXT, "mediaType": TEXT},
    "data-media": {"data": _OBJECT, "transient": {"const": True}},
    "finish-step": {},
    "finish": {
        "finishReason": enum("stop", "length", "tool-calls", "content-filter"),
        "messageMetadata": _OBJECT,
    },
    "abort": {"reason": TEXT},
    "error": {"errorText": TEXT},
}

_MESSAGE: Final = {"messageId": TEXT}
_RUN: Final = {"threadId": TEXT, "runId": TEXT}
_AGUI: Final[Mapping[str, Mapping[str, Schema]]] = {
    "RUN_STARTED": _RUN,
    "TEXT_MESSAGE_START": {**_MESSAGE, "role": TEXT},
    "TEXT_MESSAGE_CONTENT": {**_MESSAGE, "delta": TEXT},
    "TEXT_MESSAGE_END": _MESSAGE,
    "REASONING_START": _MESSAGE,
    "REASONING_MESSAGE_START": {**_MESSAGE, "role": enum("reasoning")},
    "REASONING_MESSAGE_CONTENT": {**_MESSAGE, "delta": TEXT},
    "REASONING_MESSAGE_END": _MESSAGE,
    "REASONING_END": _MESSAGE,
    "REASONING_ENCRYPTED_VALUE": {
        "subtype": enum("message", "tool-call"),
        "entityId": TEXT,
        "encryptedValue": TEXT,
    },
    "STEP_STARTED": {"stepName": TEXT},
    "STEP_FINISHED": {"stepName": TEXT},
    "TOOL_CALL_START": {
        **_CALL,
        "toolCallName": TEXT,
        "parentMessageId": TEXT,
        "metadata?": _OBJECT,
    },
    "TOOL_CALL_ARGS": {**_CALL, "delta": TEXT},
    "TOOL_CALL_END": {**_CALL, "toolCallName": TEXT, "input?": ANY},
    "TOOL_CALL_RESULT": {
        **_CALL,
        **_MESSAGE,
        "content": TEXT,
        "role": enum("tool"),
        "state?": enum("output-error"),
    },
    "CUSTOM": {"name": enum("tool-input-available", "annotations", "media"), "value": ANY},
    "RUN_FINISHED": {**_RUN, "finishReason": TEXT, "usage?": ANY},
    "RUN_ERROR": {**_RUN, "message": TEXT, "code": TEXT, "error": _OBJECT},
}

_ITEM: Final = {"output_index": _NUMBER, "item": _OBJECT}
_AT: Final = {"output_index": _NUMBER, "item_id": TEXT}
_IN: Final = {**_AT, "content_index": _NUMBER}
_ABOUT: Final = {**_AT, "summary_index": _NUMBER}
_WHOLE: Final = {"response": ref("OpenAIResponse")}
_RESPONSES: Final[Mapping[str, Mapping[str, Schema]]] = {
    "response.created": _WHOLE,
    "response.in_progress": _WHOLE,
    "response.output_item.added": _ITEM,
    "response.output_item.done": _ITEM,
    "response.content_part.added": {**_IN, "part": _OBJECT},
    "response.content_part.done": {**_IN, "part": _OBJECT},
    "response.output_text.delta": {**_IN, "delta": TEXT, "logprobs": _LIST},
    "response.output_text.done": {**_IN, "text": TEXT, "logprobs": _LIST},
    "response.output_text.annotation.added": {
        **_IN,
        "annotation_index": _NUMBER,
        "annotation": _OBJECT,
    },
    "response.refusal.delta": {**_IN, "delta": TEXT},
    "response.refusal.done": {**_IN, "refusal": TEXT},
    "response.reasoning_summary_part.added": {**_ABOUT, "part": _OBJECT},
    "response.reasoning_summary_part.done": {**_ABOUT, "part": _OBJECT},
    "response.reasoning_summary_text.delta": {**_ABOUT, "delta": TEXT},
    "response.reasoning_summary_text.done": {**_ABOUT, "text": TEXT},
    "response.function_call_arguments.delta": {**_AT, "delta": TEXT},
    "response.function_call_arguments.done": {**_AT, "name": TEXT, "arguments": TEXT},
    "response.custom_tool_call_input.delta": {**_AT, "delta": TEXT},
    "response.custom_tool_call_input.done": {**_AT, "input": TEXT},
    "response.completed": _WHOLE,
    "response.incomplete": _WHOLE,
    "response.cancelled": _WHOLE,
    "response.failed": _WHOLE,
    "error": {"code": TEXT, "message": TEXT, "param": ANY, "error": _OBJECT},
}

CHUNKS: Final[Mapping[str, Schema]] = {
    # Named, because client generators stumble over many unnamed schemas.
    "Object": {"type": "object", "description": "Any JSON object."},
    "UIChunk": _one_of("A chunk of the AI SDK's UI message stream, version 1.", _UI),
    "ConversationChunk": _one_of("An event of AG-UI, for TanStack AI.", _AGUI),
    "ResponseEvent": _one_of(
        "An event of OpenAI's Responses; `sequence_number` counts them.",
        _RESPONSES,
        sequence_number=_NUMBER,
    ),
}
