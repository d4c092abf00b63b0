"""What clients send as JSON, checked by models at a cost that does not grow with its faults.

A model notes an error for every wrong element and every unknown field, and makes an object of each,
of which the client is told the first. A million of them take seconds, for which the hub serves
nobody. So lists end at their first fault, and there is a limit to the number of fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

from pydantic import BeforeValidator, FailFast, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from hub.domain.errors import RequestError

__all__ = ["FIELDS", "Few", "ObjectsOrNone", "Place", "fail_fast", "first_error", "validated"]

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
