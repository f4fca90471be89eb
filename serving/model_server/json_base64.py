"""Binary strings in JSON: {"b64": text}, decoded as absl::Base64Unescape does."""

from __future__ import annotations

import binascii
import contextlib
import re
from typing import Any

from serving.model_server.json_text import show
from serving.model_server.status import invalid

# The standard alphabet, white space anywhere, and at the end nothing or exactly the padding that is
# missing, of which a dot is as good as an equals sign.
_BASE64_SPACE = re.compile(r"[\t\n\v\f\r ]+")
_BASE64 = re.compile(
    r"((?:[A-Za-z0-9+/]{4})*+)(?:([A-Za-z0-9+/]{2})(?:[=.]{2})?|([A-Za-z0-9+/]{3})[=.]?)?"
)


def decode_base64(value: dict[str, Any]) -> bytes:
    """{"b64": ...} -> bytes. Raises StatusError."""
    if not is_base64(value):
        raise invalid(f"JSON Value: {show(value)} not formatted correctly for base64 data")
    text = value["b64"]
    if len(text) % 4 == 0:  # the usual form, at the speed of C
        with contextlib.suppress(ValueError):
            return binascii.a2b_base64(text, strict_mode=True)
    found = _BASE64.fullmatch(_BASE64_SPACE.sub("", text))
    if not found:
        raise invalid("Unable to base64 decode")
    bare = "".join(filter(None, found.groups()))
    return binascii.a2b_base64(bare + "=" * (-len(bare) % 4))


def is_base64(value: Any) -> bool:
    """{"b64": string} and nothing else."""
    return type(value) is dict and len(value) == 1 and isinstance(value.get("b64"), str)
