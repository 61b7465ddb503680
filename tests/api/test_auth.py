"""Who may do what: every route, walked in the application's own map of URLs."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from convstore import api
from convstore.services import jobs, keys
from convstore.services.keys import Authenticator
from convstore.services.principal import Right
from convstore.storage import exports
from tests.api.conftest import Stage
from tests.conftest import Client

# Anybody may know that the service is up, and read about it.
OPEN = {"/healthz", "/readyz", "/metrics", "/openapi.json"}
WRITES = {("POST", "/v1/responses"), ("DELETE", "/v1/responses/<response_id>")} | {
    ("POST", f"/v1/responses/{path}") for path in ("<response_id>/cancel", "input_tokens")
}
CONVERSATION = "/v1/conversations/<conversation_id>"
WRITES |= {("POST", path) for path in ("/v1/conversations", CONVERSATION, f"{CONVERSATION}/items")}
WRITES |= {("DELETE", path) for path in (CONVERSATION, f"{CONVERSATION}/items/<path:item_id>")}
WRITES |= {("POST", f"/v1/responses/<response_id>/{verb}") for verb in ("branch", "replay")}
WRITES |= {("POST", "/v1/branches"), ("POST", "/v1/branches/<name>"), ("DELETE", "/v1/branches/<name>")}
WRITES |= {("POST", "/v1/replays/<replay_id>/cancel")}
WRITES |= {("POST", f"/v1/jobs/<job_id>/{verb}") for verb in ("cancel", "retry")}
WRITES |= {("POST", "/v1/prices"), ("DELETE", "/v1/prices/<price_id>")}
WRITES |= {("POST", "/v1/erasures")}
WRITES |= {("POST", "/v1/budgets"), ("DELETE", "/v1/budgets/<budget_id>")}
WRITES |= {("POST", "/v1/retention/rules")}
WRITES |= {(method, "/v1/retention/rules/<rule_id>") for method in ("POST", "DELETE")}
WRITES |= {("POST", "/v1/holds"), ("POST", "/v1/holds/<hold_id>/release")}
WRITES |= {("POST", "/v1/imports"), ("DELETE", "/v1/exports/<export_id>")}

# What has ids, besides responses.
NOUNS = ("conversation", "job", "replay", "price", "budget", "erasure", "hold", "rule", "export", "import")

# What stands for the variable parts of an address.
Ids = dict[str, str]
NOWHERE: Ids = {
    "<response_id>": f"resp_{'0' * 32}",
    "<conversation_id>": f"conv_{'0' * 32}",
    "<path:item_id>": "msg_0",
    "<job_id>": f"job_{'0' * 32}",
    "<replay_id>": f"replay_{'0' * 32}",
    "<price_id>": f"price_{'0' * 32}",
    "<budget_id>": f"budget_{'0' * 32}",
    "<erasure_id>": f"erasure_{'0' * 32}",
    "<rule_id>": f"rule_{'0' * 32}",
    "<hold_id>": f"hold_{'0' * 32}",
    "<export_id>": f"export_{'0' * 32}",
    "<import_id>": f"import_{'0' * 32}",
    "<name>": "nobodys",
    "<path:model>": "gpt-5.4",
}


# What must be asked for at some doors.
QUERIES = {
    "/v1/diff": "?left=<response_id>&right=<response_id>",
    "/v1/prices/find": "?model=gpt-5.4",
    "/v1/costs/reconcile": "?column.day=d&column.model=m",
}
# What must be sent to some, for a request that is as it should be.
BODIES = {"/v1/costs/reconcile": b"d,m\n2026-11-22,gpt-5.4\n", "/v1/audit/verify": b""}
BODIES["/v1/erasures"] = b'{"user": "nobody", "dry_run": true}'
BODIES["/v1/exports"] = b"{}"
# What is answered otherwise than with 200, when all is well.
STATUS = {("POST", "/v1/exports"): 202}


@dataclass(frozen=True)
class Door:
    """One method of one route."""

    method: str
    rule: str
    websocket: bool = False

    @property
    def asked(self) -> str:
        return self.rule + QUERIES.get(self.rule, "")

    def at(self, ids: Ids) -> str:
        path = self.asked
        for name, given in ids.items():
            path = path.replace(name, given)
        return path


def doors(app: Flask, below: str = "/v1") -> Iterator[Door]:
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith(below):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield Door(method, rule.rule, rule.websocket)


def owned(client: Client) -> Ids:
    """A response, a conversation and an item in it, a job, a price, a budget."""
    items = [{"role": "user", "content": "x"}]
    conversation = client.post("/v1/conversations", json={"items": items}).json["id"]
    item = client.get(f"/v1/conversations/{conversation}/items").json["first_id"]
    own = {"<response_id>": client.ask()["id"], "<conversation_id>": conversation, "<path:item_id>": item}
    replay = client.post(f"/v1/responses/{own['<response_id>']}/replay", json={}).json["id"]
    name = f"b-{own['<response_id>'][-8:]}"
    client.post("/v1/branches", json={"name": name, "tip": own["<response_id>"]})
    (price,) = client.post("/v1/prices", json={"model": name, "currency": "USD", "input": 1}).json["data"]
    limit = {"name": name, "amount": 1000, "currency": "USD", "period": "day"}
    own |= {"<price_id>": price["id"], "<budget_id>": client.post("/v1/budgets", json=limit).json["id"]}
    own["<erasure_id>"] = client.post("/v1/erasures", json={"user": "nobody", "purge": False}).json["id"]
    own["<hold_id>"] = client.post("/v1/holds", json={"name": name, "user": name}).json["id"]
    rule = {"name": name, "content_days": 30}
    own["<rule_id>"] = client.post("/v1/retention/rules", json=rule).json["id"]
    own["<import_id>"] = client.post("/v1/imports", data=b"{}").json["id"]
    own["<export_id>"] = an_export(client)
    return {**NOWHERE, **own, "<job_id>": a_job(client), "<replay_id>": replay, "<name>": name}


def an_export(client: Client) -> str:
    """An export of the client's project that is complete."""
    deps, own = client.app.extensions["convstore"].deps, client.post("/v1/exports", json={}).json["id"]
    principal = Authenticator(deps).principal(client.key)
    with deps.database.writing(principal.project_id) as scope:
        begun = exports.begin(scope, own)
        assert begun is not None and exports.write(scope, own, begun, 0, b"x")
        exports.finish(scope, own, begun, {}, 1, deps.clock(), deps.clock() + deps.files_kept)
    return str(own)


