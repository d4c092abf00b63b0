"""The store in one SQLite file: `store` and its two halves, `ledger` and `reader`."""

from __future__ import annotations

from hub.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
