"""Pipelines: one asynchronous source, the steps its items take, and one end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.lazy_imports import lazy

if TYPE_CHECKING:
    from hub.pipeline.pipeline import Appendable, Pipeline
else:
    __getattr__, __dir__ = lazy(
        __name__, {"Appendable": "hub.pipeline.pipeline", "Pipeline": "hub.pipeline.pipeline"}
    )

__all__ = ["Appendable", "Pipeline"]
