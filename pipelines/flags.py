"""Command-line flags derived from the fields of frozen config dataclasses."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from collections.abc import Collection
from typing import Any, TypeVar

T = TypeVar("T")


def option(default: Any, help: str, choices: Collection[str] | None = None) -> Any:
    """A dataclass field that also becomes a command-line flag with this help text.

    A field of type tuple[str, ...] becomes a flag that may be given several times.
    """
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices})


def add_flags(parser: argparse._ActionsContainer, config_class: type) -> None:
    """Adds one `--field-name` flag for every `option` of a config dataclass."""
    types = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        if "help" not in field.metadata:
            continue
        name = "--" + field.name.replace("_", "-")
        kind = types[field.name]
        nothing = field.default in ("", ())
        help_text = field.metadata["help"] + ("" if nothing else " (default: %(default)s)")
        if kind is bool:
            parser.add_argument(
                name, action=argparse.BooleanOptionalAction, default=field.default, help=help_text
            )
        elif kind == tuple[str, ...]:
            parser.add_argument(name, action=_Collect, default=field.default, help=help_text)
        else:
            parser.add_argument(
                name,
                type=kind,
                default=field.default,
                choices=field.metadata["choices"],
                help=help_text,
            )


class _Collect(argparse.Action):
    """A tuple of what the flag was given, in order; "append" would make a list."""

    def __call__(self, parser: Any, namespace: Any, value: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, (*getattr(namespace, self.dest), value))


def from_flags(config_class: type[T], args: argparse.Namespace) -> T:
    """The config that the parsed flags describe. Raises ValueError as the config does."""
    names = [f.name for f in dataclasses.fields(config_class)]  # type: ignore[arg-type]
    return config_class(**{name: getattr(args, name) for name in names if hasattr(args, name)})


def check_fields(config: Any) -> None:
    """Raises ValueError, naming the flag, where a field is not one of its choices or not within
    the config's BOUNDS."""
    for name, (low, high) in config.BOUNDS.items():
        value = getattr(config, name)
        if not low <= value <= high:
            flag = "--" + name.replace("_", "-")
            raise ValueError(f"{flag} is {value}; it must be from {low} to {high}.")
    for field in dataclasses.fields(config):
        choices = field.metadata.get("choices")
        value = getattr(config, field.name)
        if field.type in (bool, "bool") and not isinstance(value, bool):
            flag = "--" + field.name.replace("_", "-")
            raise ValueError(f"{flag} is {value!r}; it must be true or false.")
        if choices and value not in choices:
            flag = "--" + field.name.replace("_", "-")
            raise ValueError(f"{flag} is {value!r}; choose one of {', '.join(choices)}.")
