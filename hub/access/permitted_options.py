"""Options of a generation under grants that limit its model or the length of its answer.

Servers pass over options that they do not know, and each knows others: a second name for the model,
for the length, for another server. Some compare names without case. So such grants allow the
options that are known here to ask for nothing more, and no others; and of tools those that the
client runs, because a provider's own tools cost what no length bounds, some with a model of their
own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from hub.domain.errors import Forbidden
from hub.domain.generation_request import GenerationRequest

__all__ = ["bounded", "check_options", "refuse_models"]

_LENGTHS: Final = (
    "max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "num_predict",
    "n_predict",
)  # fmt: skip
"""What servers call the length of an answer; some read several of these, each in an order of its
own, and pass over those that they do not know."""

_COPIES: Final = ("n", "best_of", "num_return_sequences", "candidate_count")
"""What servers call the number of answers, each of which may have that length."""

_TABLES: Final = ("extra_body", "options", "generation_config", "generationConfig", "parameters")
"""Where some servers look for options once more."""

_MODELS: Final = ("model", "models", "fallbacks")
"""Where some servers look for other models than the one asked for."""

_HARMLESS: Final = frozenset(
    {
        # Sampling
        "temperature", "top_p", "top_k", "min_p", "typical_p", "p", "k", "seed", "random_seed",
        "frequency_penalty", "presence_penalty", "repetition_penalty", "repeat_penalty",
        "logit_bias", "logprobs", "top_logprobs", "stop", "stop_sequences",
        # The form of the answer
        "response_format", "format", "text", "verbosity", "stream", "stream_options", "include",
        "truncation", "citation_options", "documents", "safety_settings", "safe_prompt",
        "system", "instructions",
        # Tools that the client runs
        "tool_choice", "parallel_tool_calls", "functions", "function_call", "strict_tools",
        "max_tool_calls",
        # How much of the answer's length goes into thinking
        "reasoning_effort", "think",
        # For the provider's books
        "user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
        # Checked by `bounded` and `refuse_models`
        *_LENGTHS, *_COPIES, *_MODELS, *_TABLES,
    }
)  # fmt: skip

_VALUES: Final[Mapping[str, tuple[Any, ...]]] = {
    "background": (False,), "modalities": (["text"],), "service_tier": ("auto", "default"),
    "store": (False,),
}  # fmt: skip
"""Options of which only these values ask for nothing more."""

_THINKING: Final = ("reasoning", "thinking")
_THINKING_FIELDS: Final = frozenset(
    {"effort", "enabled", "exclude", "generate_summary", "summary", "type"}
)
_THINKING_LENGTHS: Final = frozenset({"budget_tokens", "max_tokens"})

_OWN_TOOLS: Final = frozenset({"function", "custom"})
"""Tools that the client runs; one without a type and with a name is a function."""


_TOOL_FIELDS: Final = frozenset(
    {
        *("type", "function", "custom", "name", "description", "parameters", "strict"),
        *("input_schema", "format", "cache_control"),
    }
)
"""One with another field may be the provider's besides."""


def refuse_models(options: Mapping[str, Any]) -> None:
    """Refuse options that name another model.

    Raises:
        Forbidden: ``model_not_permitted``.
    """
    _refuse(options, (*_MODELS, *_TABLES), "model_not_permitted")


def bounded(asked: GenerationRequest, most: int) -> GenerationRequest:
    """The request with ``max_tokens`` of at most ``most``, and with nothing that undoes it.

    Raises:
        Forbidden: ``max_tokens_not_permitted``.
    """
    given = {name: asked.options[name] for name in _LENGTHS if asked.options.get(name) is not None}
    for name, length in given.items():
        # A number below 1 is "no limit" to some, and what is no number may be read as anything.
        if type(length) is not int or not 1 <= length <= most:
            raise Forbidden(
                f'your credential allows answers of at most {most} tokens: "{name}" must be '
                f"a whole number from 1 to {most}",
                code="max_tokens_not_permitted",
                param=name,
            )
    several = [
        name
        for name in _COPIES
        if (held := asked.options.get(name)) is not None and (type(held) is not int or held != 1)
    ]
    _refuse(asked.options, (*several, *_TABLES), "max_tokens_not_permitted")
    options = {name: held for name, held in asked.options.items() if name not in _LENGTHS}
    return replace(asked, options={**options, "max_tokens": min(given.values(), default=most)})


def check_options(options: Mapping[str, Any], most: int | None) -> None:
    """Refuse options that may ask for more; ``most`` is the length of the answer, if limited.

    Raises:
        Forbidden: ``option_not_permitted``.
    """
    unknown = [
        name
        for name, held in options.items()
        if not (name in _HARMLESS or _asks_nothing(name, held, most))
    ]
    _refuse(options, unknown, "option_not_permitted")


def _asks_nothing(name: str, held: Any, most: int | None) -> bool:
    if name == "tools":
        return isinstance(held, list) and all(_is_own(tool) for tool in held)
    if name in _THINKING:
        return isinstance(held, dict) and all(
            field in _THINKING_FIELDS or (field in _THINKING_LENGTHS and _fits(value, most))
            for field, value in held.items()
        )
    return held in _VALUES.get(name, ())


def _is_own(tool: object) -> bool:
    if not isinstance(tool, dict) or not tool.keys() <= _TOOL_FIELDS:
        return False
    return tool.get("type") in _OWN_TOOLS or (tool.get("type") is None and "name" in tool)


def _fits(length: object, most: int | None) -> bool:
    return most is None or (type(length) is int and 1 <= length <= most)


def _refuse(options: Mapping[str, Any], names: Iterable[str], code: str) -> None:
    for name in names:
        if options.get(name) is not None:
            raise Forbidden(
                f'your credential does not allow the option "{name[:100]}": leave it out',
                code=code,
                param=name[:100],
            )
