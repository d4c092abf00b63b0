"""Which addresses lead to this machine."""

from __future__ import annotations

import pytest

from hub.domain.addresses import is_local, is_loopback


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.1", False),
        ("::ffff:192.168.0.1", False),
        ("128.0.0.1", False),
        ("localhost", False),
        ("", False),
        ("127.1", False),
        ("0127.0.0.1", False),
        ("127.0.0.1.example.org", False),
    ],
)
def test_a_loopback_address_is_one_of_this_machine(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("localhost", True),
        ("LocalHost", True),
        ("localhost.", True),
        ("hub.localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost.example.org", False),
        ("notlocalhost", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_a_local_name_leads_here_whatever_a_name_server_says(name: str, local: bool) -> None:
    assert is_local(name) is local
