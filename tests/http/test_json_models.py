"""What a client's JSON costs to check follows its size, and not the number of its faults."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import hub.protocols
from hub.domain.errors import CommandError, RequestError
from hub.http.json_models import FIELDS, validated
from hub.protocols.websocket import commands

MANY = 5_000
WRONG: list[Any] = [[1] * MANY, [None] * MANY, {str(n): n for n in range(MANY)}]


def models() -> list[type[BaseModel]]:
    """Every model of the protocols."""
    for module in pkgutil.walk_packages(hub.protocols.__path__, "hub.protocols."):
        importlib.import_module(module.name)
    found: list[type[BaseModel]] = []
    left: list[type[BaseModel]] = [BaseModel]
    while left:
        below = left.pop().__subclasses__()
        left += below
        found += [one for one in below if one.__module__.startswith("hub.protocols.")]
    return found


def faults(model: type[BaseModel], value: Any) -> int:
    """The number of errors that a model notes."""
    try:
        model.model_validate(value)
    except ValidationError as invalid:
        return invalid.error_count()
    return 0


MODELS = models()
FIELDS_OF = [
    (model, field.alias or name) for model in MODELS for name, field in model.model_fields.items()
]


def test_these_are_the_models() -> None:
    assert {"GenerationAsked", "Generate", "ResponseAsked"} <= {one.__name__ for one in MODELS}


@pytest.mark.parametrize(("model", "field"), FIELDS_OF)
def test_wrong_elements_are_not_all_noted(model: type[BaseModel], field: str) -> None:
    for value in WRONG:
        assert faults(model, {field: value}) < 30


@pytest.mark.parametrize("model", MODELS)
def test_unknown_fields_are_not_all_noted(model: type[BaseModel]) -> None:
    with pytest.raises(RequestError, match=f"at most {FIELDS}"):
        validated(model.model_validate, {str(n): n for n in range(MANY)})


def test_a_command_of_many_fields_is_refused_with_its_id() -> None:
    fields = ",".join(f'"{n}":1' for n in range(MANY))
    with pytest.raises(CommandError, match=f"at most {FIELDS}") as refused:
        commands.parse(f'{{"type":"ping","id":7,{fields}}}')
    assert refused.value.reply_to == 7


def test_the_first_fault_is_told() -> None:
    with pytest.raises(CommandError, match="messages") as refused:
        commands.parse('{"type":"generate","id":7,"messages":[{},1,2]}')
    assert refused.value.reply_to == 7
