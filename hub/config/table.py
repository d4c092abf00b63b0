"""What all tables of the configuration have in common."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

__all__ = ["Table", "refuse"]


class Table(BaseModel):
    """Frozen and strict; errors do not repeat its values, for one may be a secret."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False
    )


def refuse(wrong: Iterable[tuple[tuple[str, ...], str]]) -> None:
    """Raise what several keys of one table got wrong, each at its own place.

    Raises:
        ValidationError: if there is anything.
    """
    errors = [
        InitErrorDetails(
            type=PydanticCustomError("hub", "{said}", {"said": said}), loc=key, input=None
        )
        for key, said in wrong
    ]
    if errors:
        raise ValidationError.from_exception_data("config", errors)
