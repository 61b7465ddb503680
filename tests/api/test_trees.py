"""Trees through the door: all of one, a part, threads, children, and what the model was shown."""

import hashlib
import json
from typing import Any

import pytest
from werkzeug.test import TestResponse

from convstore.services import contexts, keys
from tests.api.conftest import Stage
from tests.conftest import ENGINES, Client
from tests.local_upstream import answer, function_call, message, reasoning
from tests.storage.keeper import counted

pytestmark = pytest.mark.parametrize("stage", ENGINES, indirect=True)

UNKNOWN = "resp_" + "0" * 32


def got(client: Client, path: str, status: int = 200) -> dict[str, Any]:
    answered = client.get(path)
    assert answered.status_code == status, answered.text
    return dict(answered.json)


def refused(answered: TestResponse, status: int, param: str | None = None) -> None:
    assert answered.status_code == status, answered.text
    assert answered.json["error"]["param"] == param
    assert answered.json["error"]["message"]


def home(client: Client, response_id: str) -> str:
    """The conversation of a response."""
    return str(got(client, f"/v1/responses/{response_id}/thread?items=false")["data"][0]["conversation_id"])


def tree(client: Client, conversation: str, query: str = "") -> dict[str, Any]:
    return got(client, f"/v1/conversations/{conversation}/tree?{query}")


def said(nodes: dict[str, Any]) -> list[str]:
    return [node["question"] for node in nodes["data"]]


@pytest.fixture
def grown(stage: Stage) -> dict[str, str]:
    """root ─ a ─ aa, root ─ b ─ (ba, bb), by what was asked; the id of each."""
    made: dict[str, str] = {}
    for name, parent in (("root", None), ("a", "root"), ("b", "root"), ("aa", "a"), ("ba", "b"), ("bb", "b")):
        stage.upstream.will(answer(message(f"Answer to {name}\nat length")))
        made[name] = stage.alice.ask(name, after=made.get(parent or ""))["id"]
    made["home"] = home(stage.alice, made["root"])
    return made


