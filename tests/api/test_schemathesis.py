"""The service described by itself: the description is valid, and requests made from it break nothing.

CONVSTORE_FUZZ_EXAMPLES (`make fuzz`) says how many requests each operation gets.
"""

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import validate
from schemathesis import GenerationMode, checks

from tests.api.conftest import Stage
from tests.api.test_auth import doors, owned

EXAMPLES = int(os.environ.get("CONVSTORE_FUZZ_EXAMPLES", "12"))

# What is held against every answer. Not among them: that all is refused which is not described (members that
# the API does not have are taken and passed on, on purpose), nor that all is taken which is (an item may well
# be unknown).
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.ignored_auth,
    checks.allow_header_conformance,
]


@pytest.fixture(scope="module")
def described(stage: Stage) -> Any:
    """The service's own description, with the service behind it."""
    return schemathesis.openapi.from_wsgi("/openapi.json", stage.app)


OPERATIONS = [
    ("POST", "/v1/responses"),
    ("GET", "/v1/responses"),
    ("GET", "/v1/responses/{response_id}"),
    ("DELETE", "/v1/responses/{response_id}"),
    ("POST", "/v1/responses/{response_id}/cancel"),
    ("GET", "/v1/responses/{response_id}/input_items"),
    ("POST", "/v1/responses/input_tokens"),
    ("POST", "/v1/conversations"),
    ("GET", "/v1/conversations/{conversation_id}"),
    ("POST", "/v1/conversations/{conversation_id}"),
    ("DELETE", "/v1/conversations/{conversation_id}"),
    ("POST", "/v1/conversations/{conversation_id}/items"),
    ("GET", "/v1/conversations/{conversation_id}/items"),
    ("GET", "/v1/conversations/{conversation_id}/items/{item_id}"),
    ("DELETE", "/v1/conversations/{conversation_id}/items/{item_id}"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model}"),
    ("GET", "/v1/diff"),
    ("GET", "/v1/responses/{response_id}/cost"),
    ("GET", "/v1/conversations/{conversation_id}/cost"),
    ("GET", "/v1/costs"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/{job_id}"),
    ("POST", "/v1/jobs/{job_id}/cancel"),
    ("POST", "/v1/jobs/{job_id}/retry"),
    ("GET", "/v1/conversations"),
    ("GET", "/v1/conversations/{conversation_id}/tree"),
    ("GET", "/v1/conversations/{conversation_id}/tips"),
    ("GET", "/v1/responses/{response_id}/thread"),
    ("GET", "/v1/responses/{response_id}/children"),
    ("GET", "/v1/responses/{response_id}/context"),
    ("POST", "/v1/responses/{response_id}/branch"),
    ("POST", "/v1/responses/{response_id}/replay"),
    ("GET", "/v1/branches"),
    ("POST", "/v1/branches"),
    ("GET", "/v1/branches/{name}"),
    ("POST", "/v1/branches/{name}"),
    ("DELETE", "/v1/branches/{name}"),
    ("GET", "/v1/replays"),
    ("GET", "/v1/replays/{replay_id}"),
    ("POST", "/v1/replays/{replay_id}/cancel"),
    ("POST", "/v1/costs/reconcile"),
    ("GET", "/v1/audit"),
    ("GET", "/v1/audit/head"),
    ("GET", "/v1/audit/verify"),
    ("POST", "/v1/audit/verify"),
    ("GET", "/v1/prices"),
    ("POST", "/v1/prices"),
    ("GET", "/v1/prices/find"),
    ("DELETE", "/v1/prices/{price_id}"),
    ("GET", "/v1/budgets"),
    ("POST", "/v1/budgets"),
    ("GET", "/v1/budgets/{budget_id}"),
    ("DELETE", "/v1/budgets/{budget_id}"),
    ("POST", "/v1/erasures"),
    ("GET", "/v1/erasures"),
    ("GET", "/v1/erasures/{erasure_id}"),
    ("GET", "/v1/retention/rules"),
    ("POST", "/v1/retention/rules"),
    ("GET", "/v1/retention/rules/{rule_id}"),
    ("POST", "/v1/retention/rules/{rule_id}"),
    ("DELETE", "/v1/retention/rules/{rule_id}"),
    ("GET", "/v1/retention/plan"),
    ("GET", "/v1/holds"),
    ("POST", "/v1/holds"),
    ("GET", "/v1/holds/{hold_id}"),
    ("POST", "/v1/holds/{hold_id}/release"),
    ("GET", "/v1/conversations/{conversation_id}/export"),
    ("GET", "/v1/responses/{response_id}/export"),
    ("POST", "/v1/exports"),
    ("GET", "/v1/exports"),
    ("GET", "/v1/exports/{export_id}"),
    ("DELETE", "/v1/exports/{export_id}"),
    ("GET", "/v1/exports/{export_id}/content"),
    ("POST", "/v1/imports"),
    ("GET", "/v1/imports"),
    ("GET", "/v1/imports/{import_id}"),
]


class TestDescription:
    def test_it_is_valid(self, stage: Stage) -> None:
        validate(stage.alice.get("/openapi.json").json)

    def test_it_is_of_every_route(self, stage: Stage) -> None:
        paths = stage.alice.get("/openapi.json").json["paths"]
        written = {(method.upper(), path) for path, item in paths.items() for method in item if method != "parameters"}
        real = {
            (door.method, door.rule.replace("<path:", "<").replace("<", "{").replace(">", "}"))
            for door in doors(stage.app)
        }
        assert written == real

    def test_every_operation_says_what_it_does_and_how_it_fails(self, stage: Stage) -> None:
        for path, item in stage.alice.get("/openapi.json").json["paths"].items():
            for method, operation in item.items():
                if method != "parameters":
                    assert operation["summary"], path
                    failure = operation["responses"]["default"]["content"]["application/json"]["schema"]
                    assert failure == {"$ref": "#/components/schemas/Error"}

    def test_the_key_is_in_it(self, stage: Stage) -> None:
        described = stage.alice.get("/openapi.json").json
        assert described["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
        assert described["security"] == [{"key": []}]

    def test_no_asset_is_of_another_host(self, stage: Stage) -> None:
        """The documentation is read offline, and tells nobody who reads it."""
        for path in ("/docs/", "/openapi.json"):
            text = stage.alice.get(path).text
            assert not [line for line in text.splitlines() if "src=" in line and "//" in line.split("src=")[1][:9]]


class TestRequests:
    def test_every_operation_is_tried(self, described: Any) -> None:
        known = {(found.ok().method.upper(), found.ok().path) for found in described.get_all_operations()}
        assert known == set(OPERATIONS)

    @pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
    @pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[" ".join(each) for each in OPERATIONS])
    def test_those_made_from_the_description_break_nothing(
        self, stage: Stage, described: Any, method: str, path: str, mode: GenerationMode
    ) -> None:
        """Requests as described, and requests that are wrong in some one way."""
        own = {name.strip("<>").removeprefix("path:"): value for name, value in owned(stage.alice).items()}

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=described[path][method].as_strategy(generation_mode=mode))
        def hold(case: schemathesis.Case) -> None:
            if mode is GenerationMode.POSITIVE:
                case.path_parameters |= {name: own[name] for name in case.path_parameters if name in own}
            headers = {"Authorization": f"Bearer {stage.alice.key}"}
            case.call_and_validate(headers=headers, checks=CHECKS)

        hold()
