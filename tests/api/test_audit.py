"""The audit log at the service's doors: what leaves an entry, what that says, and what is not done without one."""

import json
from typing import Any

import pytest

from convstore.services import audit, verification
from convstore.services.audit import Wanted
from convstore.services.deps import Deps
from convstore.services.paging import Page
from convstore.services.principal import Right
from tests.api.conftest import Stage
from tests.api.test_auth import NOWHERE, doors, knock, owned
from tests.conftest import Client
from tests.local_upstream import error

AGENT = "acme-tests/1.0"


def project_of(client: Client) -> str:
    context = client.app.extensions["convstore"]
    return str(context.authenticator.principal(client.key).project_id)


def entries(deps: Deps, project_id: str, **wanted: Any) -> list[dict[str, Any]]:
    """A project's entries, oldest first."""
    found = audit.listed(deps, project_id, Page(limit=100_000, order="asc"), Wanted(**wanted))
    return [json.loads(written) for _, written in found.items]


def checked(deps: Deps, project_id: str, head: dict[str, Any] | None = None) -> list[tuple[str, Any]]:
    """(kind, entry or object) of everything that is wrong, read in pages of three."""
    found, after = [], None
    while True:
        page = verification.verify(deps, project_id, after, 3, head if after is None else None)
        found += [(each.kind, each.entry_id or each.object_id) for each in page.problems]
        if not page.has_more:
            return list(dict.fromkeys(found))
        after = page.last_id


class TestEveryRoute:
    def test_each_leaves_one_entry_that_says_what_it_was(self, stage: Stage) -> None:
        own = owned(stage.alice)
        project = project_of(stage.alice)
        for door in doors(stage.app):
            before = {each["id"] for each in entries(stage.deps, project)}
            answered = knock(stage, door, stage.alice.key, own)
            made = [each for each in entries(stage.deps, project) if each["id"] not in before]
            calls = [each for each in made if each["action"] != "responses.answer"]
            assert len(calls) == 1, (door, made)
            (entry,) = calls
            assert entry["request_id"] == answered.headers["x-request-id"]
            assert entry["actor"] == "key"
            expected = "done" if answered.status_code < 400 else "refused"
            assert entry["outcome"] == expected, (door, answered.text)
            for name, given in own.items():
                if name in door.rule:
                    assert given in entry["object_id"], door
            noun, _, verb = entry["action"].partition(".")
            assert noun and verb, door

    def test_one_that_finds_nothing_leaves_a_refusal(self, stage: Stage) -> None:
        project = project_of(stage.alice)
        for door in doors(stage.app):
            if "<response_id>" not in door.rule:
                continue
            answered = knock(stage, door, stage.alice.key, NOWHERE)
            (entry,) = entries(stage.deps, project, request_id=answered.headers["x-request-id"])
            assert (entry["outcome"], entry["object_id"]) == ("refused", NOWHERE["<response_id>"])

    def test_a_key_without_the_scope_does_too(self, stage: Stage) -> None:
        reader = Client(stage.app, stage.key(Right.READ))
        answered = reader.create("x")
        assert answered.status_code == 403
        (entry,) = entries(stage.deps, project_of(reader), request_id=answered.headers["x-request-id"])
        assert (entry["action"], entry["outcome"], entry["detail"]) == (
            "responses.create",
            "refused",
            "insufficient_permissions",
        )

    def test_a_stranger_leaves_none(self, stage: Stage) -> None:
        before = len(entries(stage.deps, project_of(stage.alice)))
        for key in (None, "sk-wrong"):
            for door in doors(stage.app):
                knock(stage, door, key)
        assert len(entries(stage.deps, project_of(stage.alice))) == before

    def test_nor_do_the_doors_outside(self, stage: Stage) -> None:
        before = len(entries(stage.deps, project_of(stage.alice)))
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs/"):
            assert stage.alice.get(path).status_code == 200
        assert len(entries(stage.deps, project_of(stage.alice))) == before

    def test_it_says_from_where(self, stage: Stage) -> None:
        answered = stage.alice.get("/v1/models", headers={"User-Agent": AGENT + "\u00e9" * 100})
        (entry,) = entries(stage.deps, project_of(stage.alice), request_id=answered.headers["x-request-id"])
        assert entry["remote"] == "127.0.0.1"
        assert entry["user_agent"].startswith(AGENT)
        assert len(entry["user_agent"]) == 60
        assert entry["api_key_id"].startswith("key_")

    def test_another_projects_log_is_not_shown(self, stage: Stage) -> None:
        response_id = stage.alice.ask()["id"]
        assert stage.alice.get(f"/v1/audit?object={response_id}").json["data"]
        assert stage.carol.get(f"/v1/audit?object={response_id}").json["data"] == []