class TestTree:
    def test_every_exchange_stands_behind_its_parent_with_what_hangs_below(
        self, stage: Stage, grown: dict[str, str]
    ) -> None:
        found = tree(stage.alice, grown["home"])
        assert said(found) == ["root", "a", "aa", "b", "ba", "bb"]
        assert [node["depth"] for node in found["data"]] == [0, 1, 2, 1, 2, 2]
        assert [node["is_tip"] for node in found["data"]] == [False, False, True, False, True, True]
        assert [node["parent_id"] for node in found["data"]] == [
            None,
            *(grown[name] for name in ("root", "a", "root", "b", "b")),
        ]
        assert [node["subtree"]["nodes"] for node in found["data"]] == [6, 2, 1, 3, 1, 1]
        assert [node["subtree"]["tips"] for node in found["data"]] == [3, 1, 1, 2, 1, 1]
        each = found["data"][0]["usage"]["total_tokens"]
        assert found["data"][0]["subtree"]["total_tokens"] == found["total"]["total_tokens"] == 6 * each
        first = found["data"][0]
        assert (first["answer"], first["status"], first["model"]) == (
            "Answer to root",
            "completed",
            "gpt-5.4-2026-03-05",
        )
        assert first["latency_ms"] > 0
        assert (found["title"], found["has_more"]) == ("root", False)

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("depth=0", ["root"]),
            ("depth=1", ["root", "a", "b"]),
            ("root={b}", ["b", "ba", "bb"]),
            ("root={a}&depth=0", ["a"]),
            ("root={bb}", ["bb"]),
            ("limit=2", ["root", "a"]),
            ("limit=2&after={a}", ["aa", "b"]),
            ("limit=5&after={b}", ["ba", "bb"]),
            ("root={b}&after={ba}", ["bb"]),
        ],
    )
    def test_parts_and_pages(self, stage: Stage, grown: dict[str, str], query: str, expected: list[str]) -> None:
        found = tree(stage.alice, grown["home"], query.format(**grown))
        assert said(found) == expected
        # However little is shown of it, the figures are those of all that hangs below.
        assert (
            found["data"][0]["subtree"]["nodes"] == {"root": 6, "a": 2, "aa": 1, "b": 3, "ba": 1, "bb": 1}[expected[0]]
        )
        assert found["has_more"] == ("limit=2" in query)

    def test_what_was_deleted_holds_its_place_and_says_nothing(self, stage: Stage, grown: dict[str, str]) -> None:
        assert stage.alice.delete(f"/v1/responses/{grown['b']}").status_code == 200
        found = {node["id"]: node for node in tree(stage.alice, grown["home"])["data"]}
        gone = found[grown["b"]]
        assert (gone["deleted"], gone["question"], gone["answer"]) == (True, None, None)
        assert found[grown["bb"]]["question"] == "bb"
        assert "root" in stage.alice.get(f"/v1/responses/{grown['bb']}/thread").text

    def test_tips_are_those_that_nothing_continues(self, stage: Stage, grown: dict[str, str]) -> None:
        path = f"/v1/conversations/{grown['home']}/tips"
        assert said(got(stage.alice, path)) == ["bb", "ba", "aa"]
        first = got(stage.alice, f"{path}?limit=2")
        assert (said(first), first["has_more"]) == (["bb", "ba"], True)
        assert said(got(stage.alice, f"{path}?limit=2&after={first['last_id']}")) == ["aa"]

    def test_a_request_that_failed_stands_in_the_tree_with_its_reason(
        self, stage: Stage, grown: dict[str, str]
    ) -> None:
        stage.upstream.will(answer(message("No."), status="failed", error={"code": "server_error", "message": "No."}))
        stage.alice.post(
            "/v1/responses", json={"model": "gpt-5.4", "input": "bad", "previous_response_id": grown["aa"]}
        )
        node = next(node for node in tree(stage.alice, grown["home"])["data"] if node["question"] == "bad")
        assert (node["status"], node["error"]) == ("failed", "server_error")

    def test_of_another_project_nothing_is_seen(self, stage: Stage, grown: dict[str, str]) -> None:
        refused(stage.carol.get(f"/v1/conversations/{grown['home']}/tree"), 404)
        refused(stage.carol.get(f"/v1/conversations/{grown['home']}/tips"), 404)
        for what in ("thread", "children", "context"):
            refused(stage.carol.get(f"/v1/responses/{grown['a']}/{what}"), 404)

    @pytest.mark.parametrize(
        ("query", "param"),
        [
            (f"root={UNKNOWN}", "root"),
            ("depth=-1", "depth"),
            ("depth=deep", "depth"),
            ("limit=0", "limit"),
            ("limit=10001", "limit"),
            (f"after={UNKNOWN}", "after"),
        ],
    )
    def test_nonsense_is_named(self, stage: Stage, grown: dict[str, str], query: str, param: str) -> None:
        refused(stage.alice.get(f"/v1/conversations/{grown['home']}/tree?{query}"), 400, param=param)

    def test_a_root_in_another_conversation_is_none(self, stage: Stage, grown: dict[str, str]) -> None:
        other = stage.alice.ask("Elsewhere")["id"]
        path = f"/v1/conversations/{grown['home']}/tree"
        refused(stage.alice.get(f"{path}?root={other}"), 400, param="root")
        refused(stage.alice.get(f"{path}?root=no-such-branch"), 404)


class TestThread:
    def test_from_the_root_to_here_with_every_word(self, stage: Stage, grown: dict[str, str]) -> None:
        found = got(stage.alice, f"/v1/responses/{grown['bb']}/thread")
        assert [node["id"] for node in found["data"]] == [grown[name] for name in ("root", "b", "bb")]
        words = [
            (node["input"][0]["content"][0]["text"], node["output"][0]["content"][0]["text"]) for node in found["data"]
        ]
        assert words == [(name, f"Answer to {name}\nat length") for name in ("root", "b", "bb")]

    def test_without_items_and_in_pages(self, stage: Stage, grown: dict[str, str]) -> None:
        path = f"/v1/responses/{grown['bb']}/thread?items=false&limit=2"
        first = got(stage.alice, path)
        assert (said(first), first["has_more"]) == (["root", "b"], True)
        assert "input" not in first["data"][0]
        rest = got(stage.alice, f"{path}&after={first['last_id']}")
        assert (said(rest), rest["has_more"]) == (["bb"], False)

    def test_a_cursor_beside_the_thread_is_refused(self, stage: Stage, grown: dict[str, str]) -> None:
        path = f"/v1/responses/{grown['bb']}/thread?after="
        refused(stage.alice.get(path + grown["a"]), 400, param="after")
        refused(stage.alice.get(path + UNKNOWN), 400, param="after")

    def test_children_are_listed_oldest_first(self, stage: Stage, grown: dict[str, str]) -> None:
        assert said(got(stage.alice, f"/v1/responses/{grown['root']}/children")) == ["a", "b"]
        first = got(stage.alice, f"/v1/responses/{grown['b']}/children?limit=1")
        assert (said(first), first["has_more"]) == (["ba"], True)
        rest = got(stage.alice, f"/v1/responses/{grown['b']}/children?limit=1&after={first['last_id']}")
        assert (said(rest), rest["has_more"]) == (["bb"], False)
        assert got(stage.alice, f"/v1/responses/{grown['bb']}/children")["data"] == []


