"""Tokens: which are too weak, and how guessing is slowed."""

import math
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.web import token_guard
from serving.web.api_keys import add_key
from serving.web.problems import Problem
from serving.web.settings import Settings
from serving.web.token_guard import PAUSE_S, TRIES, TokenGuard
from serving.web.token_strength import check_strength, free_characters
from serving.web.usage import Quota
from tests.serving.web.live_server import JOBS, is_problem, running

TOKEN = "Zb1qk3xYc0m9T4nS7uVwE2aL"


@pytest.mark.parametrize(
    "token",
    [
        "", "short-1x", "a" * 16, "a" * 400, "ab" * 40, "abcdefghijklmnopqrstuvwxyz",
        "1234567890123456", "9876543210987654", "qwertyuiopasdfghjkl", "lkjhgfdsapoiuytrewq",
        "passwordpassword", "PasswordPassword1", "changeme" * 5, "0" * 31 + "1", "aaaabbbbccccdddd",
    ],
)  # fmt: skip
def test_a_token_that_follows_a_pattern_is_refused(token):
    with pytest.raises(ValueError, match="secrets.token_urlsafe"):
        check_strength(token)


@pytest.mark.parametrize("make", [secrets.token_urlsafe, secrets.token_hex, secrets.token_bytes])
def test_random_tokens_are_taken(make):
    for _ in range(50):
        token = make(16)
        check_strength(token if isinstance(token, str) else token.hex())


@given(st.text(min_size=1), st.integers(2, 50))
def test_repeating_a_text_makes_it_no_stronger(text, times):
    assert free_characters(text * times) <= free_characters(text) + 1


def test_a_weak_token_stops_the_start_with_its_file(tmp_path):
    (tmp_path / "token").write_text("aaaaaaaaaaaaaaaa\n")
    settings = Settings(model=("m",), token_file=str(tmp_path / "token"))
    with pytest.raises(ValueError, match="token: the token can be guessed: 2 of its characters"):
        settings.token()


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def guard(clock):
    return TokenGuard(lambda given: given == TOKEN.encode(), clock)


def refusal(guard, given, client):
    """Seconds to wait; 0 where the token was compared."""
    try:
        guard.check(given, client)
    except Problem as problem:
        assert problem.status == 429
        return int(problem.headers["Retry-After"])
    return 0


def test_who_guesses_waits_and_nobody_else_does(guard, clock):
    assert [refusal(guard, b"wrong", "192.0.2.1") for _ in range(TRIES)] == [0] * TRIES
    assert refusal(guard, b"wrong", "192.0.2.1") == PAUSE_S
    assert refusal(guard, TOKEN.encode(), "192.0.2.1") == PAUSE_S  # no oracle
    assert guard.check(TOKEN.encode(), "192.0.2.2")
    clock.now += PAUSE_S
    assert guard.check(TOKEN.encode(), "192.0.2.1")


def test_a_guesser_gets_one_try_for_each_pause_however_often_it_asks(guard, clock):
    compared = 0
    for _ in range(10_000):
        compared += refusal(guard, b"wrong", "192.0.2.1") == 0
        clock.now += 0.1
    assert compared == TRIES + math.floor(9_999 * 0.1 / PAUSE_S)


def test_the_right_token_is_never_slowed(guard):
    assert all(guard.check(TOKEN.encode(), "192.0.2.1") for _ in range(10 * TRIES))


def test_guesses_of_many_clients_take_no_more_memory(guard, monkeypatch):
    monkeypatch.setattr(token_guard, "MOST_CLIENTS", 50)
    for number in range(1000):
        guard.check(b"wrong", f"client {number}")
    assert len(guard) == 50


@pytest.mark.parametrize("keys", [False, True], ids=["token", "keys"])
def test_a_server_slows_guessing_and_browsers_without_a_token_are_no_guessers(tmp_path, keys):
    (tmp_path / "token").write_text(TOKEN)
    right = add_key(tmp_path / "keys", "someone", Quota()) if keys else TOKEN
    given = (
        {"keys_file": str(tmp_path / "keys")} if keys else {"token_file": str(tmp_path / "token")}
    )
    settings = Settings(
        model_server=("http://127.0.0.1:9",),
        model_timeout=0.1,
        folder=str(tmp_path / "uploads"),
        **given,
    )
    with running(settings) as (client, _):
        for _ in range(2 * TRIES):
            is_problem(client.get(f"{JOBS}/x"), 401, "unauthorized")
        for _ in range(TRIES):
            answer = client.get(f"{JOBS}/x", headers={"authorization": "Bearer wrong"})
            is_problem(answer, 401, "unauthorized")
        answer = client.get(f"{JOBS}/x", auth=("any", right))
        is_problem(answer, 429, "too-many-tries")
        assert 0 < int(answer.headers["retry-after"]) <= PAUSE_S
        assert client.get("/healthz").status_code == 200