class TestTurns:
    def test_a_turn_leaves_two_that_commit_to_it(self, stage: Stage) -> None:
        given = stage.alice.ask()
        made = stage.alice.get(f"/v1/audit?object={given['id']}&order=asc").json["data"]
        said = [(each["action"], each["outcome"], each["detail"], each["commits"]) for each in made]
        assert said == [
            ("responses.create", "done", None, "request"),
            ("responses.answer", "done", "completed", "answer"),
        ]

    def test_a_streamed_one_too(self, stage: Stage) -> None:
        events = stage.alice.stream()
        made = stage.alice.get(f"/v1/audit?object={events[-1]['response']['id']}&order=asc").json["data"]
        assert [each["action"] for each in made] == ["responses.create", "responses.answer"]

    def test_one_that_fails_says_so(self, stage: Stage) -> None:
        stage.upstream.will(error(400))
        answered = stage.alice.create()
        made = entries(stage.deps, project_of(stage.alice), request_id=answered.headers["x-request-id"])
        assert sorted((each["action"], each["outcome"]) for each in made) == [
            ("responses.answer", "failed"),
            ("responses.create", "done"),
        ]

    def test_the_whole_log_is_right(self, stage: Stage) -> None:
        for client in (stage.alice, stage.carol):
            assert checked(stage.deps, project_of(client)) == []


class TestList:
    def test_pages_hold_together(self, stage: Stage) -> None:
        for _ in range(5):
            stage.bob.get("/v1/models")
        whole = [each["id"] for each in entries(stage.deps, project_of(stage.bob), action="models.list")]
        seen: list[str] = []
        after = ""
        while True:
            page = stage.bob.get(f"/v1/audit?action=models.list&order=asc&limit=2{after}").json
            seen += [each["id"] for each in page["data"]]
            if not page["has_more"]:
                break
            after = f"&after={page['last_id']}"
        assert seen == whole
        back = stage.bob.get(f"/v1/audit?action=models.list&order=asc&limit=1&before={whole[-1]}").json
        assert [each["id"] for each in back["data"]] == [whole[-2]]

    def test_filters(self, stage: Stage) -> None:
        given = stage.bob.ask()
        answered = stage.bob.get(f"/v1/responses/{given['id']}")
        request = answered.headers["x-request-id"]
        (entry,) = stage.alice.get(f"/v1/audit?request_id={request}").json["data"]
        for query in (
            f"object={given['id']}&action=responses.get",
            f"key={entry['api_key_id']}&object={given['id']}&action=responses.get",
            f"object={given['id']}&outcome=done&action=responses.get",
            f"since=2026-11-22&object={given['id']}&action=responses.get",
        ):
            assert [each["id"] for each in stage.alice.get(f"/v1/audit?{query}").json["data"]] == [entry["id"]], query
        assert stage.alice.get(f"/v1/audit?object={given['id']}&until=2026-11-22").json["data"] == []
        assert stage.alice.get(f"/v1/audit?object={given['id']}&outcome=failed").json["data"] == []

    @pytest.mark.parametrize(
        ("query", "param"),
        [
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=x", "limit"),
            ("order=up", "order"),
            ("after=resp_1", "after"),
            (f"after=audit_{'0' * 32}", "after"),
            (f"before=audit_{'0' * 32}", "before"),
            ("action=Responses", "action"),
            ("outcome=good", "outcome"),
            ("key=alice", "key"),
            ("request_id=1", "request_id"),
            ("since=yesterday", "since"),
            ("until=2026-13-01", "until"),
            ("object=", "object"),
            ("colour=red", "colour"),
        ],
    )
    def test_what_is_wrong_is_named(self, stage: Stage, query: str, param: str) -> None:
        answered = stage.alice.get(f"/v1/audit?{query}")
        assert answered.status_code == 400
        assert answered.json["error"]["param"] == param

    def test_a_cursor_of_another_list_or_project_is_named(self, stage: Stage) -> None:
        stage.alice.get("/v1/models")
        (newest,) = stage.alice.get("/v1/audit?action=models.list&limit=1").json["data"]
        for client, query in ((stage.alice, "action=jobs.list&"), (stage.carol, "")):
            answered = client.get(f"/v1/audit?{query}after={newest['id']}")
            assert (answered.status_code, answered.json["error"]["param"]) == (400, "after")
        assert stage.carol.get(f"/v1/audit/verify?after={newest['id']}").json["error"]["param"] == "after"


class TestStorage:
    def test_what_cannot_be_put_on_record_is_not_answered(self, stage: Stage) -> None:
        """Nor done: neither is anything read, nor changed, nor a model asked."""
        own = owned(stage.alice)
        asked = len(stage.upstream.questions)
        with stage.deps.database.transaction() as connection:
            connection.exec_driver_sql("ALTER TABLE audit_log RENAME TO away")
        try:
            for door in doors(stage.app):
                answered = knock(stage, door, stage.alice.key, own)
                assert answered.status_code == 503, door
                assert answered.json["error"]["code"] == "storage_unavailable"
        finally:
            with stage.deps.database.transaction() as connection:
                connection.exec_driver_sql("ALTER TABLE away RENAME TO audit_log")
        # A count of tokens was asked for; no model answers that, and the client did not get it.
        assert {each.path for each in stage.upstream.questions[asked:]} <= {"/v1/responses/input_tokens"}
        assert stage.alice.get(f"/v1/responses/{own['<response_id>']}").status_code == 200
        assert stage.alice.get(f"/v1/budgets/{own['<budget_id>']}").status_code == 200
        assert checked(stage.deps, project_of(stage.alice)) == []
