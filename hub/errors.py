"""The old place of `hub.domain.errors`, for dialects in packages of their own."""

from __future__ import annotations

from hub.lazy_imports import moved

__getattr__, __dir__ = moved(__name__, "hub.domain.errors")
