"""The old place of `dialects.request.dialect_options`, for dialects in other packages."""

from __future__ import annotations

from hub.lazy_imports import moved

__getattr__, __dir__ = moved(__name__, "hub.dialects.request.dialect_options")