def a_job(client: Client, kind: str = "nobody's", **arguments: object) -> str:
    """A job of the client's project, which no worker takes."""
    deps = client.app.extensions["convstore"].deps
    principal = Authenticator(deps).principal(client.key)
    with deps.database.writing(principal.project_id) as scope:
        return jobs.enqueue(deps, scope, kind, subject="resp_1", arguments=arguments)


def knock(stage: Stage, door: Door, key: str | None, ids: Ids = NOWHERE) -> TestResponse:
    headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
    if door.websocket:
        headers |= {"Upgrade": "websocket", "Connection": "Upgrade"}
    body = {"model": "gpt-5.4", "input": "x", "items": [], "metadata": {}} if door.method == "POST" else None
    if door.rule.startswith("/v1/branches") and body is not None:
        body = {"tip": ids["<response_id>"]}
    if door.rule == "/v1/retention/rules/<rule_id>" and body is not None:
        body = {"priority": 1}
    sent = {"data": BODIES[door.rule]} if door.rule in BODIES else {"json": body}
    return stage.app.test_client().open(door.at(ids), method=door.method, headers=headers, **sent)


class TestEveryRoute:
    def test_there_are_some(self, stage: Stage) -> None:
        assert len(list(doors(stage.app))) >= 21
        assert {(door.method, door.rule) for door in doors(stage.app)} >= WRITES

    def test_the_list_in_the_code_is_the_map_of_urls(self, stage: Stage) -> None:
        """`api/__init__.py` promises every URL on one screen."""
        written = set()
        for line in (api.__doc__ or "").splitlines():
            method, _, rest = line.strip().partition(" ")
            if method in ("GET", "POST", "DELETE", "PUT", "PATCH"):
                path = rest.split()[0]
                nouns = {f"/v1/{noun}s": f"<{noun}_id>" for noun in NOUNS} | {"/v1/retention/rules": "<rule_id>"}
                own = next((id_ for noun, id_ in nouns.items() if path.startswith(noun)), "<response_id>")
                for name, variable in (
                    ("{id}", own),
                    ("{item}", "<path:item_id>"),
                    ("{model}", "<path:model>"),
                    ("{name}", "<name>"),
                ):
                    path = path.replace(name, variable)
                written.add((method, path))
        real = {(door.method, door.rule) for door in doors(stage.app, "/")}
        real = {(method, "/docs" if rule.startswith("/docs") else rule) for method, rule in real}
        assert written == real

    def test_without_a_key_none_opens(self, stage: Stage) -> None:
        for door in doors(stage.app):
            for key in (None, "", "sk-wrong", stage.alice.key[:-1], stage.alice.key.upper()):
                answered = knock(stage, door, key)
                assert answered.status_code == 401, door
                assert set(answered.json["error"]) == {"message", "type", "param", "code"}

    def test_but_those_outside(self, stage: Stage) -> None:
        for door in doors(stage.app, "/"):
            if not door.rule.startswith(("/v1", "/docs")):
                assert door.rule in OPEN
                assert knock(stage, door, None).status_code == 200
        assert stage.app.test_client().get("/docs/").status_code == 200

    def test_another_projects_key_finds_nothing(self, stage: Stage) -> None:
        own = owned(stage.alice)
        for door in doors(stage.app):
            for what in ("response", *NOUNS):
                if f"<{what}_id>" in door.asked:
                    answered = knock(stage, door, stage.carol.key, own)
                    assert answered.status_code == 404, door
                    named = f"{what.capitalize()} with id '{own[f'<{what}_id>']}' not found."
                    assert answered.json["error"]["message"] == named
        assert stage.bob.get(f"/v1/responses/{own['<response_id>']}").status_code == 200
        assert stage.bob.get(f"/v1/conversations/{own['<conversation_id>']}").status_code == 200
        assert stage.bob.get(f"/v1/jobs/{own['<job_id>']}").json["status"] == "queued"

    def test_a_key_to_read_does_not_write(self, stage: Stage) -> None:
        own = owned(stage.alice)
        asked = len(stage.upstream.questions)
        reader = stage.key(Right.READ)
        for door in doors(stage.app):
            answered = knock(stage, door, reader, own)
            if (door.method, door.rule) in WRITES:
                assert answered.status_code == 403, door
                assert answered.json["error"]["code"] == "insufficient_permissions"
                assert "'write'" in answered.json["error"]["message"]
            else:
                usual = STATUS.get((door.method, door.rule), 200)
                assert answered.status_code == (426 if door.websocket else usual), door
        assert len(stage.upstream.questions) == asked
        assert stage.alice.get(f"/v1/responses/{own['<response_id>']}").status_code == 200

    def test_nor_does_a_key_to_write_read(self, stage: Stage) -> None:
        own = owned(stage.alice)
        writer = stage.key(Right.WRITE)
        for door in doors(stage.app):
            if (door.method, door.rule) not in WRITES:
                assert knock(stage, door, writer, own).status_code == 403, door
        assert Client(stage.app, writer).create().status_code == 200

    def test_every_view_has_its_guard(self, stage: Stage) -> None:
        for rule in stage.app.url_map.iter_rules():
            if rule.rule.startswith("/v1"):
                assert stage.app.view_functions[rule.endpoint].guarded_by in Right  # type: ignore[attr-defined]


