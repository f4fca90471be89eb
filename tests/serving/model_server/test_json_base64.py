"""Base64 as absl::Base64Unescape reads it; what it refuses is in json_document_cases.py."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from serving.model_server.json_base64 import decode_base64


@given(st.binary(max_size=40), st.sampled_from(["", "=", "."]), st.randoms(use_true_random=False))
def test_white_space_anywhere_and_any_padding_or_none_give_the_bytes(data, padding, random):
    text = base64.b64encode(data).decode().replace("=", padding)
    for _ in range(random.randrange(4)):
        place = random.randrange(len(text) + 1)
        text = text[:place] + random.choice(" \t\n\v\f\r") + text[place:]
    assert decode_base64({"b64": text}) == data
