"""Which addresses lead to this machine."""

from __future__ import annotations

import pytest

from hub.domain.addresses import is_local, is_loopback, parse_network


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
        ("fe80::1%eth0", False),
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


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_is_written_with_its_prefix(text: str, network: str) -> None:
    assert str(parse_network(text)) == network


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10.0.0.1/8", "10.0.0.0/8 is meant"),
        ("proxy.example", "must be an address"),
        ("*", "must be an address"),
        ("", "must be an address"),
    ],
)
def test_what_is_no_network_is_told(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_network(text)
