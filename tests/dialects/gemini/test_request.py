"""Prompts as paths and bodies for Gemini."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hub.dialects.gemini.request import UNSIGNED, request_body, request_path
from hub.domain.errors import RequestError
from hub.domain.prompt import Prompt
from tests.support.counted_names import Name
from tests.support.operations import is_linear

HI = {"role": "user", "content": "Hi"}
SCHEMA = {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {}}}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}
BARE = {"type": "function", "function": {"name": "g"}}


def body_for(
    *messages: dict[str, Any], model: str | None = "gemini-3-flash", **options: Any
) -> dict[str, Any]:
    body = request_body(Prompt(messages or (HI,), model, options), thoughts=False)
    orjson.dumps(body)
    return body


def called(key: str, name: str, arguments: str = "{}", **more: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": key, "type": "function", "function": function, **more}


def refusal(**options: Any) -> str:
    with pytest.raises(RequestError) as caught:
        body_for(**options)
    assert caught.value.code == "unsupported_option"
    return caught.value.message


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-flash", "/models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
        ("models/gemini-2.5-pro", "/models/gemini-2.5-pro:streamGenerateContent?alt=sse"),
        ("tunedModels/mine-1", "/tunedModels/mine-1:streamGenerateContent?alt=sse"),
        ("gemini-1.5-pro@002", "/models/gemini-1.5-pro@002:streamGenerateContent?alt=sse"),
    ],
)
def test_the_model_stands_in_the_path(model: str, path: str) -> None:
    assert request_path(model) == path


@pytest.mark.parametrize(
    "model",
    [None, "", "../files", "models/../x", "a//b", "/x", "x/", "a b", "a?key=1", "a#b", "a:b", "é",
     "..", "x\n"],
)  # fmt: skip
def test_a_model_that_cannot_stand_in_a_path_is_refused(model: str | None) -> None:
    with pytest.raises(RequestError):
        request_path(model)


def test_system_messages_stand_apart_and_neighbours_are_one() -> None:
    body = body_for(
        {"role": "system", "content": "Be brief."},
        HI,
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "again"}]},
        {"role": "assistant", "content": "Hello"},
        {"role": "assistant", "content": ""},
    )
    assert body == {
        "systemInstruction": {"parts": [{"text": "Be brief.\n\nBe kind."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}, {"text": "again"}]},
            {"role": "model", "parts": [{"text": "Hello"}]},
        ],
    }


CALLS = {
    "role": "assistant",
    "content": None,
    "tool_calls": [called("1", "f", '{"a":1}'), called("2", "g", "")],
}
RESULTS = (
    {"role": "tool", "tool_call_id": "2", "content": "sunny"},
    {"role": "tool", "tool_call_id": "1", "content": '{"b":2}'},
)


def test_a_conversation_with_tools() -> None:
    body = body_for(HI, CALLS, *RESULTS, model="gemini-2.5-flash")
    assert body["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"functionCall": {"name": "f", "args": {"a": 1}}},
                {"functionCall": {"name": "g", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "g", "response": {"output": "sunny"}}},
                {"functionResponse": {"name": "f", "response": {"b": 2}}},
            ],
        },
    ]


@pytest.mark.parametrize("model", ["gemini-3-pro-preview", "gemini-flash-latest", "gemini-10"])
def test_the_newest_models_get_a_signature_with_the_first_call(model: str) -> None:
    parts = body_for(HI, CALLS, *RESULTS, model=model)["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [UNSIGNED, None]


def test_a_signature_that_came_with_a_call_goes_back() -> None:
    signed = called("1", "f", extra_content={"google": {"thought_signature": "EqUC"}})
    message = {"role": "assistant", "tool_calls": [signed, called("2", "g")]}
    for model in ("gemini-3-flash", "gemini-2.5-pro"):
        parts = body_for(HI, message, *RESULTS, model=model)["contents"][1]["parts"]
        assert [part.get("thoughtSignature") for part in parts] == ["EqUC", None]


def test_a_result_of_no_call_is_refused_unless_it_names_the_function() -> None:
    result = {"role": "tool", "tool_call_id": "9", "content": "1"}
    with pytest.raises(RequestError, match="answer a call"):
        body_for(HI, result)
    named = body_for(HI, {**result, "name": "f"})["contents"][0]["parts"][1]
    assert named == {"functionResponse": {"name": "f", "response": {"output": "1"}}}


def test_pictures() -> None:
    urls = [
        "data:image/png;base64,iVBORw0KGgo=",
        "https://example.org/a.JPG?size=2",
        "https://example.org/picture",
    ]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    assert body_for({"role": "user", "content": parts})["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.org/a.JPG?size=2"}},
        {"fileData": {"fileUri": "https://example.org/picture"}},
    ]


def test_tools() -> None:
    assert body_for(tools=[TOOL, BARE])["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "d", "parametersJsonSchema": SCHEMA},
                {"name": "g"},
            ]
        }
    ]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"mode": "AUTO"}),
        ("required", {"mode": "ANY"}),
        ("none", {"mode": "NONE"}),
        (
            {"type": "function", "function": {"name": "f"}},
            {"mode": "ANY", "allowedFunctionNames": ["f"]},
        ),
    ],
)
def test_tool_choices(choice: Any, expected: Any) -> None:
    body = body_for(tools=[TOOL], tool_choice=choice)
    assert body["toolConfig"] == {"functionCallingConfig": expected}
    assert "toolConfig" not in body_for(tools=[TOOL])


def test_options_have_other_names() -> None:
    body = body_for(
        temperature=1.5,
        top_p=0.9,
        top_k=40,
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        max_tokens=100,
        stop="END",
        safetySettings=[{"category": "c", "threshold": "BLOCK_NONE"}],
        cachedContent="cachedContents/x",
    )
    assert body["generationConfig"] == {
        "temperature": 1.5,
        "topP": 0.9,
        "topK": 40,
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "maxOutputTokens": 100,
        "stopSequences": ["END"],
    }
    assert body["safetySettings"] == [{"category": "c", "threshold": "BLOCK_NONE"}]
    assert body["cachedContent"] == "cachedContents/x"
    assert "generationConfig" not in body_for()


def test_json() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    assert body_for(response_format=wanted)["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
    }
    assert body_for(response_format={"type": "json_object"})["generationConfig"] == {
        "responseMimeType": "application/json"
    }


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0, "includeThoughts": False}),
        ("gemini-2.5-pro", "low", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-pro", "high", {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-3-pro-preview", "low", {"thinkingLevel": "low", "includeThoughts": True}),
        ("models/gemini-3.5-flash", "xhigh", {"thinkingLevel": "high", "includeThoughts": True}),
        ("gemini-flash-latest", "minimal", {"thinkingLevel": "minimal", "includeThoughts": True}),
    ],
)
def test_efforts(model: str, effort: str, expected: Any) -> None:
    body = body_for(model=model, reasoning_effort=effort)
    assert body["generationConfig"] == {"thinkingConfig": expected}


def test_thinking_by_the_client_itself_and_thoughts_by_option() -> None:
    own = {"thinkingBudget": 100}
    prompt = Prompt((HI,), "gemini-2.5-flash", {"thinkingConfig": own})
    assert request_body(prompt, thoughts=True)["generationConfig"] == {"thinkingConfig": own}
    plain = request_body(Prompt((HI,), "gemini-2.5-flash"), thoughts=True)
    assert plain["generationConfig"] == {"thinkingConfig": {"includeThoughts": True}}


@pytest.mark.parametrize(
    ("option", "held"),
    [
        ("n", 2),
        ("logit_bias", {"1": 2}),
        ("service_tier", "flex"),
        ("reasoning_effort", "none"),
        ("reasoning_effort", {"effort": "low"}),
        ("functions", [{"name": "f"}]),
    ],
)
def test_what_it_does_not_have_is_refused_by_name(option: str, held: Any) -> None:
    said = refusal(**{option: held})
    assert f'"{option}"' in said
    assert '"gemini"' in said


def test_effort_and_thinking_config_together_are_refused() -> None:
    assert "give one of the two" in refusal(thinkingConfig={}, reasoning_effort="low")


def _signed_pictures(count: int) -> Prompt:
    pictures = [
        {"image_url": {"url": f"data:image/png;base64,{n:04}"}, "index": n} for n in range(count)
    ]
    signatures = [
        {"media": n, "data": "s", "format": "google-gemini-v1", "index": n} for n in range(count)
    ]
    fields = {"images": pictures, "reasoning_details": [*signatures, *signatures]}
    return Prompt(
        model="gemini-3", messages=({"role": "assistant", "content": None, **fields},), options={}
    )


def test_a_picture_is_sent_once_however_often_it_is_signed() -> None:
    (content,) = request_body(_signed_pictures(3), thoughts=False)["contents"]
    sent = [part["inlineData"]["data"] for part in content["parts"]]
    assert sent == ["0000", "0001", "0002"]


def test_no_signature_costs_a_walk_over_the_pictures() -> None:
    assert is_linear(lambda count: request_body(_signed_pictures(count), thoughts=False))


def test_no_tool_costs_a_walk_over_those_that_google_runs() -> None:
    run = [{"google_search": {Name("a"): n}} for n in range(50)]
    ours = [{"google_search_": {Name("a"): -1}, "function": {"name": f"f{n}"}} for n in range(50)]
    prompt = Prompt(
        model="gemini-3",
        messages=({"role": "user", "content": "Hi"},),
        options={"tools": run + ours},
    )
    Name.compared = 0
    held = request_body(prompt, thoughts=False)["tools"]
    assert [len(held[0]["functionDeclarations"]), held[1:]] == [50, run]
    assert Name.compared < 200