def by_hand(stage: Stage, child: str, parent: str) -> None:
    """Let an exchange name another parent."""
    mark = "?" if stage.deps.database.is_sqlite else "%s"
    given = (bytes.fromhex(parent[5:]), bytes.fromhex(child[5:]))
    with stage.deps.database.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE exchanges SET parent_id = {mark} WHERE id = {mark}", given)


class TestDamage:
    """What somebody does to the table by hand: said, and nothing is half-written."""

    @pytest.mark.parametrize("above", ["root", "b", "bb"])
    def test_a_cycle_is_no_endless_way(self, stage: Stage, grown: dict[str, str], above: str) -> None:
        by_hand(stage, grown["root"], grown[above])
        before = len(stage.upstream.questions)
        for name in ("root", "a", "aa"):
            refused(stage.alice.get(f"/v1/responses/{grown[name]}/thread"), 409)
            refused(stage.alice.post(f"/v1/responses/{grown[name]}/replay", json={}), 409)
        body = {"model": "gpt-5.4", "input": "On", "previous_response_id": grown["aa"]}
        refused(stage.alice.post("/v1/responses", json=body), 409)
        assert len(stage.upstream.questions) == before
        for path in ("context", "children", "input_items"):
            assert stage.alice.get(f"/v1/responses/{grown['bb']}/{path}").status_code in (200, 409)
        assert stage.alice.get(f"/v1/conversations/{grown['home']}/tree").status_code == 200
        assert stage.alice.get(f"/v1/diff?left={grown['aa']}&right={grown['bb']}").status_code in (200, 409)

    def test_nor_is_a_lane_that_hangs_on_itself(self, stage: Stage, grown: dict[str, str]) -> None:
        by_hand(stage, grown["b"], grown["bb"])
        refused(stage.alice.get(f"/v1/responses/{grown['ba']}/thread"), 409)
        assert stage.alice.get(f"/v1/conversations/{grown['home']}/tree").status_code == 200


def shown_last(stage: Stage) -> bytes:
    """The bytes of `input` as the provider got them."""
    body = stage.upstream.questions[-1].raw
    return bytes(body[body.index(b'"input":') + len(b'"input":') : body.rindex(b"}")])


class TestContext:
    def test_the_bytes_are_those_that_were_sent_and_a_digest_proves_it(self, stage: Stage) -> None:
        stage.upstream.will(answer(reasoning("Hm"), function_call("call_1")), answer(message("Done")))
        first = stage.alice.ask('Ünïcode "quoted"')["id"]
        output = {"type": "function_call_output", "call_id": "call_1", "output": "3"}
        second = stage.alice.ask([output], after=first)["id"]
        sent = shown_last(stage)
        found = got(stage.alice, f"/v1/responses/{second}/context")
        assert stage.alice.get(f"/v1/responses/{second}/context?format=input").data == sent
        assert (found["verified"], found["bytes"], found["input"]) == (True, len(sent), json.loads(sent))
        assert found["sha256"] == hashlib.sha256(sent).hexdigest()
        assert [(each["exchange_id"], each["side"], each["type"]) for each in found["items"]] == [
            (first, "input", "message"),
            (first, "output", "reasoning"),
            (first, "output", "function_call"),
            (second, "input", "function_call_output"),
        ]
        assert all(each["left_out"] is None and each["estimated_tokens"] > 0 for each in found["items"])
        assert found["estimated_tokens"] == sum(each["estimated_tokens"] for each in found["items"])

    def test_what_was_taken_out_of_a_conversation_is_said(self, stage: Stage) -> None:
        made = stage.alice.post("/v1/conversations", json={"items": [{"role": "user", "content": "Secret"}]}).json
        listed = got(stage.alice, f"/v1/conversations/{made['id']}/items")
        stage.alice.delete(f"/v1/conversations/{made['id']}/items/{listed['data'][0]['id']}")
        asked = stage.alice.ask("And now?", conversation=made["id"])["id"]
        found = got(stage.alice, f"/v1/responses/{asked}/context")
        assert [each["left_out"] for each in found["items"]] == ["removed", None]
        assert found["verified"] is True

    def test_a_changed_body_is_found_out(self, stage: Stage) -> None:
        asked = stage.alice.ask("The truth")["id"]
        with stage.deps.database.transaction() as connection:
            connection.exec_driver_sql(
                "UPDATE items SET body = "
                + (
                    'CAST(\'{"role":"user","content":"A lie"}\' AS BLOB)'
                    if stage.deps.database.is_sqlite
                    else 'convert_to(\'{"role":"user","content":"A lie"}\', \'UTF8\')'
                )
                + " WHERE NOT output AND lane = "
                + (f"X'{asked[5:]}'" if stage.deps.database.is_sqlite else f"decode('{asked[5:]}', 'hex')")
            )
        assert got(stage.alice, f"/v1/responses/{asked}/context")["verified"] is False

    def test_what_another_upstream_sealed_is_said(self, stage: Stage) -> None:
        stage.upstream.will(answer(reasoning("Hm"), message("One")))
        asked = stage.alice.ask("And?", after=stage.alice.ask("Well?")["id"])["id"]
        with stage.deps.database.transaction() as connection:
            connection.exec_driver_sql("UPDATE items SET sealed_by = 'elsewhere' WHERE type = 'reasoning'")
        found = got(stage.alice, f"/v1/responses/{asked}/context")
        assert [each["left_out"] for each in found["items"]] == [None, "sealed", None, None]

    def test_five_statements_whatever_the_depth(self, stage: Stage, grown: dict[str, str]) -> None:
        project = keys.Authenticator(stage.deps).principal(stage.alice.key).project_id
        for name, depth in (("a", 1), ("bb", 2)):
            with counted() as statements:
                shown = contexts.of(stage.deps, project, grown[name])
            assert (statements, len(shown.parts)) == ([5], 2 * depth + 1)

    def test_a_history_that_was_sent_whole_is_shown_as_it_was_sent(self, stage: Stage) -> None:
        stage.upstream.will(answer(message("One")), answer(message("Two")))
        history = [{"role": "user", "content": "First"}]
        first = stage.alice.ask(history)
        history += [{"role": "assistant", "content": "One"}, {"role": "user", "content": "Second"}]
        second = stage.alice.ask(history)["id"]
        found = got(stage.alice, f"/v1/responses/{second}/context")
        assert found["input"] == json.loads(shown_last(stage))
        assert found["verified"] is not False
        assert home(stage.alice, second) == home(stage.alice, first["id"])


