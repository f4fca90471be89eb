"""The address of a model on a server: its name, with a version or a label."""

from __future__ import annotations

import dataclasses
import re

_FORM = re.compile(r"([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?")


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """A model by its name on the server: its highest version, a certain one, or a label's."""

    name: str
    version: int | None = None
    label: str = ""

    @classmethod
    def parse(cls, text: str) -> ModelSpec:
        """From NAME, NAME/versions/NUMBER or NAME/labels/LABEL, as in TensorFlow Serving's URLs.

        Raises ValueError.
        """
        match = _FORM.fullmatch(text)
        if not match:
            raise ValueError(
                f"{text!r} names no model; expected NAME, NAME/versions/NUMBER or "
                "NAME/labels/LABEL."
            )
        name, version, label = match.groups()
        return cls(name, int(version) if version else None, label or "")

    def __str__(self) -> str:
        if self.label:
            return f"{self.name}/labels/{self.label}"
        return self.name if self.version is None else f"{self.name}/versions/{self.version}"
