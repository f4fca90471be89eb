"""Arrow types of dataclasses, for the Parquet files of results."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

import pyarrow

_SCALARS = {
    str: pyarrow.string(),
    float: pyarrow.float64(),
    int: pyarrow.int64(),
    bool: pyarrow.bool_(),
}


def arrow_type(kind: Any) -> pyarrow.DataType:
    """The type of a column of such values: a dataclass is a struct, tuple[X, ...] a list, dict a
    map and a Literal a string; every value may be null. Raises TypeError for another type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if origin in (typing.Union, types.UnionType):  # X | None
        (kind,) = set(arguments) - {types.NoneType}
        return arrow_type(kind)
    if origin is typing.Literal:
        return pyarrow.string()
    if origin is tuple:
        return pyarrow.list_(arrow_type(arguments[0]))
    if origin is dict:
        return pyarrow.map_(*map(arrow_type, arguments))
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return pyarrow.struct([(name, arrow_type(of)) for name, of in hints.items()])
    raise TypeError(f"{kind} has no column type")
