"""`/v1/prices`: named, listed, found, forgotten; and everything that is no price."""

from typing import Any

import pytest

from convstore.services import prices
from convstore.services.deps import Deps
from tests.conftest import ENGINES, Client

pytestmark = pytest.mark.parametrize("stage", ENGINES, indirect=True)

PRICE = {"model": "gpt-5.4*", "currency": "CNY", "input": "10", "output": 40.5}


def named(client: Client, **members: Any) -> dict[str, Any]:
    answered = client.post("/v1/prices", json={**PRICE, **members})
    assert answered.status_code == 200, answered.text
    return dict(answered.json["data"][0])


def listed(client: Client, **query: Any) -> list[str]:
    answered = client.get("/v1/prices", query_string=query)
    assert answered.status_code == 200, answered.text
    return [each["id"] for each in answered.json["data"]]


class TestCreate:
    def test_it_is_told_as_it_was_named(self, alice: Client) -> None:
        long = [{"above": 200_000, "input": "30"}, {"above": 100_000, "input": 20}]
        made = named(alice, upstream="local", service_tier="flex", long_context=long, effective_from="2026-12-01")
        assert made == {
            "id": made["id"],
            "object": "price",
            "scope": "project",
            "price_set": None,
            "model": "gpt-5.4*",
            "upstream": "local",
            "service_tier": "flex",
            "currency": "CNY",
            "input": "10",
            "output": "40.5",
            "long_context": [{"above": 100_000, "input": "20"}, {"above": 200_000, "input": "30"}],
            "effective_from": "2026-12-01T00:00:00+00:00",
            "effective_to": None,
            "created_at": made["created_at"],
        }

    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ("2026-12-01T08:00:00+08:00", "2026-12-01T00:00:00+00:00"),
            ("2026-12-01T00:00:00Z", "2026-12-01T00:00:00+00:00"),
            (1796083200, "2026-12-01T00:00:00+00:00"),
        ],
    )
    def test_moments_are_read_in_every_usual_way(self, alice: Client, given: Any, told: str) -> None:
        assert named(alice, effective_from=given)["effective_from"] == told

    def test_several_are_named_together_or_not_at_all(self, alice: Client) -> None:
        good, other = {**PRICE, "model": "a"}, {**PRICE, "model": "b"}
        refused = alice.post("/v1/prices", json=[good, {**other, "currency": "YAP"}])
        assert (refused.status_code, refused.json["error"]["param"]) == (400, "[1].currency")
        twice = alice.post("/v1/prices", json=[good, other, good])
        assert (twice.status_code, twice.json["error"]["param"]) == (409, "[2].effective_from")
        assert listed(alice) == []
        assert [each["model"] for each in alice.post("/v1/prices", json=[good, other]).json["data"]] == ["a", "b"]

    def test_one_ends_where_its_successor_begins_if_that_is_wanted(self, alice: Client) -> None:
        first = named(alice, effective_from="2026-11-01")
        refused = alice.post("/v1/prices", json={**PRICE, "effective_from": "2026-12-01"})
        assert (refused.status_code, refused.json["error"]["code"]) == (409, "prices_overlap")
        assert first["id"] in refused.json["error"]["message"]
        second = named(alice, effective_from="2026-12-01", replace=True)
        ends = {each["id"]: each["effective_to"] for each in alice.get("/v1/prices").json["data"]}
        assert ends == {first["id"]: "2026-12-01T00:00:00+00:00", second["id"]: None}

    def test_one_that_is_not_in_force_is_in_nobodys_way(self, alice: Client) -> None:
        mine, wish = named(alice), named(alice, price_set="next year")
        assert listed(alice) == [mine["id"]]
        assert listed(alice, price_set="next year") == [wish["id"]]

    @pytest.mark.parametrize(
        ("members", "param", "code"),
        [
            ({"currency": "YAP"}, "currency", "unknown_currency"),
            ({"currency": "cny"}, "currency", "unknown_currency"),
            ({"currency": None}, "currency", "missing_required_parameter"),
            ({"model": None}, "model", "missing_required_parameter"),
            ({"model": ""}, "model", "string_below_min_length"),
            ({"input": None, "output": None}, "input", "missing_required_parameter"),
            ({"input": -1}, "input", "decimal_out_of_range"),
            ({"input": "-0.5"}, "input", "decimal_out_of_range"),
            ({"input": "1e99"}, "input", "decimal_out_of_range"),
            ({"input": "0.0000001"}, "input", "invalid_value"),
            ({"input": "much"}, "input", "invalid_value"),
            ({"input": "NaN"}, "input", "invalid_value"),
            ({"input": True}, "input", "invalid_type"),
            ({"output": ["1"]}, "output", "invalid_type"),
            ({"effective_from": "yesterday"}, "effective_from", "invalid_value"),
            ({"effective_from": "2026-12-01T00:00:00"}, "effective_from", "invalid_value"),
            ({"effective_from": "2026-13-01"}, "effective_from", "invalid_value"),
            ({"effective_from": "1066-10-14"}, "effective_from", "invalid_value"),
            ({"effective_from": 1.5}, "effective_from", "invalid_type"),
            ({"effective_to": "2020-01-01"}, "effective_to", "invalid_value"),
            ({"effective_from": "2027-01-01", "effective_to": "2027-01-01"}, "effective_to", "invalid_value"),
            ({"long_context": [{"input": 1}]}, "long_context[0]", "invalid_value"),
            ({"long_context": [{"above": 0, "input": 1}]}, "long_context[0].above", "integer_below_min_value"),
            ({"long_context": [{"above": 9, "input": -1}]}, "long_context[0].input", "decimal_out_of_range"),
            ({"long_context": [{"above": 9, "inputs": 1}]}, "long_context[0]", "invalid_value"),
            ({"long_context": {"above": 9}}, "long_context", "invalid_type"),
            ({"inputs": 1}, "inputs", "unsupported_parameter"),
            ({"replace": "yes"}, "replace", "invalid_type"),
        ],
    )
    def test_nonsense_is_named(self, alice: Client, members: dict[str, Any], param: str, code: str) -> None:
        given = {name: value for name, value in {**PRICE, **members}.items() if value is not None}
        answered = alice.post("/v1/prices", json=given)
        assert answered.status_code == 400, answered.text
        assert (answered.json["error"]["param"], answered.json["error"]["code"]) == (param, code)

    @pytest.mark.parametrize("body", [b"", b"7", b"[7]", b"[", b"null", b"[null]", b"[[]]", b"{", b'"text"'])
    def test_what_is_no_price_at_all_is_refused(self, alice: Client, body: bytes) -> None:
        assert alice.post("/v1/prices", data=body).status_code == 400


