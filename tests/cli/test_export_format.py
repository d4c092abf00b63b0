"""An export is lossless: every record comes back to the byte, or the line is refused."""

from __future__ import annotations

import json
from io import BytesIO

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.cli.export_format import (
    Generations,
    header_line,
    read_header,
    read_records,
    record_line,
)
from hub.cli.stream_details import details, lines
from hub.domain.errors import RequestError
from hub.domain.events import (
    Dropped,
    Event,
    Finished,
    Interrupted,
    Queued,
    Started,
    decode,
    encode,
)
from hub.domain.records import Record
from hub.domain.stream_settings import JSON, StreamSettings
from hub.stores.sqlite.inspect import Entry


def test_the_owner_comes_back() -> None:
    settings = StreamSettings(owner="acme/ann", creator="acme/bob")
    entry = Entry(settings=settings, epochs=((0, 0),), number=1, name="chat", size=0, running=())
    read = read_header(BytesIO(header_line(entry))).saved().settings
    assert (read.owner, read.creator) == ("acme/ann", "acme/bob")
    shown = dict(lines(entry))
    assert (shown["owner"], shown["begun by"]) == ("acme/ann", "acme/bob")
    assert (details(entry)["owner"], details(entry)["creator"]) == ("acme/ann", "acme/bob")


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
SPELLINGS = st.sampled_from([None, 1, "\t"])


@given(VALUES, SPELLINGS, st.booleans(), st.integers(0, 10**15))
def test_json_comes_back_as_it_was_spelt(
    value: object, indent: int | str | None, escaped: bool, offset: int
) -> None:
    text = json.dumps(value, ensure_ascii=escaped, indent=indent)
    assert_comes_back(offset, text.encode(), JSON)


@given(st.binary(), st.sampled_from(["text/plain", "application/octet-stream", "text/html; a=b"]))
def test_bytes_come_back_as_they_were(body: bytes, content_type: str) -> None:
    assert_comes_back(0, body, content_type)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"1.0e5", JSON),
        (b"18446744073709551616000.10", JSON),
        (b'{"offset":1,"body":{"offset":2,"body":3}}', JSON),
        (b'{"a":"\\u0041","a":1}', JSON),
        (b"[\n1,\r\n2]", JSON),
        (b' "spaced" ', JSON),
        ("\u2028\x85 \x00\x1b".encode(), "text/plain"),
        (b"\xe4\xbd", "text/plain"),
        (b"", "text/plain"),
    ],
)
def test_what_others_spell_anew_comes_back(body: bytes, content_type: str) -> None:
    assert_comes_back(7, body, content_type)


def assert_comes_back(offset: int, body: bytes, content_type: str) -> None:
    line = record_line(offset, body, StreamSettings(content_type))
    assert line.count(b"\n") == 1
    assert isinstance(orjson.loads(line), dict)  # any program can read it
    (record,) = read_records(BytesIO(line), StreamSettings(content_type))
    assert (record.offset, record.body) == (offset, body)


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"{",
        b'{"offset":0}',
        b'{"offset":-1,"text":"a"}',
        b'{"offset":"0","text":"a"}',
        b'{"offset":true,"text":"1"}',
        b'{"offset":0,"text":7}',
        b'{"offset":0,"base64":"%%"}',
        b'{"offset":0,"base64":"not JSON"}',
        b'{"offset":0,"text":"not JSON"}',
        b'{"offset":0,"body":1,"more":2}',
        b'{"offset":0,"body":{"cut":',
        b"\xff",
    ],
)
def test_a_line_that_is_none_is_refused_with_its_number(line: bytes) -> None:
    good = b'{"offset":0,"body":1}\n\n'
    with pytest.raises(RequestError, match=r"line 4 ") as caught:
        list(read_records(BytesIO(good + line), StreamSettings()))
    assert caught.value.code == "export_malformed"


HEADER = {"streamhub": 1, "stream": "a", "content_type": JSON, "head": 2, "tail": 9}


@pytest.mark.parametrize(
    "changed",
    [
        {"streamhub": 2},
        {"epochs": []},
        {"epochs": [[1, 0], [0, 5]]},
        {"epochs": [[0, 5], [1, 0]]},
        {"epochs": [[0, 10]]},
        {"epochs": [[-1, 0]]},
        {"head": 10},
        {"content_type": ""},
        {"ttl": 1, "expires_at": "2030-01-01T00:00:00Z"},
        {"expires_at": "soon"},
        {"producers": {"a": 1}},
        {"unknown": 1},
    ],
)
def test_a_first_line_that_is_none_is_refused(changed: dict[str, object]) -> None:
    whole = {**HEADER, "epochs": [[0, 0]]}
    assert read_header(BytesIO(orjson.dumps(whole))).stream == "a"
    with pytest.raises(RequestError, match="line 1 ") as caught:
        read_header(BytesIO(orjson.dumps({**whole, **changed})))
    assert caught.value.code == "export_malformed"


@pytest.mark.parametrize("text", [b"", b"\n", b"{}", b"\xff", b"1"])
def test_what_is_no_export_at_all_is_refused(text: bytes) -> None:
    with pytest.raises(RequestError):
        read_header(BytesIO(text))


def test_a_copy_has_no_queue() -> None:
    """What waited in the stream waits nowhere in its copy; what ran there is interrupted."""
    events: list[Event] = [
        Queued("ran", "a", "One"),
        Started("ran"),
        Queued("waits", "a", "Two"),
        Queued("gone", "a", "Three"),
        Dropped("gone"),
        Queued("over", "a", "Four"),
        Started("over"),
        Finished("over"),
    ]
    generations = Generations(["ran"], 0, len(events))
    for offset, event in enumerate(events):
        generations.read(Record(offset, encode(event), event))
    ends = [decode(body) for body in generations.ends()]
    assert [(type(end), getattr(end, "generation", "")) for end in ends] == [
        (Interrupted, "ran"),
        (Dropped, "waits"),
    ]
