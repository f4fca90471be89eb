"""What TensorFlow Serving answers to JSON, as a table: values by type, and shapes.

Written from TensorFlow Serving 2.20.0, and the libraries that it is built with: RapidJSON 1.1.0,
absl::Base64Unescape. `since` is the first release that is known to answer so; 2.5 stands for it or
an earlier one.
"""

import dataclasses
import math
from typing import Any

ECHO = "/v1/models/echo"
PARSER = "rapidjson/reader.h"
TENSORS = "util/json_tensor.cc"


@dataclasses.dataclass(frozen=True)
class Case:
    """A request and its answer: the JSON value of the body, or the whole text of the error."""

    name: str
    body: str | bytes
    answer: Any
    status: int = 200
    source: str = TENSORS  # a file of the version named above, or of the library
    since: str = "2.5"
    api: str = "predict"


def row(signature: str, value: str) -> str:
    return f'{{"signature_name":"{signature}","instances":[{value}]}}'


def column(signature: str, value: str) -> str:
    return f'{{"signature_name":"{signature}","inputs":{value}}}'


def _ok(signature: str, value: str, answer: Any, **how: str) -> Case:
    return Case(f"{signature} {value}", row(signature, value), {"predictions": [answer]}, **how)


def of_row(error: str, code: str = "INVALID_ARGUMENT") -> str:
    return f"Failed to process element: 0 of 'instances' list. Error: {code}: {error}"


def _wrong(signature: str, value: str, kind: str, shown: str = "") -> Case:
    """A value that is not of the signature's type."""
    error = f"JSON Value: {shown or value} Type: {kind} is not of expected type: {signature}"
    return Case(f"{signature} not {value}", row(signature, value), of_row(error), 400)


def _no_place(signature: str, value: str) -> Case:
    """A type that JSON has no place for."""
    error = f"Conversion of JSON Value: {value} to type: {signature}"
    body = row(signature, value)
    return Case(f"no {signature}", body, of_row(error, "UNIMPLEMENTED"), 400)


def deep(levels: int) -> Any:
    """7 in as many lists."""
    value: Any = 7
    for _ in range(levels):
        value = [value]
    return value


def b64(text: str) -> dict[str, str]:
    return {"b64": text}


