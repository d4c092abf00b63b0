"""Fault A14: a file in ranges, by the whole of RFC 9110 section 14.

``bytes=-0`` gave the file, an ``If-Range`` with an entity tag was taken for none, and what should
be ignored was refused.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp.test_utils import TestClient
from hypothesis import given
from hypothesis import strategies as st

from hub.http.file_ranges import _Asked
from tests.conftest import StartHub

HELD: Final = b"0123456789"
MODIFIED: Final = "Sun, 06 Nov 1994 08:49:37 GMT"
SECONDS: Final = 784111777

Client = TestClient[Any, Any]


@pytest.fixture
async def client(start_hub: StartHub, tmp_path: Path) -> Client:
    path = tmp_path / "file.txt"
    path.write_bytes(HELD)
    os.utime(path, (SECONDS, SECONDS))
    return (await start_hub(tutorial={"file": str(path)})).client


@pytest.mark.parametrize(
    ("asked", "held"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=9-", b"9"),
        ("BYTES=0-1", b"01"),
        ("bytes= 2-4 ", b"234"),
        ("bytes=2-4,", b"234"),
        ("bytes=,,2-4 ,", b"234"),
        ("bytes=-1", b"9"),
        ("bytes=-10", HELD),
        ("bytes=-11", HELD),
        ("bytes=-" + "9" * 5000, HELD),
        ("bytes=3-" + "9" * 5000, b"3456789"),
        ("bytes=000000000000000000000000000001-2", b"12"),
    ],
)
async def test_one_range(asked: str, held: bytes, client: Client) -> None:
    async with client.get("/stream-file", headers={"Range": asked}) as said:
        assert (said.status, await said.read()) == (206, held)
        first = HELD.index(held)
        assert said.headers["Content-Range"] == f"bytes {first}-{first + len(held) - 1}/10"
        assert said.headers["Content-Length"] == str(len(held))


@pytest.mark.parametrize(
    "asked",
    ["bytes=-0", "bytes=-00", "bytes=10-", "bytes=10-20", "bytes=99-", "bytes=" + "9" * 5000 + "-",
     "bytes=4-2", "bytes=-", "bytes=", "bytes=a-b", "bytes=1", "bytes=1-2-3", "bytes=+1-2",
     "bytes=1-x", "bytes=0x1-2", "bytes=1 - 2", "bytes=0-1,4-2", "bytes=0-1,x"],
)  # fmt: skip
async def test_a_range_that_cannot_be_given(asked: str, client: Client) -> None:
    async with client.get("/stream-file", headers={"Range": asked}) as said:
        assert said.status == 416
        assert said.headers["Content-Range"] == "bytes */10"
        assert HELD not in await said.read()


@pytest.mark.parametrize(
    "asked",
    ["bytes=0-1,3-4", "bytes=0-1, -1", "bytes=0-9,0-9,0-9", "lines=1-2", "bytes 0-1", "none", "",
     "bytes=" + "0-1," * 1500],
)  # fmt: skip
async def test_what_is_ignored_gives_the_whole_file(asked: str, client: Client) -> None:
    async with client.get("/stream-file", headers={"Range": asked}) as said:
        assert (said.status, await said.read()) == (200, HELD)
        assert "Content-Range" not in said.headers


async def test_two_range_fields_are_ignored(client: Client) -> None:
    headers = [("Range", "bytes=0-1"), ("Range", "bytes=2-3")]
    async with client.get("/stream-file", headers=headers) as said:
        assert (said.status, await said.read()) == (200, HELD)


@pytest.mark.parametrize("asked", ["bytes=0-1", "bytes=-0", "bytes=99-", "x"])
async def test_ranges_mean_nothing_to_a_head(asked: str, client: Client) -> None:
    async with client.head("/stream-file", headers={"Range": asked, "If-Range": '"x"'}) as said:
        assert said.status == 200
        assert said.headers["Content-Length"] == "10"
        assert "Content-Range" not in said.headers


async def test_a_range_is_only_of_the_file_that_is_held_in_part(client: Client) -> None:
    async with client.head("/stream-file") as said:
        tag = said.headers["ETag"]
        assert said.headers["Last-Modified"] == MODIFIED
    for condition, meant in [
        (tag, True),
        (MODIFIED, True),
        ("Sunday, 06-Nov-94 08:49:37 GMT", True),
        (f"W/{tag}", False),
        ('"other"', False),
        (tag.strip('"'), False),
        ("Sun, 06 Nov 1994 08:49:38 GMT", False),
        ("Fri, 06 Nov 2099 08:49:37 GMT", False),
        ("Sun, 06 Nov 1994 08:49:36 GMT", False),
        ("never", False),
        ("", False),
    ]:
        headers = {"Range": "bytes=1-2", "If-Range": condition}
        async with client.get("/stream-file", headers=headers) as said:
            expected = (206, b"12") if meant else (200, HELD)
            assert (said.status, await said.read()) == expected, condition


async def test_preconditions_come_before_ranges(client: Client) -> None:
    async with client.head("/stream-file") as said:
        tag = said.headers["ETag"]
    headers = {"Range": "bytes=-0", "If-None-Match": tag}
    async with client.get("/stream-file", headers=headers) as said:
        assert said.status == 304
    headers = {"Range": "bytes=0-1", "If-Match": '"other"'}
    async with client.get("/stream-file", headers=headers) as said:
        assert said.status == 412


async def test_an_empty_file(start_hub: StartHub, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    client = (await start_hub(tutorial={"file": str(path)})).client
    for asked in ("bytes=0-", "bytes=0-0", "bytes=-0", "bytes=-5"):
        async with client.get("/stream-file", headers={"Range": asked}) as said:
            assert said.status == 416, asked
            assert said.headers["Content-Range"] == "bytes */0"


class _Request:
    method = "GET"

    def __init__(self, asked: str) -> None:
        from multidict import CIMultiDict

        self.headers = CIMultiDict({"Range": asked})


@given(st.one_of(st.text(), st.from_regex(re.compile(r"bytes=[0-9, \-]{0,12}", re.ASCII))))
def test_any_range_is_one_range_or_the_whole_or_refused(asked: str) -> None:
    request: Any = _Asked(_Request(asked), os.stat(__file__), 9.0)  # type: ignore[arg-type]  # no request
    try:
        found = request.http_range
    except ValueError:
        return
    assert found.start is None or isinstance(found.start, int)
    assert found.stop is None or found.stop > (found.start or 0) >= 0
