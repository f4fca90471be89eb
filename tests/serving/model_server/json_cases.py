"""Requests in JSON and what TensorFlow Serving answers to them, as a table.

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
BASE64 = "absl/strings/escaping.cc"


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


def _row(signature: str, value: str) -> str:
    return f'{{"signature_name":"{signature}","instances":[{value}]}}'


def _column(signature: str, value: str) -> str:
    return f'{{"signature_name":"{signature}","inputs":{value}}}'


def _ok(signature: str, value: str, answer: Any, **how: str) -> Case:
    return Case(f"{signature} {value}", _row(signature, value), {"predictions": [answer]}, **how)


def _of_row(error: str, code: str = "INVALID_ARGUMENT") -> str:
    return f"Failed to process element: 0 of 'instances' list. Error: {code}: {error}"


def _wrong(signature: str, value: str, kind: str, shown: str = "") -> Case:
    """A value that is not of the signature's type."""
    error = f"JSON Value: {shown or value} Type: {kind} is not of expected type: {signature}"
    return Case(f"{signature} not {value}", _row(signature, value), _of_row(error), 400)


def _no_place(signature: str, value: str) -> Case:
    """A type that JSON has no place for."""
    error = f"Conversion of JSON Value: {value} to type: {signature}"
    body = _row(signature, value)
    return Case(f"no {signature}", body, _of_row(error, "UNIMPLEMENTED"), 400)


def _unparsed(text: str | bytes, error: str, since: str = "2.18") -> Case:
    return Case(f"no JSON {text!r:.30}", text, f"JSON Parse error: {error}", 400, PARSER, since)


def _base64(text: str, answer: str | None) -> Case:
    body = _row("string", f'{{"b64":"{text}"}}')
    if answer is None:
        error = _of_row("Unable to base64 decode")
        return Case(f"base64 not {text!r}", body, error, 400, BASE64)
    return Case(f"base64 {text!r}", body, {"predictions": [answer]}, 200, BASE64)


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
        _column("half", '{"x":[0.5]}'),
        "Conversion of JSON Value: 0.5 to type: half",
        501,
    ),
    *(
        Case(f"no {name}s at all", _column(name, "[]"), {"outputs": []})
        for name in ("half", "bfloat16", "uint16", "complex64", "int8", "bool", "string")
    ),
    Case("no rows of halves", _row("half", "[],[]"), {"predictions": [[], []]}),
    _ok("bool", "[[true],[false]]", [[True], [False]]),
    Case("one string", _column("string", '"hey"'), {"outputs": "hey"}),
    Case("one base64", _column("string", '{"b64":"aGV5"}'), {"outputs": "hey"}),
    Case("one by name", _column("string", '{"x":{"b64":"aGV5"}}'), {"outputs": "hey"}),
    Case("one number", _column("double", "-1"), {"outputs": -1.0}),
    Case("one truth", _column("bool", "false"), {"outputs": False}),
]

