"""What SQLite's errors mean for whoever runs the hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from hub.domain.errors import StoreError

__all__ = ["explained", "explaining"]


def explained(error: apsw.Error, path: Path) -> StoreError:
    """The error as one of ours, which says the way out."""
    if isinstance(error, apsw.FullError):
        return StoreError(f"the disk that holds {path} is full: make space", code="store_full")
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return StoreError(
            f"{path} is damaged: move it away (the hub then begins with an empty one) or put a "
            "copy from before in its place with `streamhub streams restore`; `streamhub doctor` "
            "looks at it",
            code="store_corrupt",
        )
    if isinstance(error, apsw.ReadOnlyError | apsw.CantOpenError | apsw.PermissionsError):
        return StoreError(f"{path} cannot be used: check its permissions and its folder's")
    return StoreError(f"SQLite could not use {path}: {error}")


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Whatever SQLite cannot do inside is raised as `explained`."""
    try:
        yield
    except apsw.Error as error:
        raise explained(error, path) from None
