"""OpenAI's Responses: writing requests and reading replies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.lazy_imports import lazy

if TYPE_CHECKING:
    from hub.dialects.openai_responses.reader import OpenAIResponses
else:
    __getattr__, __dir__ = lazy(
        __name__, {"OpenAIResponses": "hub.dialects.openai_responses.reader"}
    )

__all__ = ["OpenAIResponses"]