SHAPES = [
    Case("no rows of an output", _row("none", "1.5,2"), {"predictions": []}),
    Case("no columns of an output", _column("none", "[1.5,2]"), {"outputs": []}),
    Case("lists of nothing", _row("int32", "[[],[]]"), {"predictions": [[[], []]]}),
    Case("nothing in columns", _column("int64", "[[[]],[[]]]"), {"outputs": [[[]], [[]]]}),
    *(
        Case(f"{n} deep", _column("int32", "[" * n + "7" + "]" * n), {"outputs": deep(n)})
        for n in (64, 70, 254)
    ),
    Case("255 deep", _column("int32", "[" * 255 + "7" + "]" * 255), "tensor parsing error: x", 400),
    Case(
        "a value too deep",
        _column("int32", "[[1],[[2]]]"),
        "Encountered list at unexpected level: 2 expected < 2",
        400,
    ),
    Case(
        "a value not deep enough",
        _column("int32", "[[[1]],[2]]"),
        "JSON Value: 2 found at incorrect level: 3 in the JSON DOM. Expected at level: 3",
        400,
    ),
    Case(
        "lists unlike the first",
        _column("int32", "[[1,2],[3,4,5]]"),
        "Encountered list at unexpected size: 3 at level: 1 expected size: 2",
        400,
    ),
    Case(
        "a list beside an empty one",
        _column("int32", "[[],[[]]]"),
        "Encountered list at unexpected size: 1 at level: 1 expected size: 0",
        400,
    ),
    Case(
        "the first mistake counts, of whatever kind",
        _column("int32", '[["a"],[1,2]]'),
        'JSON Value: "a" Type: String is not of expected type: int32',
        400,
    ),
    Case(
        "rows of unequal size",
        _row("int32", "[1,2],[3]"),
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
        "Expecting tensor size: 2 but got: 1",
        400,
    ),
    Case(
        "rows of unequal shape",
        _row("int32", "[[1,2]],[[3],[4]]"),
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
        "Expecting shape [1,2] but got: [2,1]",
        400,
    ),
    Case(
        "a row that is an object",
        _row("int32", '1,{"x":2}'),
        "Expecting value/list but got object at item 1 of input list",
        400,
    ),
    Case(
        "a row that is none",
        _row("int32", '{"x":2},1'),
        "Expecting object but got list at item 1 of input list",
        400,
    ),
    Case(
        "a name too many in a row",
        _row("pair", '{"n":1,"s":"a"},{"n":1,"q":[2.5,null],"s":"a"}'),
        "Failed to process element: 1 key: q of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON object: does not have named input: q",
        400,
    ),
    Case(
        "a name too few in a row",
        _row("pair", '{"n":[1,2]}'),
        "Failed to process element: 0 of 'instances' list. JSON object: "
        '{\n    "n": [1, 2]\n} keys must be equal to: n,s',
        400,
    ),
    Case(
        "an empty row",
        _row("int32", "{}"),
        "Failed to process element: 0 of 'instances' list. JSON object: {} keys must be equal to: "
        "x",
        400,
    ),
    Case(
        "a name of nothing",
        _row("int32", '{"":1}'),
        "Failed to process element: 0 key:  of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON object: does not have named input: ",
        400,
    ),
    Case(
        "a name too few in columns",
        _column("pair", '{"s":["a"]}'),
        "Missing named input: n in 'inputs' object.",
        400,
    ),
    Case("a name to a NUL", _row("int32", '{"x\\u0000":4}'), {"predictions": [4]}),
    Case("a value twice in a row", _row("int32", '{"x":1,"x":2},{"x":3}'), {"predictions": [1, 2]}),
    Case("a name twice in columns", _column("int32", '{"x":[1],"x":"a"}'), {"outputs": [1]}),
    Case("a key twice", '{"signature_name":"int8","inputs":7,"inputs":"a"}', {"outputs": 7}),
    Case(
        "base64 twice",
        _row("string", '{"b64":"aA==","b64":"aA=="}'),
        "Failed to process element: 0 key: b64 of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON object: does not have named input: b64",
        400,
    ),
    Case(
        "two outputs by row",
        _row("pair", '{"n":[1],"s":"a"},{"s":{"b64":"/w=="},"n":[2]}'),
        {"predictions": [{"n": [1], "s_bytes": b64("YQ==")}, {"n": [2], "s_bytes": b64("/w==")}]},
    ),
]

