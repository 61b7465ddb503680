"""The door of comparisons: two threads from their last common ancestor on, for programs and for people."""

import re
from typing import Any

import pytest
from werkzeug.test import TestResponse

from convstore import ids
from convstore.domain.exchange import Exchange
from convstore.services import comparing
from convstore.services.keys import Authenticator
from convstore.storage import branches, exchanges, tables
from convstore.storage.branches import Branch
from convstore.telemetry import metrics
from tests.api.conftest import Stage
from tests.conftest import ENGINES, Client
from tests.local_upstream import answer, function_call

pytestmark = pytest.mark.parametrize("stage", ENGINES, indirect=True)


@pytest.fixture(autouse=True)
def untold(stage: Stage) -> None:
    stage.upstream.forget()


def project(client: Client) -> str:
    return Authenticator(client.app.extensions["convstore"].deps).principal(client.key).project_id


def diff(client: Client, left: str, right: str, **query: str) -> TestResponse:
    return client.get("/v1/diff", query_string={"left": left, "right": right, **query})


def compared(client: Client, left: str, right: str) -> dict[str, Any]:
    answered = diff(client, left, right)
    assert answered.status_code == 200, answered.text
    return dict(answered.json)


def chain(client: Client, *questions: str, after: str | None = None, **members: Any) -> list[str]:
    found: list[str] = []
    for question in questions:
        found.append(client.ask(question, after=found[-1] if found else after, **members)["id"])
    return found


def branch(stage: Stage, name: str, tip_id: str) -> None:
    with stage.deps.database.writing(project(stage.alice)) as scope:
        tip = exchanges.get(scope, tip_id)
        assert tip is not None
        branches.add(scope, Branch(name, tip.conversation_id, tip_id, stage.deps.clock(), stage.deps.clock()))


def ids_of(found: dict[str, Any]) -> list[tuple[str | None, str | None]]:
    return [(pair["left"] and pair["left"]["id"], pair["right"] and pair["right"]["id"]) for pair in found["turns"]]


