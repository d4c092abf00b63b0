"""The built-in upstream: what it answers, and how it sends and reads that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.lazy_imports import lazy

if TYPE_CHECKING:
    from hub.dialects.demo.reader import Demo
else:
    __getattr__, __dir__ = lazy(__name__, {"Demo": "hub.dialects.demo.reader"})

__all__ = ["Demo"]