DOCUMENTS = [
    Case(
        "a list",
        "[1, {}]",
        "JSON Value: [1, {}] Is not object",
        400,
    ),
    Case("a string", '"a/\\u0001\\u00e9"', 'JSON Value: "a/\\u0001é" Is not object', 400),
    Case(
        "a signature of no name",
        '{"signature_name":[1.5,{"a":[]}],"inputs":1}',
        'JSON Value: {\n    "signature_name": [1.5, {\n            "a": []\n        }],\n'
        '    "inputs": 1\n} not formatted correctly. '
        "'signature_name' key must be a string value.",
        400,
    ),
    Case(
        "no list of rows",
        '{"instances":1e2}',
        "JSON Value: {\n    \"instances\": 100.0\n} Expecting 'instances' to be an list/array",
        400,
    ),
    Case(
        "no rows",
        '{"instances":[]}',
        "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array",
        400,
    ),
    Case(
        "both keys",
        '{"inputs":1,"instances":[1]}',
        'JSON Value: {\n    "inputs": 1,\n    "instances": [1]\n} '
        "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        400,
    ),
    Case("neither key", '{"rows":[1]}', "Missing 'inputs' or 'instances' key", 400),
    # 256 bytes, and what reaches beyond them is the last that is shown.
    Case(
        "a long request in an error",
        '{"instances":0,"pad":[' + "123," * 79 + "123]}",
        'JSON Value: {\n    "instances": 0,\n    "pad": [' + "123, " * 44 + "123 "
        "Expecting 'instances' to be an list/array",
        400,
        since="2.19",
    ),
    Case(
        "a long value in an error",
        _column("int8", '"' + "é" * 300 + '"'),
        'JSON Value: "' + "é" * 300 + '" Type: String is not of expected type: int8',
        400,
    ),
    Case("what is ignored", '{"signature_name":"int8","inputs":7,"a":[{"b":1}]}', {"outputs": 7}),
    Case(
        "ignored and deep",
        f'{{"inputs":7,"a":{"[" * 30000}{"]" * 30000}}}',
        {"outputs": 7.0},
        source=PARSER,
        since="2.18",
    ),
    Case("bytes behind", '{"inputs":7} and so on', {"outputs": 7.0}, 200, PARSER, "2.18"),
    Case("a byte order mark", b'\xef\xbb\xbf{"inputs":7}', {"outputs": 7.0}, 200, PARSER),
    Case("white space", ' \t\r\n{ "inputs" :\n7\t}', {"outputs": 7.0}, 200, PARSER),
    *(
        Case(f"{word} is a number", f'{{"inputs":[{word}]}}', {"outputs": [value]}, 200, PARSER)
        for word, value in (
            ("NaN", math.nan),
            ("-NaN", math.nan),
            ("Inf", math.inf),
            ("-Inf", -math.inf),
            ("Infinity", math.inf),
        )
    ),
    Case(
        "bytes that are no UTF-8",
        b'{"signature_name":"pair","inputs":{"n":1,"s":"\xfe\xc3"}}',
        {"outputs": {"n": 1, "s_bytes": {"b64": "/sM="}}},
        200,
        PARSER,
    ),
    Case(
        "half of a pair",
        '{"signature_name":"pair","inputs":{"n":1,"s":"\\udfff"}}',
        {"outputs": {"n": 1, "s_bytes": {"b64": "7b+/"}}},
        200,
        PARSER,
    ),
    Case(
        "escapes",
        _row("string", r'"\u0062\b\f\r\/\\\"","\ud834\udd1e","a\u0000"'),
        {"predictions": ['b\b\f\r/\\"', "\U0001d11e", "a\0"]},
        200,
        PARSER,
    ),
    _unparsed("", "The document is empty", "2.5"),
    _unparsed(" \n", "The document is empty. at offset: 2"),
    _unparsed("]", "The document is empty. at offset: 0"),
    _unparsed("inputs", "Invalid value. at offset: 0"),
    _unparsed('{"inputs":[2', "Missing a comma or ']' after an array element. at offset: 12"),
    _unparsed('{"inputs":2', "Missing a comma or '}' after an object member. at offset: 11"),
    _unparsed('{"inputs":2 3}', "Missing a comma or '}' after an object member. at offset: 12"),
    _unparsed('{"inputs":2,}', "Missing a name for object member. at offset: 12"),
    _unparsed("{inputs:2}", "Missing a name for object member. at offset: 1"),
    _unparsed('{"inputs" 2}', "Missing a colon after a name of object member. at offset: 10"),
    _unparsed('{"inputs":[2,]}', "Invalid value. at offset: 13"),
    _unparsed('{"inputs":fals}', "Invalid value. at offset: 14"),
    _unparsed('{"inputs":Infin}', "Invalid value. at offset: 15"),
    _unparsed('{"inputs":.5}', "Invalid value. at offset: 10"),
    _unparsed('{"inputs":5.}', "Miss fraction part in number. at offset: 12"),
    _unparsed('{"inputs":5e+}', "Miss exponent in number. at offset: 13"),
    _unparsed('{"inputs":05}', "Missing a comma or '}' after an object member. at offset: 11"),
    _unparsed('{"inputs":2e308, ?', "Missing a name for object member. at offset: 17"),
    _unparsed('{"a":[1E400],?', "Number too big to be stored in double. at offset: 6"),
    _unparsed(f'{{"inputs":-{"9" * 310}}}', "Number too big to be stored in double. at offset: 10"),
    _unparsed('{"inputs":"a\tb"}', "Invalid escape character in string. at offset: 12"),
    _unparsed(r'{"inputs":"\e"}', "Invalid escape character in string. at offset: 11"),
    _unparsed(
        r'{"inputs":"\u00g0"}', "Incorrect hex digit after \\u escape in string. at offset: 11"
    ),
    _unparsed(r'{"inputs":"\udbff"}', "The surrogate pair in string is invalid. at offset: 11"),
    _unparsed(b'{"inputs":"a', "Missing a closing quotation mark in string. at offset: 12"),
    _unparsed(b'{"inputs":2\0}', "Missing a comma or '}' after an object member. at offset: 11"),
]