class TestJson:
    def test_two_branches_of_one_thread(self, stage: Stage) -> None:
        stage.upstream.will(answer("Hi."), answer("The sky is blue."), answer("The sky is green."), answer("Bye."))
        (root,) = chain(stage.alice, "Hello?")
        (left,) = chain(stage.alice, "What colour?", after=root, temperature=0.2)
        right = chain(stage.alice, "What colour?", "Thanks.", after=root, temperature=0.9)
        found = compared(stage.bob, left, right[-1])
        assert (found["object"], found["ancestor"], found["same"]) == ("comparison", root, False)
        assert ids_of(found) == [(left, right[0]), (None, right[1])]
        pair = found["turns"][0]
        assert (pair["number"], pair["status"], pair["paired_by"]) == (1, "changed", "order")
        assert pair["settings"] == {"temperature": {"left": 0.2, "right": 0.9}}
        (asked,), (said,) = pair["input"], pair["output"]
        assert (asked["status"], asked["text"]["segments"]) == ("same", [{"op": "equal", "text": "What colour?"}])
        assert said["text"] == {
            "granularity": "words",
            "segments": [
                {"op": "equal", "text": "The sky is "},
                {"op": "delete", "text": "blue"},
                {"op": "insert", "text": "green"},
                {"op": "equal", "text": "."},
            ],
        }
        shown = stage.alice.get(f"/v1/responses/{left}").json["output"][0]
        assert (said["left"]["id"], said["left"]["role"]) == (shown["id"], "assistant")
        assert pair["left"]["model"] == "gpt-5.4-2026-03-05"
        assert (pair["left"]["total_tokens"], pair["delta"]["total_tokens"]) == (18, 0)
        assert (pair["left"]["cost"], pair["left"]["cost_reason"]) == (None, "no_price")
        assert [found["totals"][side]["turns"] for side in ("left", "right", "delta")] == [1, 2, 1]
        assert [found["totals"][side]["total_tokens"] for side in ("left", "right", "delta")] == [18, 36, 18]

    def test_calls_by_their_arguments(self, stage: Stage) -> None:
        (root,) = chain(stage.alice, "Hello?")
        stage.upstream.will(
            answer(function_call("call_a", arguments='{"x":1,"y":2}')),
            answer(function_call("call_b", arguments='{"z": 3, "x": 10}')),
        )
        left, right = (chain(stage.alice, "Add.", after=root)[-1] for _ in range(2))
        (call,) = compared(stage.alice, left, right)["turns"][0]["output"]
        assert (call["status"], call["left"]["name"]) == ("changed", "add")
        assert call["arguments"] == {
            "added": {"z": 3},
            "removed": {"y": 2},
            "changed": {"x": {"left": 1, "right": 10}},
        }

    def test_the_same_on_both_sides(self, stage: Stage) -> None:
        own = chain(stage.alice, "Hello?", "And?")[-1]
        found = compared(stage.alice, own, own)
        assert (found["ancestor"], found["same"], found["turns"]) == (own, True, [])
        assert found["totals"]["delta"]["total_tokens"] == 0

    def test_one_that_goes_on_from_the_other(self, stage: Stage) -> None:
        thread = chain(stage.alice, "1", "2", "3")
        found = compared(stage.alice, thread[0], thread[2])
        assert (found["ancestor"], ids_of(found)) == (thread[0], [(None, thread[1]), (None, thread[2])])
        assert ids_of(compared(stage.alice, thread[2], thread[0])) == [(thread[1], None), (thread[2], None)]

    def test_two_conversations_are_compared_whole(self, stage: Stage) -> None:
        left, right = chain(stage.alice, "Hello?", "And?"), chain(stage.alice, "Hello?", "So?")
        found = compared(stage.alice, left[-1], right[-1])
        assert (found["ancestor"], ids_of(found)) == (None, list(zip(left, right, strict=True)))
        assert [pair["input"][0]["status"] for pair in found["turns"]] == ["same", "changed"]
        assert found["left"]["conversation_id"] != found["right"]["conversation_id"]

    def test_branches_go_by_their_names(self, stage: Stage) -> None:
        (root,) = chain(stage.alice, "Hello?")
        left, right = chain(stage.alice, "1", after=root), chain(stage.alice, "2", after=root)
        branch(stage, "the left / 左", left[-1])
        branch(stage, "the right", right[-1])
        found = compared(stage.alice, "the left / 左", "the right")
        assert (found["left"]["id"], found["right"]["id"], found["ancestor"]) == (left[-1], right[-1], root)
        assert diff(stage.carol, "the left / 左", "the right").status_code == 404

    def test_a_turn_is_compared_with_what_it_was_asked_again_from(self, stage: Stage) -> None:
        left = chain(stage.alice, "1", "2", "3")
        (right,) = chain(stage.alice, "2, again", after=left[0])
        with stage.deps.database.writing(project(stage.alice)) as scope:
            table = tables.exchanges
            changed = table.update().where(table.c.id == right).values(origin="replay", origin_id=left[2])
            scope.connection.execute(changed)
        found = compared(stage.alice, left[-1], right)
        assert ids_of(found) == [(left[1], None), (left[2], right)]
        pair = found["turns"][1]
        assert (pair["paired_by"], pair["right"]["origin"], pair["right"]["origin_id"]) == ("origin", "replay", left[2])

    def test_what_was_taken_out_of_a_conversation_is_not_there(self, stage: Stage) -> None:
        made = stage.alice.post("/v1/conversations", json={"items": [{"role": "user", "content": "Begin"}]}).json["id"]
        root = stage.alice.ask("Hello?", conversation=made)["id"]
        (left,) = chain(stage.alice, "Left", after=root)
        added = {"items": [{"role": "user", "content": word} for word in ("stays", "goes")]}
        listed = stage.alice.post(f"/v1/conversations/{made}/items", json=added).json
        stage.alice.delete(f"/v1/conversations/{made}/items/{listed['last_id']}")
        right = stage.alice.ask("Right", conversation=made)["id"]
        found = compared(stage.alice, left, right)
        assert (found["ancestor"], found["totals"]["right"]["turns"]) == (root, 1)
        texts = [item["text"]["segments"] for pair in found["turns"] for item in pair["input"] if item["right"]]
        assert "stays" in str(texts)
        assert "goes" not in str(found)
        assert "removal" not in str(found)

    def test_an_answer_that_failed_is_compared_too(self, stage: Stage) -> None:
        (root,) = chain(stage.alice, "Hello?")
        (left,) = chain(stage.alice, "1", after=root)
        failed = {"code": "server_error", "message": "No."}
        stage.upstream.will(answer(status="failed", error=failed, usage=None))
        right = stage.alice.stream("1", after=root)[-1]["response"]["id"]
        (pair,) = compared(stage.alice, left, right)["turns"]
        assert (pair["status"], pair["right"]["status"], pair["right"]["error"]["code"]) == (
            "changed",
            "failed",
            "server_error",
        )
        assert (pair["right"]["total_tokens"], pair["delta"]["total_tokens"]) == (None, None)

    @pytest.mark.parametrize("turns", [2, 12])
    def test_few_statements_whatever_the_depth(self, stage: Stage, turns: int) -> None:
        trunk = chain(stage.alice, *"?" * turns)
        left, right = (chain(stage.alice, *"!" * turns, after=trunk[-1])[-1] for _ in range(2))
        own = project(stage.alice)
        before = metrics.SQL_STATEMENTS._value.get()
        found = comparing.compare(stage.deps, own, left, right)
        assert metrics.SQL_STATEMENTS._value.get() - before <= 11
        assert len(found.turns) == turns

    def test_half_a_surrogate_pair_stops_no_form(self, stage: Stage) -> None:
        (root,) = chain(stage.alice, "Hello?")
        stage.upstream.will(answer("\ud800 x"), answer("y"))
        left, right = (chain(stage.alice, "?", after=root)[-1] for _ in range(2))
        for form in ("json", "text", "html"):
            assert diff(stage.alice, left, right, format=form).status_code == 200


