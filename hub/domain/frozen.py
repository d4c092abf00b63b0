"""Values that nobody changes, which the type checker sees to and Python does not.

A frozen dataclass sets each of its fields through ``object.__setattr__``: to make one of
five fields takes three times as long as to make one that is not frozen. That is too much
for what is made anew for every chunk of every reply. For a type checker what is declared
``@unchanging`` is a frozen dataclass all the same, and to set one of its fields an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

__all__ = ["frozen"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """A slotted dataclass."""
    return dataclass(slots=True)(cls)