BASE64S = [
    *(_base64(text, "hello") for text in ("aGVsbG8=", "aGVsbG8", "aGVsbG8.", "aGVsbG9=")),
    *(_base64(text, "hell") for text in ("aGVsbA==", "aGVsbA", "aGVsbA.=", "aGVsbA..")),
    *(_base64(text, "hello") for text in ("aGVs bG8=", "aG Vs\\nbG8 =", " aGVsbG8= ")),
    *(_base64(text, "") for text in ("", " ")),
    *(_base64(text, None) for text in ("aGVsbG8==", "aGVsbA=", "aGVs=", "=", "====", "a")),
    *(_base64(text, None) for text in ("_-8=", "aGVs\\u00a0", "aGVsbG8=x", "aGVs\\u0000bG8=")),
    Case(
        "base64 that is no string",
        _row("string", '{"b64":1}'),
        "Failed to process element: 0 key: b64 of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON object: does not have named input: b64",
        400,
    ),
    Case(
        "base64 beside another name",
        _column("string", '[{"b64":"aA==","a":1}]'),
        'JSON Value: {\n    "b64": "aA==",\n    "a": 1\n} not formatted correctly for base64 data',
        400,
    ),
]


def _examples(name: str, signature: str, answer: Any, status: int = 200, **how: Any) -> Case:
    """x is 2.0 in one example and missing, so 0, in another."""
    body = f'{{"signature_name":"{signature}","examples":[{{"x":2.0}},{{}}]}}'
    how = {"api": "classify", "source": "servables/tensorflow/classifier.cc", **how}
    return Case(name, body, answer, status, **how)


def _feature(name: str, value: str, error: str) -> Case:
    body = f'{{"signature_name":"values","examples":[{{"x":{value}}}]}}'
    return Case(name, body, error, 400, api="regress")


