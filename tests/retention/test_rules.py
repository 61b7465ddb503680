"""`/v1/retention/rules`: made, changed, looked at, forgotten; and everything that is no rule."""

from typing import Any

import pytest

from tests.conftest import Client

RULE = {"name": "all", "content_days": 30}


def made(client: Client, **members: Any) -> dict[str, Any]:
    answered = client.post("/v1/retention/rules", json={**RULE, **members})
    assert answered.status_code == 200, answered.text
    return dict(answered.json)


def test_a_rule_is_told_as_it_was_made(alice: Client, carol: Client) -> None:
    rule = made(alice, model="gpt-*", metadata={"a": "1"}, figures_days=365, keep_while_descendants=False, priority=7)
    assert rule == {
        "id": rule["id"],
        "object": "retention.rule",
        "name": "all",
        "priority": 7,
        "model": "gpt-*",
        "metadata": {"a": "1"},
        "content_days": 30,
        "figures_days": 365,
        "keep_while_descendants": False,
        "created_at": rule["created_at"],
        "changed_at": rule["created_at"],
    }
    at = f"/v1/retention/rules/{rule['id']}"
    assert alice.get(at).json == rule
    assert alice.get("/v1/retention/rules").json["data"] == [rule]
    assert carol.get("/v1/retention/rules").json["data"] == []
    for answered in (carol.get(at), carol.post(at, json={"priority": 1}), carol.delete(at)):
        assert answered.status_code == 404
    assert alice.get(at).json == rule


def test_without_more_it_is_for_everything_and_only_for_content(alice: Client) -> None:
    rule = made(alice)
    assert (rule["model"], rule["metadata"], rule["figures_days"]) == (None, None, None)
    assert (rule["keep_while_descendants"], rule["priority"]) == (True, 100)


def test_one_may_keep_for_ever_what_others_would_not(alice: Client) -> None:
    assert made(alice, content_days=None, metadata={"keep": "yes"}, priority=1)["content_days"] is None


def test_they_are_listed_in_the_order_in_which_they_are_asked(alice: Client) -> None:
    for number, priority in enumerate((9, 3, 9, 0)):
        made(alice, name=f"r{number}", priority=priority)
    assert [rule["name"] for rule in alice.get("/v1/retention/rules").json["data"]] == ["r3", "r1", "r0", "r2"]


def test_what_is_not_given_stays_and_null_empties(alice: Client) -> None:
    rule = made(alice, model="gpt-*", figures_days=90)
    at = f"/v1/retention/rules/{rule['id']}"
    changed = alice.post(at, json={"figures_days": None, "priority": 2}).json
    assert changed == {**rule, "figures_days": None, "priority": 2, "changed_at": changed["changed_at"]}
    assert alice.post(at, json={"model": None, "name": "other"}).json["model"] is None
    assert alice.get(at).json["name"] == "other"
    assert alice.post(at, json={}).json["name"] == "other"


def test_a_deleted_one_is_gone(alice: Client) -> None:
    at = f"/v1/retention/rules/{made(alice)['id']}"
    assert alice.delete(at).json["deleted"] is True
    assert alice.get(at).status_code == alice.delete(at).status_code == 404


def test_names_are_told_apart(alice: Client, carol: Client) -> None:
    made(alice)
    again = alice.post("/v1/retention/rules", json=RULE)
    assert (again.status_code, again.json["error"]["code"], again.json["error"]["param"]) == (
        409,
        "rule_exists",
        "name",
    )
    made(carol)
    other = made(alice, name="other")
    taken = alice.post(f"/v1/retention/rules/{other['id']}", json={"name": "all"})
    assert (taken.status_code, taken.json["error"]["code"]) == (409, "rule_exists")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "n" * 256}, "name"),
    ({"name": "a\x00b"}, "name"),
    ({"name": "a\ud800"}, "name"),
    ({"name": 1}, "name"),
    ({"model": ""}, "model"),
    ({"model": "\x00"}, "model"),
    ({"model": 5}, "model"),
    ({"metadata": {}}, "metadata"),
    ({"metadata": {"a": 1}}, "metadata.a"),
    ({"metadata": {"a\ud800": "1"}}, "metadata"),
    ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
    ({"content_days": -1}, "content_days"),
    ({"content_days": 1.5}, "content_days"),
    ({"content_days": "30"}, "content_days"),
    ({"content_days": True}, "content_days"),
    ({"content_days": 36_501}, "content_days"),
    ({"content_days": 10**30}, "content_days"),
    ({"figures_days": 29}, "figures_days"),
    ({"figures_days": -1}, "figures_days"),
    ({"content_days": None, "figures_days": 5}, "figures_days"),
    ({"keep_while_descendants": "yes"}, "keep_while_descendants"),
    ({"priority": -1}, "priority"),
    ({"priority": 10**7}, "priority"),
    ({"days": 3}, "days"),
]


@pytest.mark.parametrize(("members", "param"), WRONG)
def test_nonsense_is_named(alice: Client, members: dict[str, Any], param: str) -> None:
    answered = alice.post("/v1/retention/rules", json={**RULE, **members})
    assert (answered.status_code, answered.json["error"]["param"]) == (400, param), answered.text
    assert alice.get("/v1/retention/rules").json["data"] == []


@pytest.mark.parametrize(("members", "param"), WRONG)
def test_a_rule_is_not_changed_to_nonsense(alice: Client, members: dict[str, Any], param: str) -> None:
    rule = made(alice)
    answered = alice.post(f"/v1/retention/rules/{rule['id']}", json=members)
    assert (answered.status_code, answered.json["error"]["param"]) == (400, param), answered.text
    assert alice.get(f"/v1/retention/rules/{rule['id']}").json == rule


@pytest.mark.parametrize(("missing", "given"), [("name", {"content_days": 1}), ("content_days", {"name": "n"})])
def test_what_is_missing_is_named(alice: Client, missing: str, given: dict[str, Any]) -> None:
    answered = alice.post("/v1/retention/rules", json=given)
    assert (answered.status_code, answered.json["error"]["param"]) == (400, missing)


@pytest.mark.parametrize("query", ["limit=0", "limit=100001", "limit=x", "after=resp_1", "after=conv_1"])
def test_so_is_nonsense_in_the_query_of_the_plan(alice: Client, query: str) -> None:
    answered = alice.get(f"/v1/retention/plan?{query}")
    assert (answered.status_code, answered.json["error"]["param"]) == (400, query.partition("=")[0])


def test_each_call_is_on_record(alice: Client) -> None:
    rule = made(alice)["id"]
    at = f"/v1/retention/rules/{rule}"
    alice.get("/v1/retention/rules")
    alice.get(at)
    alice.post(at, json={"priority": 1})
    alice.get("/v1/retention/plan")
    alice.delete(at)
    found = alice.get("/v1/audit?limit=6&order=desc").json["data"][::-1]
    assert [(entry["action"], entry["object_id"]) for entry in found] == [
        ("retention.create_rule", rule),
        ("retention.list_rules", None),
        ("retention.get_rule", rule),
        ("retention.change_rule", rule),
        ("retention.plan", None),
        ("retention.delete_rule", rule),
    ]