class TestKeys:
    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
    def test_the_scheme_is_of_any_case(self, stage: Stage, scheme: str) -> None:
        headers = {"Authorization": f"{scheme} {stage.alice.key}"}
        assert stage.app.test_client().get("/v1/models", headers=headers).status_code == 200

    def test_a_revoked_one_opens_nothing(self, stage: Stage) -> None:
        key, text = keys.create(stage.deps, "acme", name="dave")
        dave = Client(stage.app, text)
        assert dave.get("/v1/models").status_code == 200
        keys.revoke(stage.deps, key.id)
        assert dave.get("/v1/models").status_code == 401

    def test_one_in_the_address_is_none(self, stage: Stage) -> None:
        """It would end up in every access log."""
        assert stage.app.test_client().get(f"/v1/models?api_key={stage.alice.key}").status_code == 401

    def test_a_wrong_one_is_not_repeated(self, stage: Stage) -> None:
        answered = stage.app.test_client().get("/v1/models", headers={"Authorization": "Bearer sk-very-secret"})
        assert "very-secret" not in answered.text

    def test_a_refusal_comes_before_the_body_is_looked_at(self, stage: Stage) -> None:
        answered = stage.app.test_client().post("/v1/responses", data=b"{", content_type="application/json")
        assert answered.status_code == 401


class TestSecrets:
    def test_the_providers_key_goes_to_the_provider_alone(self, stage: Stage) -> None:
        given = stage.alice.ask()
        assert stage.upstream.questions[-1].headers["Authorization"] == "Bearer sk-provider-secret-0123456789"
        for answered in (
            stage.alice.get(f"/v1/responses/{given['id']}"),
            stage.alice.get("/v1/models"),
            stage.alice.get("/metrics"),
            stage.alice.get("/openapi.json"),
            stage.alice.get("/readyz"),
        ):
            assert "sk-provider-secret" not in answered.text
            assert stage.alice.key not in answered.text

    def test_the_clients_key_does_not_go_to_the_provider(self, stage: Stage) -> None:
        stage.alice.ask(headers={"X-Custom": "x", "OpenAI-Organization": "org"})
        assert stage.alice.key not in str(stage.upstream.questions[-1])
        assert "X-Custom" not in stage.upstream.questions[-1].headers