class TestText:
    def test_it_is_plain(self, stage: Stage) -> None:
        (root,) = chain(stage.alice, "Hello?")
        stage.upstream.will(answer("The sky is blue."), answer("The sky is \x1b[31mred."))
        left, right = (chain(stage.alice, "Colour?", after=root)[-1] for _ in range(2))
        answered = diff(stage.alice, left, right, format="text")
        assert answered.content_type == "text/plain; charset=utf-8"
        assert answered.text.startswith(f"--- {left} (conv_")
        assert "    | The sky is [-blue-]{+␛[31mred+}.\n" in answered.text
        assert "\x1b" not in answered.text


class TestHtml:
    def test_it_is_a_page_that_can_do_nothing(self, stage: Stage) -> None:
        (root,) = chain(stage.alice, "Hello?")
        stage.upstream.will(answer("</pre><script>alert(1)</script>"), answer("Hm."))
        left, right = (chain(stage.alice, "<b>?", after=root)[-1] for _ in range(2))
        answered = diff(stage.alice, left, right, format="html")
        assert answered.content_type == "text/html; charset=utf-8"
        policy = answered.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert answered.headers["X-Content-Type-Options"] == "nosniff"
        assert not re.search(r"<(script|b|img|link|iframe)\b|https?:|src=|url\(|@import", answered.text)


class TestWrong:
    @pytest.mark.parametrize(
        ("query", "param", "code"),
        [
            ("", "left", "missing_required_parameter"),
            ("?left=x", "right", "missing_required_parameter"),
            ("?right=x", "left", "missing_required_parameter"),
            ("?left=&right=x", "left", "string_below_min_length"),
            ("?left=x&right=%00", "right", "invalid_value"),
            (f"?left=x&right={'r' * 256}", "right", "string_above_max_length"),
            ("?left=x&right=y&format=pdf", "format", "invalid_value"),
        ],
    )
    def test_a_wrong_parameter_is_named(self, stage: Stage, query: str, param: str, code: str) -> None:
        answered = stage.alice.get(f"/v1/diff{query}")
        assert (answered.status_code, answered.json["error"]["param"]) == (400, param)
        assert answered.json["error"]["code"] == code

    @pytest.mark.parametrize("unknown", ["resp_" + "0" * 32, "resp_", "no branch", "%", "\ud83d\ude00"])
    def test_one_that_is_not_there(self, stage: Stage, unknown: str) -> None:
        unknown = unknown.encode("utf-16", "surrogatepass").decode("utf-16")
        (own,) = chain(stage.alice, "Hello?")
        for param, sides in (("left", (unknown, own)), ("right", (own, unknown))):
            answered = diff(stage.alice, *sides)
            assert (answered.status_code, answered.json["error"]["param"]) == (404, param)
            assert unknown in answered.json["error"]["message"]

    def test_nor_is_another_projects(self, stage: Stage) -> None:
        (own,), (theirs,) = chain(stage.alice, "Hello?"), chain(stage.carol, "Hello?")
        for param, sides in (("left", (theirs, own)), ("right", (own, theirs))):
            answered = diff(stage.alice, *sides)
            assert (answered.status_code, answered.json["error"]["param"]) == (404, param)

    def test_nor_one_that_is_deleted(self, stage: Stage) -> None:
        thread = chain(stage.alice, "1", "2", "3")
        other = chain(stage.alice, "2", after=thread[0])[-1]
        stage.alice.delete(f"/v1/responses/{thread[1]}")
        assert diff(stage.alice, thread[1], thread[2]).status_code == 404
        # What continues it keeps its history.
        assert ids_of(compared(stage.alice, thread[2], other)) == [(thread[1], other), (thread[2], None)]


def test_an_exchange_has_what_is_compared(stage: Stage) -> None:
    """The domain's exchange is read with its origin and its first event."""
    own = stage.alice.stream("Hello?")[-1]["response"]["id"]
    with stage.deps.database.reading(project(stage.alice)) as scope:
        found = exchanges.get(scope, own)
    assert isinstance(found, Exchange)
    assert found.first_event_at is not None
    assert (found.origin, found.origin_id, ids.pack(ids.EXCHANGE, own) is not None) == ("create", None, True)