_SMALL = {"int8": 8, "uint8": 8, "int16": 16}
NUMBERS = [
    # Small types: any integer of 32 bits, of which the lower bits are kept.
    *(_ok(name, str(2**bits + 7), 7) for name, bits in _SMALL.items()),
    *(_ok(name, str(2**31 - 2**bits + 3), 3) for name, bits in _SMALL.items()),
    *(_wrong(name, str(2**31), "Number") for name in _SMALL),
    *(_wrong(name, str(-(2**31) - 1), "Number") for name in _SMALL),
    _ok("int8", "200", -56),
    _ok("int8", "-129", 127),
    _ok("uint8", "-2", 254),
    _ok("int16", "40000", -25536),
    _ok("int32", "-2147483648", -(2**31)),
    _ok("uint32", "4294967295", 2**32 - 1),
    _wrong("uint32", "-1", "Number"),
    _wrong("uint32", "4294967296", "Number"),
    _ok("int64", "-9223372036854775808", -(2**63)),
    _ok("int64", "9223372036854775807", 2**63 - 1),
    _ok("uint64", "18446744073709551615", 2**64 - 1),
    _wrong("uint64", "-5", "Number"),
    # What has a point, an exponent or more than 64 bits is a double.
    *(_wrong(name, "2.0", "Number") for name in (*_SMALL, "int32", "uint32", "int64", "uint64")),
    _wrong("int32", "3e2", "Number", "300.0"),
    _wrong("int32", "-25e-1", "Number", "-2.5"),
    _wrong("int64", "36893488147419103232", "Number", "36893488147419107000.0"),
    _wrong("int32", "1e22", "Number", "1e22"),
    _wrong("int32", "0.000012", "Number", "0.000012"),
    _wrong("int32", "1.5e-7", "Number", "1.5e-7"),
    _ok("uint8", "-0", 0),
    # Float and double are rounded.
    _ok("float", "16777219", 16777220.0),
    _ok("float", "1600000001", 1600000000.0),
    _ok("float", "36893488147419103233", 3.68934881e19),
    _ok("float", "3.6e38", math.inf),
    _ok("float", "-1e300", -math.inf),
    _ok("float", "1e-50", 0.0),
    _ok("double", "9007199254740993", 9007199254740992.0),
    _ok("double", "18446744073709551617", 1.8446744073709552e19),
    _ok("double", "17e307", 1.7e308),
    _ok("double", "1e-400", 0.0),
    # Other kinds of values.
    *(
        case
        for name in ("int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", "double")
        for case in (
            _wrong(name, "null", "Null"),
            _wrong(name, "false", "False"),
            _wrong(name, '"7"', "String"),
            _wrong(name, '{"b64":"AA=="}', "Object", '{\n    "b64": "AA=="\n}'),
        )
    ),
    _wrong("bool", "1", "Number"),
    _wrong("bool", '"true"', "String"),
    _wrong("bool", "null", "Null"),
    _wrong("string", "1.25", "Number"),
    _wrong("string", "true", "True"),
    _wrong("string", "null", "Null"),
    *(_no_place(name, "2") for name in ("uint16", "half", "bfloat16", "complex64", "complex128")),
    _no_place("complex64", "null"),
    Case(
        "a half by name",
        column("half", '{"x":[0.5]}'),
        "Conversion of JSON Value: 0.5 to type: half",
        501,
    ),
    *(
        Case(f"no {name}s at all", column(name, "[]"), {"outputs": []})
        for name in ("half", "bfloat16", "uint16", "complex64", "int8", "bool", "string")
    ),
    Case("no rows of halves", row("half", "[],[]"), {"predictions": [[], []]}),
    _ok("bool", "[[true],[false]]", [[True], [False]]),
    Case("one string", column("string", '"hey"'), {"outputs": "hey"}),
    Case("one base64", column("string", '{"b64":"aGV5"}'), {"outputs": "hey"}),
    Case("one by name", column("string", '{"x":{"b64":"aGV5"}}'), {"outputs": "hey"}),
    Case("one number", column("double", "-1"), {"outputs": -1.0}),
    Case("one truth", column("bool", "false"), {"outputs": False}),
]

