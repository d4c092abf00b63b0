"""The gate: principals of requests, counted."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from hub.auth.admit import Admit, always
from hub.auth.cookies import SessionCookie
from hub.auth.gate import CHARGED_BYTES, Gate
from hub.domain.addresses import network
from hub.domain.errors import RateLimited, Unauthorized
from hub.domain.permissions import PERMISSIONS, Grant
from hub.domain.principal import LOCAL, Principal


class Credentials:
    """One token that holds, and what anybody may do."""

    anyone = Principal(grants=(Grant(PERMISSIONS),))

    async def principal(self, token: str, admit: Admit = always) -> Principal:
        if token != "ann":
            raise Unauthorized("no", code="invalid_token")
        return Principal("ann", credential="1")

    async def ticket(self, token: str, stream: str, expires: float) -> str:
        return f"st_{stream}"


def request(token: str | None = None) -> web.Request:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return make_mocked_request("GET", "/", headers=headers)


async def test_subjects_addresses_and_wrong_credentials_are_counted_apart() -> None:
    gate = Gate(credentials=Credentials(), requests_per_minute=2, clock=lambda: 0.0)
    for token in ("ann", None):
        for _ in range(2):
            await gate.principal(request(token))
        with pytest.raises(RateLimited) as caught:
            await gate.principal(request(token))
        assert caught.value.wait is not None
        assert 60 <= caught.value.wait <= 120
    with pytest.raises(RateLimited):  # counted with those of its address
        await gate.principal(request("bob"))


async def test_what_is_read_for_a_request_is_charged_and_many_at_once_are_refused() -> None:
    gate = Gate(credentials=Credentials(), requests_per_minute=3, clock=lambda: 0.0)
    by = await gate.principal(request("ann"))
    charge = gate.tab(by)
    charge(CHARGED_BYTES - 1)
    other = gate.tab(await gate.principal(request("ann")))
    charge(10 * CHARGED_BYTES)  # one alone may cost more than a minute's
    charge(0)
    with pytest.raises(RateLimited) as caught:
        other(1)
    assert caught.value.wait is not None
    with pytest.raises(RateLimited):
        await gate.principal(request("ann"))
    gate.tab(Principal("bob"))(CHARGED_BYTES)


async def test_without_a_limit_nothing_is_charged() -> None:
    gate = Gate(credentials=Credentials())
    gate.tab(Principal("ann"))(1000 * CHARGED_BYTES)
    await gate.principal(request("ann"))


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "Basic eDp5"}, {"Cookie": "streamhub=x", "Host": "localhost"}],
)
async def test_what_has_no_credentials_form_is_counted_too(headers: dict[str, str]) -> None:
    gate = Gate(
        credentials=Credentials(),
        cookie=SessionCookie(),
        requests_per_minute=2,
        clock=lambda: 0.0,
    )
    own_page = {"Sec-Fetch-Site": "same-origin", **headers}
    for _ in range(2):
        with pytest.raises(Unauthorized):
            await gate.principal(make_mocked_request("GET", "/", headers=own_page))
    with pytest.raises(RateLimited):
        await gate.principal(make_mocked_request("GET", "/", headers=own_page))


async def test_whoever_may_do_everything_is_still_not_the_application() -> None:
    gate = Gate(credentials=Credentials())
    by = await gate.principal(request())
    assert by == LOCAL
    assert (LOCAL.scope, LOCAL.counted_as) == (None, None)
    assert by.scope == ""
    assert by.counted_as is not None
    assert by.counted_as.startswith("address ")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("unix", "unix"),
    ],
)
def test_one_customers_addresses_are_one(address: str, shown: str) -> None:
    assert network(address) == shown
