"""JSON of frozen dataclasses, and back with every type checked: for what a process sends in which
a hostile file may have taken over."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")


def from_json(kind: type[T], value: Any) -> T:
    """The inverse of `dataclasses.asdict`, also of what went through JSON.

    Fields may be str, int, float, bool, None, Literal, dict[str, str], tuple[X, ...], dataclasses
    and unions of these. Raises ValueError where a value is of another type, lacks a field or has
    one too many.
    """
    return typing.cast(T, _value(kind, value))


def _value(kind: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _of_union(arguments, value)
    if origin is typing.Literal:
        if value in arguments:
            return value
    elif origin is tuple:
        if isinstance(value, list | tuple):
            return tuple(_value(arguments[0], item) for item in value)
    elif origin is dict:
        if isinstance(value, dict):
            key, item = arguments
            return {_value(key, k): _value(item, v) for k, v in value.items()}
    elif dataclasses.is_dataclass(kind):
        if isinstance(value, dict):
            return _dataclass(kind, value)
    elif kind is float and type(value) is int:
        return float(value)
    elif type(value) is kind:
        return value
    raise ValueError(f"{value!r:.80} in place of {kind}")


def _of_union(kinds: tuple[Any, ...], value: Any) -> Any:
    for kind in kinds:
        try:
            return _value(kind, value)
        except ValueError:
            continue
    raise ValueError(f"{value!r:.80} in place of one of {kinds}")


def _dataclass(kind: Any, values: dict[str, Any]) -> Any:
    hints = typing.get_type_hints(kind)
    if set(values) != set(hints):
        raise ValueError(f"fields {sorted(values)!r:.200} in place of {sorted(hints)}")
    return kind(**{name: _value(hints[name], value) for name, value in values.items()})
