"""What TensorFlow Serving answers to JSON: documents, base64 and examples; see json_cases.py."""

import math
from typing import Any

from tests.serving.model_server.json_cases import PARSER, Case, column, of_row, row

BASE64 = "absl/strings/escaping.cc"


def _unparsed(text: str | bytes, error: str, since: str = "2.18") -> Case:
    return Case(f"no JSON {text!r:.30}", text, f"JSON Parse error: {error}", 400, PARSER, since)


def _base64(text: str, answer: str | None) -> Case:
    body = row("string", f'{{"b64":"{text}"}}')
    if answer is None:
        error = of_row("Unable to base64 decode")
        return Case(f"base64 not {text!r}", body, error, 400, BASE64)
    return Case(f"base64 {text!r}", body, {"predictions": [answer]}, 200, BASE64)


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
        column("int8", '"' + "é" * 300 + '"'),
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
        row("string", r'"\u0062\b\f\r\/\\\"","\ud834\udd1e","a\u0000"'),
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
        row("string", '{"b64":1}'),
        "Failed to process element: 0 key: b64 of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON object: does not have named input: b64",
        400,
    ),
    Case(
        "base64 beside another name",
        column("string", '[{"b64":"aA==","a":1}]'),
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

# The bodies to the byte.
FORMS = [
    (
        row("float", "[0.25,1000000,3],[1e-05,16777216,123456.7]"),
        "predict",
        '{\n    "predictions": [[0.25, 1e+06, 3.0], [1e-05, 16777216.0, 123456.703]\n    ]\n}',
    ),
    (
        row("double", "0.1,0.30000000000000004,1e16"),
        "predict",
        '{\n    "predictions": [0.1, 0.30000000000000004, 1e+16\n    ]\n}',
    ),
    (
        column("int32", "[[1],[-2]]"),
        "predict",
        '{\n    "outputs": [\n        [\n            1\n        ],\n        [\n            -2\n'
        "        ]\n    ]\n}",
    ),
    (column("bool", "true"), "predict", '{\n    "outputs": true\n}'),
    (
        column("float", "[NaN,-Infinity]"),
        "predict",
        '{\n    "outputs": [\n        NaN,\n        -Infinity\n    ]\n}',
    ),
    (row("none", "1"), "predict", '{\n    "predictions": []\n}'),
    (
        row("float", "true"),
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