class TestConversations:
    def test_listed_with_titles(self, stage: Stage, grown: dict[str, str]) -> None:
        named = stage.alice.post(
            "/v1/conversations", json={"items": [{"role": "user", "content": "Hm"}], "metadata": {"team": "blue"}}
        ).json["id"]
        stage.alice.post(f"/v1/conversations/{named}", json={"title": "Ours"})
        found = got(stage.alice, "/v1/conversations?limit=2")
        assert [(each["id"], each["title"]) for each in found["data"]] == [(named, "Ours"), (grown["home"], "root")]
        assert found["data"][0]["metadata"] == {"team": "blue"}
        assert found["has_more"] is True
        next_page = got(stage.alice, f"/v1/conversations?limit=1&after={named}")
        assert [each["id"] for each in next_page["data"]] == [grown["home"]]
        before = got(stage.alice, f"/v1/conversations?limit=1&before={grown['home']}")
        assert [each["id"] for each in before["data"]] == [named]
        stage.alice.post(f"/v1/conversations/{named}", json={"title": None})
        assert got(stage.alice, "/v1/conversations?limit=1")["data"][0]["title"] == "Hm"

    def test_filtered(self, stage: Stage) -> None:
        made = [
            stage.alice.post(
                "/v1/conversations",
                json={"items": [{"role": "user", "content": f"50% of {name}"}], "metadata": {"a b": name}},
            ).json["id"]
            for name in ("x", "y")
        ]

        def ids(query: str) -> list[str]:
            return [each["id"] for each in got(stage.alice, f"/v1/conversations?order=asc&{query}")["data"]]

        assert ids("metadata.a%20b=y") == made[1:]
        assert ids("metadata.a%20b=z") == []
        assert ids("title=0%25%20OF%20X") == made[:1]
        assert set(made) <= set(ids("since=1&limit=1000"))
        assert ids("until=1") == []

    def test_deleted_and_foreign_ones_are_not_listed(self, stage: Stage, grown: dict[str, str]) -> None:
        assert grown["home"] not in stage.carol.get("/v1/conversations?limit=1000").text
        stage.alice.delete(f"/v1/conversations/{grown['home']}")
        assert grown["home"] not in stage.alice.get("/v1/conversations?limit=1000").text
        refused(stage.alice.get(f"/v1/conversations/{grown['home']}/tree"), 404)

    @pytest.mark.parametrize(
        ("query", "param"),
        [("limit=0", "limit"), ("since=soon", "since"), ("until=1099511627776", "until"), ("after=conv_0", "after")],
    )
    def test_nonsense_is_named(self, stage: Stage, query: str, param: str) -> None:
        refused(stage.alice.get(f"/v1/conversations?{query}"), 400, param=param)