_REGRESSOR = {"api": "regress", "source": "servables/tensorflow/regressor.cc"}
EXAMPLES = [
    _examples(
        "classes of the wrong type",
        "float_classes",
        "Expected classes Tensor of DT_STRING. Got: DT_FLOAT",
        400,
    ),
    _examples(
        "scores of the wrong type",
        "double_scores",
        "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE",
        400,
    ),
    _examples(
        "scores of the wrong rank",
        "flat_scores",
        "Expected Tensor shape: [batch_size num_classes] but got [2]",
        400,
    ),
    _examples(
        "too many scores",
        "twice_the_scores",
        "Expected scores output batch size of 2. Got: 4",
        400,
    ),
    _examples("values", "values", {"results": [2.0, 0.0]}, **_REGRESSOR),
    _examples(
        "values of the wrong type",
        "double_values",
        "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE",
        400,
        **_REGRESSOR,
    ),
    _examples(
        "too many values",
        "twice_the_values",
        "Input batch size did not match output batch size: 2 vs. 4",
        400,
        **_REGRESSOR,
    ),
    _examples(
        "values of the wrong shape",
        "wide_values",
        "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [2,2]",
        400,
        **_REGRESSOR,
    ),
    Case(
        "a feature beyond the range of a float, and one of more than 64 bits",
        '{"signature_name":"values","examples":[{"x":1e300},{"x":-1e39},{"x":36893488147419103232}]}',
        {"results": [math.inf, -math.inf, 3.68934881e19]},
        api="regress",
    ),
    Case(
        "the last of a feature that is given twice",
        '{"signature_name":"values","examples":[{"x":1.0,"x":2.0}]}',
        {"results": [2.0]},
        api="regress",
    ),
    _feature(
        "a feature of 64 bits",
        "18446744073709551615",
        "Feature: x has uint64 element. Only int64 is supported.",
    ),
    _feature(
        "a feature of two types",
        '[1.5,"a"]',
        "Unexpected element type in feature: x expecting type: float",
    ),
    _feature(
        "null for a feature", "[null]", "Feature: x has element with unexpected JSON type: Null"
    ),
    _feature(
        "a list of lists", "[[1.0]]", "Feature: x has element with unexpected JSON type: Array"
    ),
    _feature("an object", '{"a":1}', "Feature: x has element with unexpected JSON type: Object"),
    Case(
        "no examples at all",
        '{"examples":{}}',
        "JSON Value: {\n    \"examples\": {}\n} Expecting 'examples' value to be an list/array",
        400,
        api="classify",
    ),
    Case(
        "an empty list of examples",
        '{"examples":[]}',
        "JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array",
        400,
        api="classify",
    ),
    Case(
        "examples forgotten",
        '{"instances":[1]}',
        "JSON Value: {\n    \"instances\": [1]\n} When method is classify, key 'examples' is "
        "expected and was not found",
        400,
        api="regress",
    ),
    Case(
        "an example that is none",
        '{"examples":[true]}',
        "Example must be JSON object but got JSON True",
        400,
        api="classify",
    ),
]

CASES = [*NUMBERS, *SHAPES, *DOCUMENTS, *BASE64S, *EXAMPLES]

# The bodies to the byte.
FORMS = [
    (
        _row("float", "[0.25,1000000,3],[1e-05,16777216,123456.7]"),
        "predict",
        '{\n    "predictions": [[0.25, 1e+06, 3.0], [1e-05, 16777216.0, 123456.703]\n    ]\n}',
    ),
    (
        _row("double", "0.1,0.30000000000000004,1e16"),
        "predict",
        '{\n    "predictions": [0.1, 0.30000000000000004, 1e+16\n    ]\n}',
    ),
    (
        _column("int32", "[[1],[-2]]"),
        "predict",
        '{\n    "outputs": [\n        [\n            1\n        ],\n        [\n            -2\n'
        "        ]\n    ]\n}",
    ),
    (_column("bool", "true"), "predict", '{\n    "outputs": true\n}'),
    (
        _column("float", "[NaN,-Infinity]"),
        "predict",
        '{\n    "outputs": [\n        NaN,\n        -Infinity\n    ]\n}',
    ),
    (_row("none", "1"), "predict", '{\n    "predictions": []\n}'),
    (
        _row("float", "true"),
        "predict",
        '{\n    "error": "Failed to process element: 0 of \'instances\' list. Error: '
        'INVALID_ARGUMENT: JSON Value: true Type: True is not of expected type: float"\n}',
    ),
    (
        '{"signature_name":"binary_label","examples":[{},{}]}',
        "classify",
        b'{\n    "results": [[["\xff\\u0000", 0.0], ["b", 0.0]], '
        b'[["\xff\\u0000", 0.0], ["b", 0.0]]\n    ]\n}',
    ),
    (
        '{"signature_name":"values","examples":[{"x":0.5},{}]}',
        "regress",
        '{\n    "results": [0.5, 0.0]\n}',
    ),
]