class TestIndex:
    def test_everybody_sees_the_installations_and_nobody_anothers(
        self, alice: Client, carol: Client, deps: Deps
    ) -> None:
        from convstore.schemas.prices import wanted_price

        (ours,) = prices.create(deps, None, [wanted_price({**PRICE, "model": "everybodys"})])
        try:
            mine = named(alice)
            assert listed(alice) == [ours.id, mine["id"]]
            assert listed(carol) == [ours.id]
            assert alice.delete(f"/v1/prices/{ours.id}").status_code == 404
            assert carol.delete(f"/v1/prices/{mine['id']}").status_code == 404
        finally:
            prices.delete(deps, None, ours.id)

    def test_page_by_page(self, alice: Client) -> None:
        made = [named(alice, model=f"m{number}")["id"] for number in range(5)]
        assert listed(alice, limit=2) == made[:2]
        assert listed(alice, limit=2, after=made[1]) == made[2:4]
        assert listed(alice, limit=2, before=made[4]) == made[2:4]
        assert alice.get("/v1/prices", query_string={"after": "price_x"}).json["error"]["param"] == "after"

    def test_those_that_match_a_model(self, alice: Client) -> None:
        made = [named(alice, model=model)["id"] for model in ("gpt-5.4", "gpt*", "claude")]
        assert listed(alice, model="gpt-5.4") == made[:2]


class TestFind:
    def found(self, client: Client, **query: Any) -> dict[str, Any]:
        answered = client.get("/v1/prices/find", query_string=query)
        assert answered.status_code == 200, answered.text
        return dict(answered.json)

    def test_the_books_price_and_from_when_on(self, alice: Client) -> None:
        made = named(alice, effective_from="2027-01-01")
        assert self.found(alice, model="gpt-5.4")["price"] is None
        later = self.found(alice, model="gpt-5.4", at="2027-01-01")
        assert (later["upstream"], later["price"]["source"], later["price"]["version"]) == ("local", "book", made["id"])

    @pytest.mark.parametrize(
        ("query", "param"),
        [({}, "model"), ({"model": "m", "upstream": "elsewhere"}, "upstream"), ({"model": "m", "at": "soon"}, "at")],
    )
    def test_nonsense_is_named(self, alice: Client, query: dict[str, str], param: str) -> None:
        answered = alice.get("/v1/prices/find", query_string=query)
        assert (answered.status_code, answered.json["error"]["param"]) == (400, param)


def test_one_that_is_forgotten_is_gone(alice: Client) -> None:
    made = named(alice)["id"]
    assert alice.delete(f"/v1/prices/{made}").json == {"id": made, "object": "price", "deleted": True}
    assert alice.delete(f"/v1/prices/{made}").status_code == 404
    assert listed(alice) == []
