"""Frozen dataclasses as JSON, back, and their JSON Schema (draft 2020-12).

Of a class its own fields come before those it inherits. Metadata of a field may say otherwise how
it is written: "key", its key in JSON; "inline", a function that gives names: the field is a
mapping whose items stand beside the other keys, and these are the ones that it may hold.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

DRAFT = "https://json-schema.org/draft/2020-12/schema"
SCALARS: dict[Any, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    types.NoneType: "null",
}


def _fields(kind: type) -> list[tuple[dataclasses.Field, str, Any]]:
    """Field, key in JSON and type of each field, in the order in which they are written."""
    hints = typing.get_type_hints(kind)
    inherited = {
        field.name
        for base in kind.__bases__
        if dataclasses.is_dataclass(base)
        for field in dataclasses.fields(base)
    }
    fields = sorted(dataclasses.fields(kind), key=lambda field: field.name in inherited)
    return [(f, f.metadata.get("key", f.name), hints[f.name]) for f in fields]


def _is_optional(field: dataclasses.Field) -> bool:
    """Whether it may be absent: an earlier version did not write it."""
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


def to_json(value: Any) -> Any:
    """What json.dumps takes."""
    if isinstance(value, Mapping):
        return {name: to_json(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_json(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return value
    result: dict[str, Any] = {}
    for field, key, _ in _fields(type(value)):
        item = to_json(getattr(value, field.name))
        result |= item if "inline" in field.metadata else {key: item}
    return result


def from_json(kind: Any, value: Any, path: str = "", *, exact: bool = False) -> Any:
    """The inverse of `to_json`, and of `dataclasses.asdict`: an object of a type, its sequences as
    tuples, a whole number where the type is float as a float.

    Keys that the type does not know are passed over, and those that an earlier version did not
    write may be absent; `exact`: neither, for what comes from where a hostile file may have taken
    over. Raises ValueError, with the path of keys, where a key is missing or a value is of another
    type.
    """
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _from_union(arguments, value, path, exact)
    if origin is typing.Literal:
        _check(value in arguments, value, " or ".join(arguments), path)
        return value
    if dataclasses.is_dataclass(kind):
        return _from_object(kind, value, path, exact)
    if origin is tuple:
        return tuple(_from_array(arguments, value, path, exact))
    if origin in (dict, Mapping):
        _check(isinstance(value, dict), value, "an object", path)
        return {
            from_json(arguments[0], name, path): from_json(
                arguments[1], item, f"{path}.{name}", exact=exact
            )
            for name, item in value.items()
        }
    _check(_is_scalar(kind, value), value, SCALARS[kind], path)
    return float(value) if kind is float else value


def _is_scalar(kind: type, value: Any) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if kind is float and isinstance(value, int):
        return abs(value) <= sys.float_info.max
    return isinstance(value, kind)


def _check(ok: bool, value: Any, expected: str, path: str) -> None:
    if not ok:
        raise ValueError(f"{path.strip('.') or 'all'} is {str(value)[:60]!r}; expected {expected}.")


def _from_union(kinds: Sequence[Any], value: Any, path: str, exact: bool) -> Any:
    """Of the first type that takes it."""
    if value is None and types.NoneType in kinds:
        return None
    *others, last = (kind for kind in kinds if kind is not types.NoneType)
    for kind in others:
        with contextlib.suppress(ValueError):
            return from_json(kind, value, path, exact=exact)
    return from_json(last, value, path, exact=exact)


def _from_array(arguments: Sequence[Any], value: Any, path: str, exact: bool) -> Iterator[Any]:
    _check(isinstance(value, list | tuple), value, "an array", path)
    kinds = arguments
    if arguments[-1] is ...:
        kinds = [arguments[0]] * len(value)
    _check(len(kinds) == len(value), value, f"{len(kinds)} items", path)
    for number, (kind, item) in enumerate(zip(kinds, value, strict=True)):
        yield from_json(kind, item, f"{path}.{number}", exact=exact)


def _from_object(kind: Any, value: Any, path: str, exact: bool) -> Any:
    _check(isinstance(value, dict), value, "an object", path)
    values, unknown = {}, set(value)
    for field, key, hint in _fields(kind):
        if "inline" in field.metadata:
            own = {name: value[name] for name in field.metadata["inline"]() if name in value}
            values[field.name] = from_json(hint, own, path, exact=exact)
            unknown -= set(own)
        elif key in value:
            values[field.name] = from_json(hint, value[key], f"{path}.{key}", exact=exact)
            unknown.discard(key)
        elif exact or not _is_optional(field):
            raise ValueError(f"{path.strip('.') or 'all'} has no {key!r}.")
    if exact and unknown:
        raise ValueError(f"{path.strip('.') or 'all'} has {sorted(unknown)!r:.200} besides.")
    return kind(**values)


def json_schema(kind: type) -> dict[str, Any]:
    """The JSON Schema of a dataclass; docstrings' first lines are its descriptions."""
    definitions: dict[str, Any] = {}
    root = _schema(kind, definitions)
    return {"$schema": DRAFT, **root, "$defs": dict(sorted(definitions.items()))}


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if kind is Any:
        return {}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(argument, definitions) for argument in arguments]}
    if dataclasses.is_dataclass(kind):
        name = typing.cast(type, kind).__name__
        if name not in definitions:
            definitions[name] = {}  # holds the place
            definitions[name] = _object_schema(kind, definitions)
        return {"$ref": f"#/$defs/{name}"}
    if origin is tuple and arguments[-1] is ...:
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if origin is tuple:
        items = [_schema(argument, definitions) for argument in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "items": False}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    return {"type": SCALARS[kind]}


def _object_schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    for field, key, hint in _fields(kind):
        if "inline" in field.metadata:
            names = list(field.metadata["inline"]())
            properties |= dict.fromkeys(names, _schema(typing.get_args(hint)[1], definitions))
            required += names
        else:
            properties[key] = _schema(hint, definitions)
            required += [] if _is_optional(field) else [key]
    return {
        "description": (kind.__doc__ or "").partition("\n")[0],
        "type": "object",
        "properties": properties,
        "required": required,
    }
