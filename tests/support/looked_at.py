"""Which records of its streams an index looks at."""

from __future__ import annotations

from typing import Any

import pytest

from hub.domain.records import Record

__all__ = ["looked_at"]


def looked_at(index: type[Any], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The offsets of the records that are added to indexes of a class from now on."""
    offsets: list[int] = []
    add = index.add

    def noting(self: Any, record: Record) -> None:
        offsets.append(record.offset)
        add(self, record)

    monkeypatch.setattr(index, "add", noting)
    return offsets
