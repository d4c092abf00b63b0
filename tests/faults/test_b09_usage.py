"""Fault B9: counts that leave something out were taken for the whole.

Reasoning beside ``completion_tokens`` (xAI), totals that say more than the sum, and cache counts
that are part of the prompt in one place and beside it in another.
"""

from __future__ import annotations

from typing import Any

import pytest

from hub.dialects.reply.token_counts import balanced
from hub.domain.events import Usage
from tests.faults.replies import chat, finish, named, sse, usage_of


def openai(**usage: Any) -> Any:
    held = {"choices": [], "usage": usage}
    return usage_of("openai-chat", sse(chat({"content": "ok"}), finish(), held, "[DONE]"))


def details(**held: int) -> dict[str, Any]:
    return {"completion_tokens_details": held}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # xAI: 94 beside 9.
        ({"prompt": 32, "completion": 9, "total": 135, "reasoning": 94}, (32, 103)),
        ({"prompt": 32, "completion": 9, "reasoning": 94}, (32, 103)),
        # OpenAI: 94 of 103.
        ({"prompt": 32, "completion": 103, "total": 135, "reasoning": 94}, (32, 103)),
        ({"prompt": 32, "completion": 103, "reasoning": 94}, (32, 103)),
        # Gemini's endpoint: thoughts only in the total.
        ({"prompt": 10, "completion": 5, "total": 40}, (10, 30)),
        ({"prompt": 10, "completion": 5, "total": 15}, (10, 5)),
        # A total that says less, or nothing, is no better than the sum.
        ({"prompt": 10, "completion": 5, "total": 0}, (10, 5)),
        ({"prompt": 10, "completion": 5, "total": 12}, (10, 5)),
        # What came from the cache is of the prompt.
        ({"prompt": 100, "completion": 5, "total": 105, "cached": 80}, (100, 5)),
        ({"prompt": 100, "completion": 5, "cached": 80}, (100, 5)),
        # Anthropic's meaning: it is beside it.
        ({"prompt": 10, "completion": 5, "cached": 80}, (90, 5)),
        ({"prompt": 100, "completion": 5, "total": 185, "cached": 80}, (180, 5)),
        ({"prompt": 10, "completion": 9, "total": 193, "cached": 80, "reasoning": 94}, (90, 103)),
    ],
)
def test_the_parts_and_the_total_tell(said: dict[str, int], expected: tuple[int, int]) -> None:
    usage = Usage(said["prompt"], said["completion"], said.get("reasoning"), said.get("cached"))
    found = balanced(usage, total=said.get("total"))
    assert found is not None
    assert (found.prompt_tokens, found.completion_tokens) == expected
    assert found.reasoning_tokens == said.get("reasoning")
    assert found.cached_tokens == said.get("cached")


def test_noughts_are_no_count() -> None:
    assert balanced(Usage(0, 0), total=0) is None
    assert balanced(Usage()) is None


def test_openai() -> None:
    said = openai(
        prompt_tokens=32, completion_tokens=9, total_tokens=135, **details(reasoning_tokens=94)
    )
    assert said == {"prompt_tokens": 32, "completion_tokens": 103, "reasoning_tokens": 94}
    said = openai(prompt_tokens=10, completion_tokens=5, cache_read_input_tokens=80)
    assert said == {"prompt_tokens": 90, "completion_tokens": 5, "cached_tokens": 80}
    # The nought of one place is not the count of the other.
    said = openai(
        prompt_tokens=100,
        completion_tokens=5,
        prompt_tokens_details={"cached_tokens": 0},
        cache_read_input_tokens=80,
    )
    assert said == {"prompt_tokens": 100, "completion_tokens": 5, "cached_tokens": 80}
    said = openai(
        prompt_tokens=10,
        completion_tokens=5,
        total_tokens=115,
        cache_read_input_tokens=80,
        cache_creation_input_tokens=20,
    )
    assert said == {
        "prompt_tokens": 110,
        "completion_tokens": 5,
        "cached_tokens": 80,
        "details": {"cache_write_tokens": 20},
    }


def test_openai_in_several_places() -> None:
    counts = {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135}
    counts |= details(reasoning_tokens=94)
    whole = {"prompt_tokens": 32, "completion_tokens": 103, "reasoning_tokens": 94}
    bodies = [
        [chat({"content": "ok"}, usage=counts), finish()],
        [{**chat({"content": "ok"}), "usage": counts}, {**finish(), "usage": counts}],
        [chat({"content": "ok"}), {**finish(), "x_groq": {"usage": counts}}],
        [chat({"content": "ok"}), finish(), {"choices": [], "usage": counts}],
        [chat({"content": "ok"}), finish(), {"choices": [], "usage": counts}, finish()],
    ]
    for body in bodies:
        assert usage_of("openai-chat", sse(*body, "[DONE]")) == whole


def test_responses() -> None:
    usage = {
        "input_tokens": 32,
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 94},
        "total_tokens": 135,
    }
    end = {"type": "response.completed", "response": {"status": "completed", "usage": usage}}
    assert usage_of("openai-responses", named(end)) == {
        "prompt_tokens": 32,
        "completion_tokens": 103,
        "reasoning_tokens": 94,
    }


def test_gemini() -> None:
    def said(**counts: int) -> Any:
        held = {f"{name}TokenCount": count for name, count in counts.items()}
        text = {"content": {"parts": [{"text": "ok"}]}, "finishReason": "STOP"}
        return usage_of("gemini", sse({"candidates": [text], "usageMetadata": held}))

    assert said(prompt=10, candidates=5, thoughts=20, total=35)["completion_tokens"] == 25
    assert said(prompt=10, candidates=5, total=35)["completion_tokens"] == 25
    # What Google's own tools read is of neither.
    found = said(prompt=10, candidates=5, toolUsePrompt=20, total=35)
    assert (found["prompt_tokens"], found["completion_tokens"]) == (10, 5)


def test_anthropic() -> None:
    def said(start: dict[str, Any], end: dict[str, Any]) -> Any:
        return usage_of(
            "anthropic",
            named(
                {"type": "message_start", "message": {"id": "m", "content": [], "usage": start}},
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": "end_turn"},
                    "usage": {"output_tokens": 4, **end},
                },
                {"type": "message_stop"},
            ),
        )

    cache = {"cache_read_input_tokens": 80, "cache_creation_input_tokens": 10}
    expected = {
        "prompt_tokens": 100,
        "completion_tokens": 4,
        "cached_tokens": 80,
        "details": {"cache_write_tokens": 10},
    }
    assert said({"input_tokens": 10, **cache}, {}) == expected
    assert said({"input_tokens": 10, **cache}, {"input_tokens": 10, **cache}) == expected
    # The whole prompt, where its parts had been told before.
    assert said({"input_tokens": 10, **cache}, {"input_tokens": 100}) == expected
    kept = {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6}
    # What was written stands in two places, and counts once.
    assert said({"input_tokens": 10, **cache, "cache_creation": kept}, {}) == expected
    read = {"input_tokens": 10, "cache_read_input_tokens": 80, "cache_creation": kept}
    assert said(read, {}) == expected
