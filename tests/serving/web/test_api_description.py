"""What the API's description promises, and whether that holds."""

import jsonschema
import pytest

from serving.web.app import create_app
from serving.web.examples import JOB, REPORT
from serving.web.settings import Settings
from tests.fixtures.report_documents import demo_document, many_faces, report_document


def described(**settings):
    return create_app(Settings(model_server=("http://127.0.0.1:9",), **settings)).openapi()


@pytest.fixture(scope="module")
def description():
    return described()


@pytest.fixture(scope="module")
def with_token(tmp_path_factory):
    file = tmp_path_factory.mktemp("token") / "token"
    file.write_text("Zb1qk3xYc0m9T4nS7uVwE2aL")
    return described(token_file=str(file))


def schema_of(description, path):
    answer = description["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
    return {**answer["schema"], "components": description["components"]}


REPORT_PATH = "/api/v1/jobs/{id}/report.json"


@pytest.mark.parametrize("document", [REPORT, report_document(), demo_document(), many_faces()])
def test_a_report_is_as_its_schema_says(description, document):
    jsonschema.validate(document, schema_of(description, REPORT_PATH))


@pytest.mark.parametrize("name", sorted(REPORT))
def test_a_report_that_lacks_something_is_not(description, name):
    document = {key: value for key, value in REPORT.items() if key != name}
    with pytest.raises(jsonschema.ValidationError, match=name):
        jsonschema.validate(document, schema_of(description, REPORT_PATH))


def test_states_and_stages_are_enumerated(description):
    schema = schema_of(description, "/api/v1/jobs/{id}")
    jsonschema.validate(JOB, schema)
    for part in ({"state": "over"}, {"progress": {**JOB["progress"], "stage": "over"}}):
        with pytest.raises(jsonschema.ValidationError, match="'over' is not one of"):
            jsonschema.validate({**JOB, **part}, schema)


def test_what_needs_a_token_says_so(with_token, description):
    schemes = with_token["components"]["securitySchemes"]
    assert {scheme["scheme"] for scheme in schemes.values()} == {"bearer", "basic"}
    for path, operations in with_token["paths"].items():
        for operation in operations.values():
            free = path in ("/healthz", "/readyz")
            assert operation.get("security", []) == (
                [] if free else [{"bearer": []}, {"basic": []}]
            )
            assert {"401", "429"} & set(operation["responses"]) == (
                set() if free else {"401", "429"}
            )
    assert "securitySchemes" not in description["components"]
