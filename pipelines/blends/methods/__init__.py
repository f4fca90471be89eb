"""Methods by which faces are edited: a module for each, or for those of a kind."""

from pipelines.blends.methods import generated, parts, self_blend, swap  # noqa: F401 (they register)
from pipelines.blends.methods.registry import METHODS

__all__ = ["METHODS"]
