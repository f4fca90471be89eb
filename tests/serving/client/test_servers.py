"""Which of several servers is asked next, and how long one that fails is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.client import RestClient, Unreachable
from serving.client.servers import LONGEST_AWAY_S, Servers

WHY = Unreachable("nobody there")


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def clients():
    made = [RestClient(f"http://127.0.0.1:{port}") for port in (1, 2, 3)]
    yield made
    for client in made:
        client.close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def servers(clients, clock):
    return Servers(clients, clock)


def test_those_without_a_request_take_turns(servers):
    taken = []
    for _ in range(6):
        server = servers.take([])
        servers.give_back(server)
        taken.append(servers.all.index(server))
    assert taken == [0, 1, 2, 0, 1, 2]


def test_the_one_with_the_fewest_outstanding_requests_is_next(servers):
    first, second, third = (servers.take([]) for _ in range(3))
    servers.give_back(second)
    assert servers.take([]) is second
    assert servers.take([second, first]) is third


@given(st.lists(st.integers(0, 9), max_size=60))
def test_no_server_gets_a_request_while_another_has_fewer(clients, answered):
    """answered: before each request, which of those outstanding has its answer, if it is one."""
    servers, outstanding = Servers(clients), []
    for number in answered:
        if number < len(outstanding):
            servers.give_back(outstanding.pop(number))
        fewest = min(server.outstanding for server in servers.all)
        outstanding.append(servers.take([]))
        assert outstanding[-1].outstanding == fewest + 1
    assert sum(server.outstanding for server in servers.all) == len(outstanding)


def test_one_that_is_ejected_is_taken_only_where_no_other_is_left(servers):
    bad = servers.all[0]
    servers.eject(bad, WHY)
    assert bad not in servers.usable
    assert bad not in [servers.take([]) for _ in range(9)]
    assert servers.take(servers.all[1:]) is bad


def test_where_all_are_ejected_the_next_to_return_is_taken_and_all_may_be_asked(servers, clock):
    for server in servers.all:
        servers.eject(server, WHY)
        clock.now += 0.1
    assert servers.take([]) is servers.all[0]
    assert list(servers.usable) == list(servers.all)


def test_one_that_lacks_the_version_is_taken_last(servers):
    apart, away, _ = servers.all
    servers.eject(away, WHY)
    assert [servers.take(tried, [apart]) for tried in ([], [servers.all[2]])] == [
        servers.all[2],
        away,
    ]
    assert servers.take(servers.all[1:], [apart]) is apart


def test_each_failed_probe_doubles_the_time_up_to_a_minute(servers, clock):
    bad = servers.all[0]
    servers.eject(bad, WHY)
    waited = []
    for _ in range(9):
        started = clock.now
        while servers.take_for_probe() is None:
            clock.now += 0.5
        waited.append(clock.now - started)
    assert waited == [1, 2, 4, 8, 16, 32, 60, 60, 60] and waited[-1] == LONGEST_AWAY_S


def test_one_caller_alone_probes(servers, clock):
    servers.eject(servers.all[0], WHY)
    clock.now += 1
    assert servers.take_for_probe() is servers.all[0]
    assert servers.take_for_probe() is None


def test_requests_that_failed_together_count_as_one_failure(servers, clock):
    for _ in range(20):
        servers.eject(servers.all[0], WHY)
    clock.now += 1
    assert servers.take_for_probe() is servers.all[0]


def test_one_that_is_back_starts_anew_and_was_away_once_more(servers, clock):
    bad = servers.all[0]
    for times in (1, 2):
        servers.eject(bad, WHY)
        assert bad.ejections == times
        clock.now += 1
        assert servers.take_for_probe() is bad  # after one second each time
        servers.restore(bad)
        assert bad in servers.usable


def test_one_that_wants_to_rest_is_not_asked_until_then(servers, clock):
    first, *others = servers.all
    servers.rest(first, 5)
    assert servers.take(others) is None and servers.rest_s() == 0
    for server in others:
        servers.rest(server, 3)
    assert servers.take([]) is None and servers.rest_s() == 3
    clock.now += 3
    assert servers.take([]) in others
    clock.now += 2
    assert servers.take(others) is first


def test_without_a_server_there_is_nothing_to_balance():
    with pytest.raises(ValueError, match="no server"):
        Servers([])
