"""Erasing what is encrypted, what was stored before it was, and what nobody can open any more."""

from typing import Any

import pytest

from convstore.domain.sealing import is_sealed
from convstore.services import storage_keys
from tests.api.test_audit import checked, project_of
from tests.conftest import Client
from tests.encryption.conftest import Stage, packed, unsealed
from tests.encryption.test_at_rest import WORDS, talk
from tests.erasing.doing import run


def bodies(stage: Stage, client: Client) -> list[bytes]:
    """The stored bodies of a project's items."""
    rows = stage.sql(
        "SELECT i.body FROM items i JOIN exchanges e ON e.lane = i.lane AND e.depth = i.depth"
        " WHERE e.project_id = :own AND i.body IS NOT NULL",
        own=packed(client),
    )
    return [bytes(body) for (body,) in rows]


def erase(stage: Stage, client: Client, **of: Any) -> dict[str, Any]:
    """An erasure, done; its receipt."""
    made = client.post("/v1/erasures", json=of)
    assert made.status_code == 202, made.text
    run(stage.deps)
    return dict(client.get(f"/v1/erasures/{made.json['id']}").json)


def conversations(client: Client) -> list[str]:
    return [each["id"] for each in client.get("/v1/conversations").json["data"]]


class TestSealed:
    def test_markers_take_the_place_of_what_was_sealed(self, stage: Stage, alice: Client) -> None:
        talk(stage, alice, "es")
        assert all(map(is_sealed, bodies(stage, alice)))
        kept = alice.ask("Stays, and can be read")["id"]
        gone = [own for own in conversations(alice) if own not in alice.get(f"/v1/responses/{kept}/thread").text]
        receipts = [erase(stage, alice, conversation_id=own) for own in gone]
        assert sum(each["counts"]["exchanges"] for each in receipts) == 6
        assert alice.get(f"/v1/responses/{kept}/input_items").json["data"][0]["content"][0]["text"].startswith("Stays")
        left = [body for body in bodies(stage, alice) if not is_sealed(body)]
        assert left
        assert all(b"[erased]" in body for body in left)
        # Two bodies are sealed still: a question, and its answer.
        assert len(bodies(stage, alice)) - len(left) == 2
        rows = stage.sql("SELECT count(*) FROM fingerprints f JOIN exchanges e ON e.id = f.exchange_id"
                         " WHERE e.project_id = :own AND e.erased_at IS NOT NULL", own=packed(alice))  # fmt: skip
        assert rows[0][0] == 0
        for each in alice.get("/v1/responses").json["data"]:
            assert alice.get(f"/v1/responses/{each['id']}/context").status_code == 200
        assert checked(stage.deps, project_of(alice)) == []

    def test_what_was_plain_before_is_nowhere(self, stage: Stage, alice: Client) -> None:
        with unsealed(stage) as plain:
            before = Client(plain.app, alice.key)
            talk(plain, before, "ep")
        for own in conversations(alice):
            erase(stage, alice, conversation_id=own)
        everything = stage.everything().lower()
        assert [word for word in WORDS if f"{word}ep".encode() in everything] == []
        assert checked(stage.deps, project_of(alice)) == []


class TestShredded:
    @pytest.mark.parametrize("then", ["erase", "sweep"])
    def test_what_nobody_can_open_can_be_erased(self, stage: Stage, then: str) -> None:
        name = f"acme shredded {then} {stage.deps.database.engine.dialect.name}"
        client = stage.client(name)
        talk(stage, client, "ex")
        storage_keys.shred(stage.deps, name)
        if then == "erase":
            for own in conversations(client):
                assert erase(stage, client, conversation_id=own)["status"] == "completed"
            assert not any(map(is_sealed, bodies(stage, client)))
            return
        rule = client.post("/v1/retention/rules", json={"name": "all", "content_days": 0, "figures_days": 0})
        assert rule.status_code == 200, rule.text
        assert client.get("/v1/retention/plan").status_code == 200
