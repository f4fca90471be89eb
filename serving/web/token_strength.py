"""Strength of the web application's token: one that follows a pattern can be guessed."""

from __future__ import annotations

MIN_CHARACTERS = 16
MIN_FREE = 12  # of them; 48 bits where they are hexadecimal digits
KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def free_characters(token: str) -> int:
    """How many characters do not follow from those before.

    Those do that go on with a run (aaa, abc, 321, qwe), and those that end a pair which was there
    before (abab).
    """
    text, pairs, free = token.lower(), set(), 0
    for place, character in enumerate(text):
        pair = text[place - 1 : place + 1] if place else character
        run = text[place - 2 : place + 1] if place > 1 else ""
        free += not (pair in pairs or _is_run(run))
        pairs.add(pair)
    return free


def _is_run(three: str) -> bool:
    if len(three) < 3:
        return False
    if any(three in row or three[::-1] in row for row in KEYBOARD):
        return True
    first, second = ord(three[1]) - ord(three[0]), ord(three[2]) - ord(three[1])
    return first == second and abs(first) <= 1


def check_strength(token: str) -> None:
    """Raises ValueError for a token that is too short, or that follows a pattern."""
    advice = "Make one with: python -c 'import secrets; print(secrets.token_urlsafe())'"
    if len(token) < MIN_CHARACTERS:
        found = f"has {len(token)} characters, at least {MIN_CHARACTERS} are needed"
        raise ValueError(f"the token {found}. {advice}")
    if (free := free_characters(token)) < MIN_FREE:
        raise ValueError(
            f"the token can be guessed: {free} of its characters do not follow from those before "
            f"(as in aaa, abc, qwe, abab), at least {MIN_FREE} are needed. {advice}"
        )
