"""Anthropic's Messages API: writing requests and reading replies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.lazy_imports import lazy

if TYPE_CHECKING:
    from hub.dialects.anthropic.reader import Anthropic
else:
    __getattr__, __dir__ = lazy(__name__, {"Anthropic": "hub.dialects.anthropic.reader"})

__all__ = ["Anthropic"]
