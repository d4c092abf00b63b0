"""SQLite's errors, explained to the operator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from hub.domain.errors import StoreError

__all__ = ["explained", "explaining"]


def explained(error: apsw.Error, path: Path) -> StoreError:
    """The error as a `StoreError` that says what to do."""
    if isinstance(error, apsw.FullError):
        return StoreError(f"the disk that holds {path} is full: free some space", code="store_full")
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return StoreError(
            f"{path} is damaged: restore a backup with `streamhub streams restore`, or move the "
            "file away, and the hub begins with an empty one; `streamhub doctor` checks it",
            code="store_corrupt",
        )
    if isinstance(error, apsw.ReadOnlyError | apsw.CantOpenError | apsw.PermissionsError):
        return StoreError(f"cannot use {path}: check its permissions and those of its folder")
    return StoreError(f"SQLite could not use {path}: {error}")


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as `explained` ones."""
    try:
        yield
    except apsw.Error as error:
        raise explained(error, path) from None
