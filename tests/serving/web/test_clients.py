"""Who counts as one client."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from serving.web.clients import UNKNOWN, client_at, client_of


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", UNKNOWN),
        ("/run/web.sock", UNKNOWN),
        ("192.0.2.1:80", UNKNOWN),
        ("<script>", UNKNOWN),
    ],
)
def test_a_client_is_an_ipv4_address_or_an_ipv6_prefix(host, client):
    assert client_at(host) == client


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_all_addresses_of_an_ipv6_prefix_are_one_client(prefix, one, other):
    hosts = [str(ipaddress.IPv6Address(prefix << 64 | low)) for low in (one, other)]
    if not any(ipaddress.ip_address(host).ipv4_mapped for host in hosts):
        assert client_at(hosts[0]) == client_at(hosts[1])


@pytest.mark.parametrize(
    ("peer", "client"), [(("192.0.2.1", 5), "192.0.2.1"), (None, UNKNOWN), (["", 0], UNKNOWN)]
)
def test_a_connection_s_client_is_that_of_its_address(peer, client):
    assert client_of(HTTPConnection({"type": "http", "client": peer})) == client
