"""The store in one SQLite file: `store`, with its threads' parts `writer` and `reader`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.lazy_imports import lazy

if TYPE_CHECKING:
    from hub.stores.sqlite.store import SQLiteStore
else:
    __getattr__, __dir__ = lazy(__name__, {"SQLiteStore": "hub.stores.sqlite.store"})

__all__ = ["SQLiteStore"]
