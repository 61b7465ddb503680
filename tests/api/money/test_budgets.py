"""`/v1/budgets`: set, looked at, lifted; what they do to calls; and everything that is no budget."""

from typing import Any

import pytest

from tests.conftest import ENGINES, Client
from tests.local_upstream import LocalUpstream

pytestmark = pytest.mark.parametrize("stage", ENGINES, indirect=True)

BUDGET = {"name": "tests", "amount": "0.001", "currency": "CNY", "period": "month"}
# One answer of the local provider costs 0.000594 by it.
PRICE = {"model": "gpt-5.4*", "currency": "CNY", "input": 10, "cached_input": 1, "output": 100}


@pytest.fixture(autouse=True)
def price(alice: Client) -> None:
    assert alice.post("/v1/prices", json=PRICE).status_code == 200


def made(client: Client, **members: Any) -> dict[str, Any]:
    answered = client.post("/v1/budgets", json={**BUDGET, **members})
    assert answered.status_code == 200, answered.text
    return dict(answered.json)


def test_it_is_told_as_it_was_set_and_how_it_stands(alice: Client, bob: Client, carol: Client) -> None:
    own = made(alice)
    alice.ask()
    found = bob.get(f"/v1/budgets/{own['id']}").json
    assert found == {
        "id": own["id"],
        "object": "budget",
        "name": "tests",
        "period": "month",
        "currency": "CNY",
        "amount": "0.001",
        "hard": True,
        "api_key_id": None,
        "conversation_id": None,
        "spent": "0.000594",
        "left": "0.000406",
        "exceeded": False,
        "created_at": own["created_at"],
    }
    assert bob.get("/v1/budgets").json["data"] == [found]
    assert carol.get("/v1/budgets").json["data"] == []
    assert carol.get(f"/v1/budgets/{own['id']}").status_code == 404
    assert carol.delete(f"/v1/budgets/{own['id']}").status_code == 404


def test_a_call_beyond_it_is_refused_as_the_api_refuses(alice: Client, upstream: LocalUpstream) -> None:
    made(alice)
    alice.ask()
    alice.ask()
    asked = len(upstream.asked)
    refused = alice.create()
    assert (refused.status_code, refused.headers["x-should-retry"]) == (429, "false")
    error = refused.json["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
    assert "'tests' of 0.001 CNY" in error["message"]
    assert len(upstream.asked) == asked


def test_a_branch_is_a_call_too(alice: Client) -> None:
    first = alice.ask()["id"]
    made(alice, amount=0)
    assert alice.post(f"/v1/responses/{first}/branch", json={"input": "Otherwise?"}).status_code == 429
    assert alice.get(f"/v1/responses/{first}").status_code == 200


def test_a_soft_one_stands_in_a_header_and_in_the_metrics(alice: Client) -> None:
    made(alice, name="sanft, 软", amount=0, hard=False)
    answered = alice.create()
    assert answered.status_code == 200
    assert answered.headers["x-convstore-budget-exceeded"] == "sanft%2C %E8%BD%AF"
    assert b'convstore_budget_exceeded_total{kind="soft"}' in alice.get("/metrics").data


def test_names_are_told_apart(alice: Client, carol: Client) -> None:
    own = made(alice)
    again = alice.post("/v1/budgets", json=BUDGET)
    assert (again.status_code, again.json["error"]["code"]) == (409, "budget_exists")
    made(carol)
    assert alice.delete(f"/v1/budgets/{own['id']}").json["deleted"] is True
    made(alice)


@pytest.mark.parametrize(
    ("members", "param", "code"),
    [
        ({"name": None}, "name", "missing_required_parameter"),
        ({"name": ""}, "name", "string_below_min_length"),
        ({"amount": None}, "amount", "missing_required_parameter"),
        ({"amount": -1}, "amount", "decimal_out_of_range"),
        ({"amount": "ten"}, "amount", "invalid_value"),
        ({"currency": "EURO"}, "currency", "unknown_currency"),
        ({"currency": None}, "currency", "missing_required_parameter"),
        ({"period": "week"}, "period", "invalid_value"),
        ({"period": None}, "period", "missing_required_parameter"),
        ({"hard": "yes"}, "hard", "invalid_type"),
        ({"api_key_id": "key_unknown"}, "api_key_id", "invalid_value"),
        ({"conversation_id": "conv_unknown"}, "conversation_id", "invalid_value"),
        ({"limit": 3}, "limit", "unsupported_parameter"),
    ],
)
def test_nonsense_is_named(alice: Client, members: dict[str, Any], param: str, code: str) -> None:
    given = {name: value for name, value in {**BUDGET, **members}.items() if value is not None}
    answered = alice.post("/v1/budgets", json=given)
    assert answered.status_code == 400, answered.text
    assert (answered.json["error"]["param"], answered.json["error"]["code"]) == (param, code)
    assert alice.get("/v1/budgets").json["data"] == []


def test_anothers_key_or_conversation_is_none(alice: Client, carol: Client) -> None:
    carol.ask()
    (theirs,) = carol.get("/v1/conversations").json["data"]
    answered = alice.post("/v1/budgets", json={**BUDGET, "conversation_id": theirs["id"]})
    assert (answered.status_code, answered.json["error"]["param"]) == (400, "conversation_id")
