"""What AG-UI's clients send: any JSON is either read or refused."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from hub.domain.errors import RequestError
from hub.domain.provider_fields import EXECUTED, EXTRA, seal
from hub.protocols.agui import messages
from hub.protocols.conversation import messages as ui_messages
from tests.support.strategies import examples

ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
SEALED = st.builds(
    lambda name, held: seal({name: [held]}),
    st.sampled_from([EXECUTED, EXTRA]),
    st.dictionaries(
        st.sampled_from(["id", "type", "name"]), st.lists(st.just("a")) | ANY, max_size=3
    ),
)


LIST_AS_ID = seal({EXTRA: [{"id": []}]})


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects whose fields mostly are what they should be; any may be missing or anything."""
    usual = {
        name: one | one | one | st.lists(one, max_size=1) | ANY for name, one in fields.items()
    }
    return st.fixed_dictionaries({}, optional=usual)


CALLS = objects(
    id=st.sampled_from(["a", "b"]),
    type=st.just("function"),
    function=objects(name=st.just("weather"), arguments=st.just("{}")),
    encryptedValue=SEALED,
)
AGENT = objects(
    id=st.just("m"),
    role=st.sampled_from(["user", "assistant", "tool", "reasoning", "activity"]),
    content=st.text(max_size=3),
    toolCallId=st.sampled_from(["a", "b"]),
    toolCalls=st.lists(CALLS, max_size=2),
    encryptedValue=SEALED,
)
PARTS = objects(
    type=st.sampled_from(["text", "thinking", "tool-call", "tool-result", "tool-weather", "file"]),
    text=st.just("t"),
    id=st.just("a"),
    toolCallId=st.just("a"),
    signature=SEALED,
    state=st.just("output-available"),
)
UI = objects(
    role=st.sampled_from(["user", "assistant"]), parts=st.lists(PARTS, max_size=4), id=st.just("m")
)


@example([{"role": "tool", "toolCallId": []}])
@examples(500)
@given(st.lists(AGENT, min_size=1, max_size=4))
def test_any_messages_of_an_agent_are_read_or_refused(given: list[dict[str, Any]]) -> None:
    try:
        messages.chat_messages(given)
        messages.new_messages(tuple(given))
    except RequestError:
        pass


@example([{"role": "assistant", "parts": [{"type": "thinking", "signature": LIST_AS_ID}]}])
@examples(500)
@given(st.lists(UI, min_size=1, max_size=4))
def test_any_messages_of_a_page_are_read_or_refused(given: list[dict[str, Any]]) -> None:
    try:
        ui_messages.chat_messages(given)
        ui_messages.new_messages(tuple(given))
    except RequestError:
        pass
