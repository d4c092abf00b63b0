"""The authors of what clients write, also with the permission to speak in other roles."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from hub.access.authorship import authored
from hub.domain.errors import Forbidden
from hub.domain.events import decode
from hub.domain.permissions import Grant
from hub.domain.principal import Principal
from hub.domain.stream_settings import StreamSettings

SPEAKER: Final = Principal(
    "bot", grants=(Grant(frozenset({"append", "speak"})),), credential="app:bot"
)
JSON: Final = StreamSettings("application/json")


def write(record: dict[str, Any], *, valid: bool = True) -> None:
    body = orjson.dumps(record)
    authored(JSON, [(body, decode(body) if valid else None)], SPEAKER, "chat")


@pytest.mark.parametrize(
    "record",
    [
        {"type": "message", "role": "assistant", "text": "Hello"},
        {"type": "queued", "text": "Hello"},
        {"type": "queued", "text": "Hello", "author": "bot"},
    ],
    ids=str,
)
def test_who_may_speak_does_so_in_their_own_name(record: dict[str, Any]) -> None:
    write(record)
    with pytest.raises(Forbidden) as caught:
        write({**record, "author": "ann"})
    assert caught.value.code == "author_not_permitted"


def test_nor_do_they_name_another_where_the_event_is_not_valid_as_one() -> None:
    with pytest.raises(Forbidden) as caught:
        write({"type": "queued", "generation": 1, "author": "ann"}, valid=False)
    assert caught.value.code == "author_not_permitted"