SHAPES = [
    Case(
        "an output of a type that JSON has no place for",
        row("to_half", "0.5"),
        "Failed to write JSON value for tensor type: half",
        400,
    ),
    Case("none of its values", column("to_half", "[]"), {"outputs": []}),
    Case("an output that is one number", column("sum", "[0.5,2]"), {"outputs": 2.5}),
    Case(
        "one number for all rows",
        row("sum", "0.5,2"),
        "Tensor name: y has no shape information ",
        400,
    ),
    Case(
        "plain rows for two inputs",
        row("pair", "1,2"),
        "instances is a plain list, but expecting list of objects as multiple input tensors "
        "required as per tensorinfo_map",
        400,
    ),
    Case(
        "plain columns for two inputs",
        column("pair", "[1,2]"),
        "inputs is a plain value/list, but expecting an object as multiple input tensors required "
        "as per tensorinfo_map",
        400,
    ),
    Case("no rows of an output", row("none", "1.5,2"), {"predictions": []}),
    Case("no columns of an output", column("none", "[1.5,2]"), {"outputs": []}),
    Case("lists of nothing", row("int32", "[[],[]]"), {"predictions": [[[], []]]}),
    Case("nothing in columns", column("int64", "[[[]],[[]]]"), {"outputs": [[[]], [[]]]}),
    *(
        Case(f"{n} deep", column("int32", "[" * n + "7" + "]" * n), {"outputs": deep(n)})
        for n in (64, 70, 254)
    ),
    Case("255 deep", column("int32", "[" * 255 + "7" + "]" * 255), "tensor parsing error: x", 400),
    Case(
        "a value too deep",
        column("int32", "[[1],[[2]]]"),
        "Encountered list at unexpected level: 2 expected < 2",
        400,
    ),
    Case(
        "a value not deep enough",
        column("int32", "[[[1]],[2]]"),
        "JSON Value: 2 found at incorrect level: 3 in the JSON DOM. Expected at level: 3",
        400,
    ),
    Case(
        "lists unlike the first",
        column("int32", "[[1,2],[3,4,5]]"),
        "Encountered list at unexpected size: 3 at level: 1 expected size: 2",
        400,
    ),
    Case(
        "a list beside an empty one",
        column("int32", "[[],[[]]]"),
        "Encountered list at unexpected size: 1 at level: 1 expected size: 0",
        400,
    ),
    Case(
        "the first mistake counts, of whatever kind",
        column("int32", '[["a"],[1,2]]'),
        'JSON Value: "a" Type: String is not of expected type: int32',
        400,
    ),
    Case(
        "rows of unequal size",
        row("int32", "[1,2],[3]"),
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
        "Expecting tensor size: 2 but got: 1",
        400,
    ),
    Case(
        "rows of unequal shape",
        row("int32", "[[1,2]],[[3],[4]]"),
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
        "Expecting shape [1,2] but got: [2,1]",
        400,
    ),
    Case(
        "a row that is an object",
        row("int32", '1,{"x":2}'),
        "Expecting value/list but got object at item 1 of input list",
        400,
    ),
    Case(
        "a row that is none",
        row("int32", '{"x":2},1'),
        "Expecting object but got list at item 1 of input list",
        400,
    ),
    Case(
        "a name too many in a row",
        row("pair", '{"n":1,"s":"a"},{"n":1,"q":[2.5,null],"s":"a"}'),
        "Failed to process element: 1 key: q of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON object: does not have named input: q",
        400,
    ),
    Case(
        "a name too few in a row",
        row("pair", '{"n":[1,2]}'),
        "Failed to process element: 0 of 'instances' list. JSON object: "
        '{\n    "n": [1, 2]\n} keys must be equal to: n,s',
        400,
    ),
    Case(
        "an empty row",
        row("int32", "{}"),
        "Failed to process element: 0 of 'instances' list. JSON object: {} keys must be equal to: "
        "x",
        400,
    ),
    Case(
        "a name of nothing",
        row("int32", '{"":1}'),
        "Failed to process element: 0 key:  of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON object: does not have named input: ",
        400,
    ),
    Case(
        "a name too few in columns",
        column("pair", '{"s":["a"]}'),
        "Missing named input: n in 'inputs' object.",
        400,
    ),
    Case("a name to a NUL", row("int32", '{"x\\u0000":4}'), {"predictions": [4]}),
    Case("a value twice in a row", row("int32", '{"x":1,"x":2},{"x":3}'), {"predictions": [1, 2]}),
    Case("a name twice in columns", column("int32", '{"x":[1],"x":"a"}'), {"outputs": [1]}),
    Case("a key twice", '{"signature_name":"int8","inputs":7,"inputs":"a"}', {"outputs": 7}),
    Case(
        "base64 twice",
        row("string", '{"b64":"aA==","b64":"aA=="}'),
        "Failed to process element: 0 key: b64 of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON object: does not have named input: b64",
        400,
    ),
    Case(
        "two outputs by row",
        row("pair", '{"n":[1],"s":"a"},{"s":{"b64":"/w=="},"n":[2]}'),
        {"predictions": [{"n": [1], "s_bytes": b64("YQ==")}, {"n": [2], "s_bytes": b64("/w==")}]},
    ),
]
