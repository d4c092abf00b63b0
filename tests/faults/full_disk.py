"""A disk without space, as the store sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import apsw
import pytest

from hub.stores import Change
from hub.stores.sqlite.writer import Writer

__all__ = ["FullDisk"]


class FullDisk:
    """Has every commit fail as on a disk without space, until there is some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, full: bool = True) -> None:
        self._is_full = full
        write = Writer.write

        def fails(ledger: Writer, changes: Sequence[Change]) -> Mapping[str, str]:
            if self._is_full:
                raise apsw.FullError("database or disk is full")
            return write(ledger, changes)

        monkeypatch.setattr(Writer, "write", fails)

    def fill(self) -> None:
        self._is_full = True

    def make_space(self) -> None:
        self._is_full = False
