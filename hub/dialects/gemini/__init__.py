"""Gemini's ``streamGenerateContent``: writing requests and reading replies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.lazy_imports import lazy

if TYPE_CHECKING:
    from hub.dialects.gemini.reader import Gemini
else:
    __getattr__, __dir__ = lazy(__name__, {"Gemini": "hub.dialects.gemini.reader"})

__all__ = ["Gemini"]
