"""Every error has one status and one shape, whatever is in it."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from hub.domain.errors import (
    ConfigError,
    Draining,
    HubError,
    LimitExceeded,
    RequestError,
    StoreError,
    Unauthorized,
    Unavailable,
    UpstreamError,
)
from hub.http.errors import (
    CloseCode,
    answer_to,
    error_body,
    error_response,
    retry_headers,
    status_of,
    unmatched,
)
from tests.support.raw_socket import RETRY_AFTER

STATUSES: Final = {
    "HubError": 500,
    "ConfigError": 500,
    "RequestError": 400,
    "CommandError": 400,
    "PositionError": 400,
    "InvalidName": 400,
    "TooLarge": 413,
    "UnsupportedType": 415,
    "Unauthorized": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "StreamNotFound": 404,
    "GenerationNotFound": 404,
    "UpstreamNotFound": 404,
    "Conflict": 409,
    "StreamClosed": 409,
    "StreamBusy": 409,
    "KeyReused": 422,
    "Gone": 410,
    "LimitExceeded": 429,
    "Draining": 503,
    "Unavailable": 503,
    "StoreError": 503,
    "UpstreamError": 502,
    "FramingError": 502,
}

FINER: Final = [
    (UpstreamError("", code="upstream_stalled"), 504),
    (UpstreamError("", code="upstream_timeout"), 504),
    (UpstreamError("", code="upstream_rate_limited"), 429),
    (UpstreamError("", code="upstream_unauthorized"), 502),
    (UpstreamError("", code="generation_too_long"), 504),
    (UpstreamError("", code="internal"), 500),
    (RequestError("", code="bad_json"), 400),
    (StoreError("", code="store_full"), 507),
]


def classes(of: type[HubError]) -> Iterator[type[HubError]]:
    yield of
    for each in of.__subclasses__():
        yield from classes(each)


def test_every_error_of_the_table_is_one() -> None:
    assert set(STATUSES) <= {each.__name__ for each in classes(HubError)}


@pytest.mark.parametrize("kind", [*classes(HubError)], ids=lambda kind: kind.__name__)
def test_an_error_has_the_status_of_its_class_or_of_the_nearest_above(
    kind: type[HubError],
) -> None:
    error = kind.__new__(kind)
    HubError.__init__(error, "a sentence")  # some take more, which is not what matters here
    status = next(STATUSES[each.__name__] for each in kind.mro() if each.__name__ in STATUSES)
    assert status_of(error) == status
    response = error_response(error)
    assert response.status == status
    assert response.content_type == "application/json"
    assert isinstance(response.body, bytes)
    assert json.loads(response.body) == {
        "error": {"code": kind.default_code, "message": "a sentence"}
    }


@pytest.mark.parametrize(("error", "status"), FINER, ids=[error.code for error, _ in FINER])
def test_a_finer_code_may_have_a_status_of_its_own(error: HubError, status: int) -> None:
    assert status_of(error) == status


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (Draining(""), RETRY_AFTER),
        (LimitExceeded(""), RETRY_AFTER),
        (Unavailable("", code="key_set_unavailable"), RETRY_AFTER),
        (ConfigError(""), {None}),
    ],
)
def test_what_passes_by_itself_says_when_to_come_back(
    error: HubError, says: set[str | None]
) -> None:
    """Another time to each, so that those who were refused together do not come together."""
    assert {retry_headers(error).get("Retry-After") for _ in range(200)} == says
    assert {error_response(error).headers.get("Retry-After") for _ in range(200)} == says


@pytest.mark.parametrize(
    ("error", "challenge"),
    [
        (Unauthorized(""), 'Bearer realm="streamhub"'),
        (
            Unauthorized("", code="invalid_api_key"),
            'Bearer realm="streamhub", error="invalid_token"',
        ),
        (Unauthorized("", code="token_expired"), 'Bearer realm="streamhub", error="invalid_token"'),
        (ConfigError(""), None),
    ],
)
def test_who_shows_no_credential_that_holds_is_told_how(
    error: HubError, challenge: str | None
) -> None:
    assert error_response(error).headers.get("WWW-Authenticate") == challenge


def test_a_message_that_is_no_text_can_still_be_told() -> None:
    told = json.loads(error_body("c", "a \udcff b 🌊"))
    assert told == {"error": {"code": "c", "message": "a \\udcff b 🌊"}}


def test_close_codes_instruct_whether_to_come_back() -> None:
    again = {code for code in CloseCode if code < 4500}
    assert again == {
        CloseCode.DRAINING,
        CloseCode.TOO_MANY_CONNECTIONS,
        CloseCode.TOKEN_EXPIRED,
        CloseCode.AUTH_TIMEOUT,
    }
    assert all(4000 <= code < 5000 for code in CloseCode)


# In an application

Raise = Callable[[Exception], Awaitable["TestClient[Any, Any]"]]


@pytest.fixture
async def raising() -> AsyncIterator[Raise]:
    """An application that answers to one error, raised at `/`."""
    clients: list[TestClient[Any, Any]] = []

    async def start(error: Exception) -> TestClient[Any, Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return answer_to(error, request)

        app = web.Application(middlewares=[unmatched])
        app.router.add_get("/", handle)
        client = TestClient(TestServer(app))
        await client.start_server()
        clients.append(client)
        return client

    yield start
    for client in clients:
        await client.close()


async def test_an_error_of_the_web_framework_is_told_in_the_same_shape(raising: Raise) -> None:
    client = await raising(web.HTTPRequestEntityTooLarge(1, 2))
    async with client.get("/") as response:
        assert response.status == 413
        assert (await response.json())["error"] == {
            "code": "http_413",
            "message": "the request body is too large",
        }


async def test_what_no_route_takes_is_told_so(raising: Raise) -> None:
    client = await raising(RuntimeError())
    async with client.get("/%0A<b>") as response:
        assert (response.status, response.content_type) == (404, "application/json")
        assert (await response.json())["error"]["message"] == "nothing is at /\n<b>"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    async with client.post("/") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD"
        assert "allowed: GET, HEAD" in (await response.json())["error"]["message"]


async def test_a_redirect_is_none_of_its_business(raising: Raise) -> None:
    client = await raising(web.HTTPFound("/elsewhere"))
    async with client.get("/", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, "/elsewhere")


async def test_a_defect_is_told_to_the_log_alone(
    raising: Raise, caplog: pytest.LogCaptureFixture
) -> None:
    client = await raising(RuntimeError("secret of the house"))
    async with client.get("/") as response:
        assert response.status == 500
        assert "secret" not in await response.text()
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert "secret of the house" in str(record.exc_info[1])


async def test_a_lost_connection_to_somebody_else_is_a_defect_like_any_other(
    raising: Raise, caplog: pytest.LogCaptureFixture
) -> None:
    client = await raising(ConnectionResetError())
    async with client.get("/") as response:
        assert response.status == 500
    assert [each.name for each in caplog.records if each.levelno == logging.ERROR] == ["hub"]
