"""What clients send as JSON, checked by models at a cost that does not grow with its faults.

A model notes an error for every wrong element and every unknown field, and makes an object of each,
of which the client is told the first. A million of them take seconds, for which the hub serves
nobody. So lists end at their first fault, and there is a limit to the number of fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

from pydantic import BeforeValidator, FailFast, Field, Strict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from hub.domain.errors import RequestError
from hub.domain.integers import EXACT, as_integer

__all__ = [
    "FIELDS",
    "Few",
    "Integer",
    "ObjectsOrNone",
    "Place",
    "fail_fast",
    "first_error",
    "integral",
    "validated",
]

FIELDS: Final = 256
"""Fields or elements of one request; OpenAI's API has about 40 fields."""

T = TypeVar("T")

fail_fast: Final = FailFast()

ObjectsOrNone = Annotated[tuple[dict[str, Any], ...] | None, fail_fast]


def _few(value: Any) -> Any:
    if isinstance(value, list | dict) and len(value) > FIELDS:
        raise PydanticCustomError("too_long", "should have at most {most} items", {"most": FIELDS})
    return value


Few: Final = BeforeValidator(_few)
"""For lists and objects whose elements cannot be checked one by one."""


Place = Annotated[str | None, BeforeValidator(lambda value: "" if value is None else value)]
"""A place in a conversation. `null` is its beginning, ``""`` here; ``None`` if none is given."""


def _integral(value: Any) -> Any:
    return value if (integer := as_integer(value)) is None else integer


integral: Final = BeforeValidator(_integral)
"""For a strict integer, after its limits: JSON's 2.0 is one (JSON Schema 2020-12, validation,
section 6.1.1), and "2" and true are none.
"""

Integer = Annotated[int, Strict(), Field(gt=-EXACT, lt=EXACT), integral]
"""An integer that all programs read alike (RFC 8259, section 6)."""


def validated(validate: Callable[[Any], T], value: dict[str, Any] | list[Any]) -> T:
    """What a model makes of an object or an array.

    Raises:
        RequestError: it has too many fields or elements.
        ValidationError: as the model; `first_error` is what to tell.
    """
    if len(value) > FIELDS:
        raise RequestError(f"{len(value)} fields or elements; at most {FIELDS} are read")
    return validate(value)


def first_error(invalid: ValidationError) -> ErrorDetails:
    """The first error of a `validated` value."""
    return invalid.errors(include_url=False, include_input=False)[0]
