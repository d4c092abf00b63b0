"""Immutability that the type checker enforces and Python does not.

A frozen dataclass sets each field through ``object.__setattr__``, so that creating one with five
fields takes three times as long. That is too slow for objects created for every chunk of every
reply. To a type checker, a class decorated with ``@frozen`` is a frozen dataclass, and assigning to
one of its fields is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

__all__ = ["frozen"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Make a slotted dataclass that type checkers treat as frozen."""
    return dataclass(slots=True)(cls)
