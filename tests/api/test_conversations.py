"""`/v1/conversations`, through the door."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import TestResponse

from tests.api.conftest import Stage
from tests.api.test_errors import checked, final
from tests.conftest import ENGINES, Client
from tests.contract import openai
from tests.local_upstream import answer, blocks_of, error, function_call, message, response, stream, stream_of

pytestmark = pytest.mark.parametrize("stage", ENGINES, indirect=True)

NOWHERE = f"conv_{'0' * 32}"
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "3"}
Item = dict[str, Any]


def said(text: str, role: str = "user", **members: Any) -> Item:
    return {"type": "message", "role": role, "content": text, **members}


def begun(client: Client, *items: Item | str, **members: Any) -> str:
    """A new conversation that holds these items."""
    given = [said(each) if isinstance(each, str) else each for each in items]
    made = client.post("/v1/conversations", json={"items": given, **members})
    assert made.status_code == 200, made.text
    return str(made.json["id"])


def adding(client: Client, conversation: str, *items: Any) -> TestResponse:
    given = [said(each) if isinstance(each, str) else each for each in items]
    return client.post(f"/v1/conversations/{conversation}/items", json={"items": given})


def added(client: Client, conversation: str, *items: Item | str) -> list[str]:
    """The ids of items that were just added."""
    answered = adding(client, conversation, *items)
    assert answered.status_code == 200, answered.text
    return [item["id"] for item in answered.json["data"]]


def page(client: Client, conversation: str, query: str = "") -> dict[str, Any]:
    answered = client.get(f"/v1/conversations/{conversation}/items?{query}")
    assert answered.status_code == 200, answered.text
    return dict(answered.json)


def everything(client: Client, conversation: str) -> list[Item]:
    return list(page(client, conversation, "order=asc&limit=100")["data"])


def held(client: Client, conversation: str) -> list[str]:
    """What a conversation holds, in words: texts, and the types of what is no text."""
    return [_word(item) for item in everything(client, conversation)]


def shown(stage: Stage) -> list[str]:
    """What the model was shown last, in words."""
    return [_word(item) for item in stage.upstream.questions[-1].body["input"]]


def _word(item: Item) -> str:
    content = item.get("content")
    return str(content if isinstance(content, str) else content[0]["text"] if content else item["type"])


def rows(stage: Stage) -> list[int]:
    """How much the store holds."""
    tables = ("conversations", "exchanges", "items", "fingerprints", "running")
    with stage.deps.database.connection() as connection:
        return [connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one() for table in tables]


@contextmanager
def answering(stage: Stage, conversation: str, text: str = "Slow.") -> Iterator[None]:
    """While this runs, a streamed response of alice's is being written; it is complete at the end."""
    go = threading.Event()
    ready = threading.Event()
    ready.set()
    stage.upstream.will(stream(stream_of(response(message(text))), gates=[*([ready] * 4), go]))
    streamed = stage.alice.create("Slow?", stream=True, conversation=conversation)
    assert streamed.status_code == 200
    try:
        yield
    finally:
        go.set()
        events = list(blocks_of(streamed.data))
    assert events[-1]["type"] == "response.completed"


class TestCreate:
    @pytest.mark.parametrize(
        "body", [None, b"", b"{}", b'{"items":[]}', b'{"items":null,"metadata":null}', b'{"metadata":{}}', b'{"new":1}']
    )
    def test_nothing_need_be_said(self, stage: Stage, body: bytes | None) -> None:
        made = stage.alice.post("/v1/conversations", data=body)
        assert made.status_code == 200
        assert made.json == {
            "id": made.json["id"],
            "object": "conversation",
            "created_at": made.json["created_at"],
            "metadata": {},
        }
        assert made.json["id"].startswith("conv_")
        assert page(stage.alice, made.json["id"]) == {
            "object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False,
        }  # fmt: skip

    def test_items_and_metadata_may_be(self, stage: Stage) -> None:
        metadata = {"z": "1", "a": "é"}
        made = stage.alice.post("/v1/conversations", json={"items": [said("1"), said("2")], "metadata": metadata})
        assert set(made.json) == {"id", "object", "created_at", "metadata"}
        assert list(made.json["metadata"].items()) == list(metadata.items())
        assert held(stage.alice, made.json["id"]) == ["1", "2"]

    def test_the_same_id_twice_makes_none(self, stage: Stage) -> None:
        before = rows(stage)
        answered = stage.alice.post("/v1/conversations", json={"items": [said("1", id="msg_a"), said("2", id="msg_a")]})
        checked(answered, 400, None, "items")
        assert answered.json["error"]["message"].startswith("Duplicate item found with id msg_a.")
        assert rows(stage) == before

    @pytest.mark.parametrize(
        ("members", "code", "param"),
        [
            ({"metadata": 5}, "invalid_type", "metadata"),
            ({"metadata": {"a": 5}}, "invalid_type", "metadata.a"),
            ({"metadata": {f"k{n}": "v" for n in range(17)}}, "object_above_max_properties", "metadata"),
            ({"metadata": {"k" * 65: "v"}}, "property_name_above_max_length", "metadata"),
            ({"metadata": {"k": "v" * 513}}, "string_above_max_length", "metadata.k"),
            ({"items": "Hello?"}, "invalid_type", "items"),
            ({"items": {}}, "invalid_type", "items"),
            ({"items": [said("ok"), 5]}, "invalid_type", "items[1]"),
        ],
    )
    def test_a_wrong_request_is_told_what_is_wrong(
        self, stage: Stage, members: dict[str, Any], code: str, param: str
    ) -> None:
        before = rows(stage)
        answered = stage.alice.post("/v1/conversations", json=members)
        checked(answered, 400, code, param)
        assert final(answered)
        assert rows(stage) == before

    @pytest.mark.parametrize("body", [b"{", b"[]", b"null", b'"x"', b'{"metadata":{"a":"\\u0000"}}'])
    def test_so_is_what_is_no_json_object(self, stage: Stage, body: bytes) -> None:
        for path in ("", f"/{begun(stage.alice)}", f"/{begun(stage.alice)}/items"):
            answered = stage.alice.post(f"/v1/conversations{path}", data=body)
            assert answered.status_code == 400
            assert answered.json["error"]["code"] in ("invalid_json", "invalid_value")


class TestGet:
    def test_it_is_as_it_was_made(self, stage: Stage) -> None:
        made = stage.alice.post("/v1/conversations", json={"metadata": {"a": "b"}}).json
        assert stage.alice.get(f"/v1/conversations/{made['id']}").json == made
        assert stage.bob.get(f"/v1/conversations/{made['id']}").json == made

    @pytest.mark.parametrize("unknown", [NOWHERE, "conv_1", "x", "resp_" + "0" * 32, "conv_%00", "é"])
    def test_an_unknown_one(self, stage: Stage, unknown: str) -> None:
        named = "conv_\0" if unknown == "conv_%00" else unknown
        message = f"Conversation with id '{named}' not found."
        for method, path in (
            ("GET", ""), ("DELETE", ""), ("GET", "/items"), ("GET", "/items/msg_1"), ("DELETE", "/items/msg_1"),
        ):  # fmt: skip
            checked(stage.alice.open(method, f"/v1/conversations/{unknown}{path}"), 404, None, None, message)
        checked(stage.alice.post(f"/v1/conversations/{unknown}", json={"metadata": {}}), 404, None, None, message)
        checked(adding(stage.alice, unknown, "1"), 404, None, None, message)
        checked(adding(stage.alice, unknown), 404, None, None, message)
        checked(stage.alice.create(conversation=named.replace("\0", "")), 404, None, None)

    def test_another_projects_is_unknown(self, stage: Stage) -> None:
        own = begun(stage.alice, said("1", id="msg_own"))
        message = f"Conversation with id '{own}' not found."
        before, asked = rows(stage), len(stage.upstream.questions)
        for method, path in (
            ("GET", ""), ("DELETE", ""), ("GET", "/items"), ("GET", "/items/msg_own"), ("DELETE", "/items/msg_own"),
        ):  # fmt: skip
            checked(stage.carol.open(method, f"/v1/conversations/{own}{path}"), 404, None, None, message)
        checked(stage.carol.post(f"/v1/conversations/{own}", json={"metadata": {"a": "b"}}), 404, None, None, message)
        checked(adding(stage.carol, own, "2"), 404, None, None, message)
        checked(stage.carol.create(conversation=own), 404, None, None, message)
        counting = stage.carol.post("/v1/responses/input_tokens", json={"conversation": own})
        checked(counting, 404, None, None, message)
        assert (rows(stage), len(stage.upstream.questions)) == (before, asked)
        assert held(stage.alice, own) == ["1"]
        assert stage.alice.get(f"/v1/conversations/{own}").json["metadata"] == {}


class TestUpdate:
    def test_metadata_is_replaced(self, stage: Stage) -> None:
        own = begun(stage.alice, "1", metadata={"a": "b", "c": "d"})
        changed = stage.alice.post(f"/v1/conversations/{own}", json={"metadata": {"c": "e"}})
        assert changed.json["metadata"] == {"c": "e"}
        assert stage.alice.get(f"/v1/conversations/{own}").json == changed.json
        assert held(stage.alice, own) == ["1"]

    @pytest.mark.parametrize("nothing", [None, {}])
    def test_nothing_empties_it(self, stage: Stage, nothing: Any) -> None:
        own = begun(stage.alice, metadata={"a": "b"})
        assert stage.alice.post(f"/v1/conversations/{own}", json={"metadata": nothing}).json["metadata"] == {}

    def test_it_must_be_there(self, stage: Stage) -> None:
        own = begun(stage.alice, metadata={"a": "b"})
        for body in ({}, {"name": "x"}):
            answered = stage.alice.post(f"/v1/conversations/{own}", json=body)
            checked(answered, 400, "missing_required_parameter", "metadata", "Missing required parameter: 'metadata'.")
        checked(stage.alice.post(f"/v1/conversations/{own}", json={"metadata": []}), 400, "invalid_type", "metadata")
        assert stage.alice.get(f"/v1/conversations/{own}").json["metadata"] == {"a": "b"}


class TestDelete:
    def test_it_is_found_no_more(self, stage: Stage) -> None:
        own = begun(stage.alice, "1")
        gone = stage.alice.delete(f"/v1/conversations/{own}")
        assert gone.json == {"id": own, "object": "conversation.deleted", "deleted": True}
        message = f"Conversation with id '{own}' not found."
        checked(stage.alice.delete(f"/v1/conversations/{own}"), 404, None, None, message)
        checked(stage.alice.get(f"/v1/conversations/{own}"), 404, None, None, message)
        checked(stage.alice.get(f"/v1/conversations/{own}/items"), 404, None, None, message)
        checked(adding(stage.alice, own, "2"), 404, None, None, message)
        checked(stage.alice.create(conversation=own), 404, None, None, message)

    def test_its_responses_are(self, stage: Stage) -> None:
        own = begun(stage.alice, "1")
        inside = stage.alice.ask("2", conversation=own)
        stage.alice.delete(f"/v1/conversations/{own}")
        assert stage.alice.get(f"/v1/responses/{inside['id']}").json == inside
        stage.alice.ask("3", after=inside["id"])
        assert shown(stage)[:2] == ["1", "2"]


class TestAddItems:
    def test_they_come_back_as_they_are_stored(self, stage: Stage) -> None:
        own = begun(stage.alice, "0")
        image = {"type": "input_image", "image_url": "https://x/y.png", "detail": "auto"}
        items = [
            said("1"),
            {"role": "assistant", "content": "2"},
            {"role": "developer", "content": [{"type": "input_text", "text": "3"}, image]},
            {**function_call(), "id": "fc_mine"},
            OUTPUT,
        ]
        answered = adding(stage.alice, own, *items)
        listed = answered.json
        openai.check("ConversationItemList", listed)
        assert [item["type"] for item in listed["data"]] == ["message"] * 3 + ["function_call", "function_call_output"]
        assert {item["status"] for item in listed["data"]} == {"completed"}
        assert listed["data"][1]["content"][0]["type"] == "output_text"
        assert listed["data"][2]["content"][1] == image
        assert listed["data"][3]["id"] == "fc_mine"
        assert [item["id"].split("_")[0] for item in listed["data"]] == ["msg", "msg", "msg", "fc", "fc"]
        assert (listed["first_id"], listed["last_id"]) == (listed["data"][0]["id"], listed["data"][-1]["id"])
        assert listed["has_more"] is False
        assert everything(stage.alice, own)[1:] == listed["data"]

    def test_what_the_api_does_not_know_is_kept_as_it_came(self, stage: Stage) -> None:
        own = begun(stage.alice)
        new = {"type": "telepathy", "id": "tp_1", "wave": {"z": 1, "a": [12345678901234567890123]}}
        assert adding(stage.alice, own, new).json["data"] == [new]
        assert everything(stage.alice, own) == [new]

    def test_twenty_are_taken_and_no_more(self, stage: Stage) -> None:
        own = begun(stage.alice)
        assert len(added(stage.alice, own, *map(str, range(20)))) == 20
        before = rows(stage)
        message = (
            "Invalid 'items': array too long. Expected an array with maximum length 20, "
            "but got an array with length 21 instead."
        )
        refused = adding(stage.alice, own, *map(str, range(21)))
        checked(refused, 400, "array_above_max_length", "items", message)
        refused = stage.alice.post("/v1/conversations", json={"items": [said("x")] * 21})
        checked(refused, 400, "array_above_max_length", "items", message)
        assert rows(stage) == before

    def test_none_are_taken_too(self, stage: Stage) -> None:
        own = begun(stage.alice, "1")
        assert adding(stage.alice, own).json == {
            "object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False,
        }  # fmt: skip
        assert held(stage.alice, own) == ["1"]

    @pytest.mark.parametrize(
        ("item", "code", "param"),
        [
            ({"type": "item_reference", "id": "msg_1"}, "invalid_value", "items[1].type"),
            ({"id": "msg_1"}, "invalid_value", "items[1].type"),
            ({"type": "compaction_trigger"}, "invalid_value", "items[1].type"),
            ({"type": "convstore.removal", "call_id": "0.0"}, "invalid_value", "items[1].type"),
            ({"type": "convstore."}, "invalid_value", "items[1].type"),
            ({}, "missing_required_parameter", "items[1].type"),
            (None, "invalid_type", "items[1]"),
            ({"role": "king", "content": "x"}, "invalid_value", "items[1].role"),
            ({"role": "user", "content": [{"type": "video"}]}, "invalid_value", "items[1].content[0].type"),
            ({"type": "function_call_output", "output": "3"}, "missing_required_parameter", "items[1].call_id"),
            (said("x", id="x" * 256), "invalid_value", "items[1].id"),
            (said("x", id=5), "invalid_type", "items[1].id"),
        ],
    )
    def test_one_that_cannot_be_kept_keeps_out_the_others(self, stage: Stage, item: Any, code: str, param: str) -> None:
        own = begun(stage.alice, "0")
        before = rows(stage)
        checked(adding(stage.alice, own, "1", item), 400, code, param)
        checked(stage.alice.post("/v1/conversations", json={"items": [said("1"), item]}), 400, code, param)
        assert rows(stage) == before
        assert held(stage.alice, own) == ["0"]

    def test_items_must_be_given(self, stage: Stage) -> None:
        own = begun(stage.alice)
        for body in ({}, {"items": None}):
            answered = stage.alice.post(f"/v1/conversations/{own}/items", json=body)
            checked(answered, 400, "missing_required_parameter", "items", "Missing required parameter: 'items'.")
        checked(stage.alice.post(f"/v1/conversations/{own}/items"), 400, "invalid_json", None)

    def test_an_id_names_one_item(self, stage: Stage) -> None:
        own = begun(stage.alice, said("1", id="msg_mine"))
        (second,) = added(stage.alice, own, "2")
        before = rows(stage)
        for taken in ("msg_mine", second):
            refused = adding(stage.alice, own, "new", said("again", id=taken))
            checked(refused, 400, None, "items")
            assert refused.json["error"]["message"] == (
                f"Duplicate item found with id {taken}. Remove duplicate items from your input and try again."
            )
        checked(adding(stage.alice, own, said("x", id="msg_x"), said("y", id="msg_x")), 400, None, "items")
        assert rows(stage) == before
        # Another conversation may have one of that name.
        assert added(stage.alice, begun(stage.alice), said("1", id="msg_mine")) == ["msg_mine"]

    def test_what_was_added_is_no_response(self, stage: Stage) -> None:
        own = begun(stage.alice, "1")
        (second,) = added(stage.alice, own, "2")
        added(stage.alice, own, "3")
        exchange = f"resp_{second[4:-4]}"
        message = f"Response with id '{exchange}' not found."
        checked(stage.alice.get(f"/v1/responses/{exchange}"), 404, None, None, message)
        checked(stage.alice.get(f"/v1/responses/{exchange}?stream=true"), 404, None, None, message)
        checked(stage.alice.get(f"/v1/responses/{exchange}/input_items"), 404, None, None, message)
        checked(stage.alice.delete(f"/v1/responses/{exchange}"), 404, None, None, message)
        # But a place to go on from.
        forked = stage.alice.ask("beside", after=exchange)
        assert shown(stage) == ["1", "2", "beside"]
        assert forked["previous_response_id"] == exchange
        assert "conversation" not in forked
        assert held(stage.alice, own) == ["1", "2", "3"]


class TestListItems:
    def test_the_newest_first_twenty_a_page(self, stage: Stage) -> None:
        own = begun(stage.alice, *map(str, range(10)))
        added(stage.alice, own, *map(str, range(10, 25)))
        first = page(stage.alice, own)
        assert [_word(item) for item in first["data"]] == [str(n) for n in range(24, 4, -1)]
        assert first["has_more"] is True
        rest = page(stage.alice, own, f"after={first['last_id']}")
        assert [_word(item) for item in rest["data"]] == ["4", "3", "2", "1", "0"]
        assert rest["has_more"] is False

    @pytest.mark.parametrize("order", ["asc", "desc"])
    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
    def test_pages_are_the_whole_list_without_seams(self, stage: Stage, order: str, limit: int) -> None:
        """Items of one batch are of the same instant, and in order all the same."""
        own = begun(stage.alice, "a", "b", "c")
        stage.alice.ask("d", conversation=own)
        added(stage.alice, own, "e", "f")
        whole = [item["id"] for item in everything(stage.alice, own)]
        assert len(whole) == len(set(whole)) == 7
        in_order = whole if order == "asc" else whole[::-1]
        read: list[str] = []
        query = ""
        while True:
            got = page(stage.alice, own, f"order={order}&limit={limit}{query}")
            ids = [item["id"] for item in got["data"]]
            assert (got["first_id"], got["last_id"]) == (ids[0], ids[-1])
            read += ids
            assert got["has_more"] is (len(read) < 7)
            if not got["has_more"]:
                break
            assert len(ids) == limit
            query = f"&after={got['last_id']}"
        assert read == in_order
        assert page(stage.alice, own, f"order={order}&after={in_order[-1]}")["data"] == []
        # And backwards.
        for place, item in enumerate(in_order):
            got = page(stage.alice, own, f"order={order}&limit={limit}&before={item}")
            assert [each["id"] for each in got["data"]] == in_order[max(0, place - limit) : place]
            assert got["has_more"] is (place > limit)

    def test_between_two(self, stage: Stage) -> None:
        own = begun(stage.alice, *"abcdef")
        ids = [item["id"] for item in everything(stage.alice, own)]
        got = page(stage.alice, own, f"order=asc&after={ids[0]}&before={ids[4]}")
        assert ([_word(item) for item in got["data"]], got["has_more"]) == (["b", "c", "d"], False)
        got = page(stage.alice, own, f"order=asc&after={ids[0]}&before={ids[4]}&limit=2")
        assert ([_word(item) for item in got["data"]], got["has_more"]) == (["c", "d"], True)

    @pytest.mark.parametrize(
        ("query", "code", "param"),
        [
            ("limit=0", "integer_below_min_value", "limit"),
            ("limit=101", "integer_above_max_value", "limit"),
            ("limit=x", "invalid_type", "limit"),
            ("order=up", "invalid_value", "order"),
            ("after=msg_x", "invalid_value", "after"),
            ("before=msg_x", "invalid_value", "before"),
            ("after=", "invalid_value", "after"),
            ("include=bogus", "invalid_value", "include[0]"),
            ("include[]=message.input_image.image_url&include[]=bogus", "invalid_value", "include[1]"),
            ("include=message.input_image.image_url,bogus", "invalid_value", "include[1]"),
        ],
    )
    def test_a_wrong_page(self, stage: Stage, query: str, code: str, param: str) -> None:
        own = begun(stage.alice, "1")
        checked(stage.alice.get(f"/v1/conversations/{own}/items?{query}"), 400, code, param)

    def test_what_may_be_included_may_be_asked_for(self, stage: Stage) -> None:
        own = begun(stage.alice, said("1", id="msg_1"))
        for query in (
            "include[]=reasoning.encrypted_content&include[]=message.output_text.logprobs",
            "include=reasoning.encrypted_content",
            "include=reasoning.encrypted_content,message.output_text.logprobs",
            "include[]=",
            "beta=true&unknown=1",
        ):
            assert len(page(stage.alice, own, query)["data"]) == 1
            assert stage.alice.get(f"/v1/conversations/{own}/items/msg_1?{query}").status_code == 200
            adding_ = stage.alice.post(f"/v1/conversations/{own}/items?{query}", json={"items": []})
            assert adding_.status_code == 200
        wrong = "include[]=bogus"
        checked(stage.alice.get(f"/v1/conversations/{own}/items/msg_1?{wrong}"), 400, "invalid_value", "include[0]")
        refused = stage.alice.post(f"/v1/conversations/{own}/items?{wrong}", json={"items": [said("2")]})
        checked(refused, 400, "invalid_value", "include[0]")
        assert held(stage.alice, own) == ["1"]

    def test_the_cursor_of_another_conversation(self, stage: Stage) -> None:
        own, other = begun(stage.alice, "1"), begun(stage.alice, "2")
        theirs = page(stage.alice, other)["first_id"]
        checked(stage.alice.get(f"/v1/conversations/{own}/items?after={theirs}"), 400, "invalid_value", "after")

    def test_a_cursor_lives_longer_than_its_item(self, stage: Stage) -> None:
        """So whoever takes out what a page shows gets at the next one."""
        own = begun(stage.alice, *map(str, range(7)))
        after = ""
        while True:
            got = page(stage.alice, own, f"limit=3{after}")
            for item in got["data"]:
                assert stage.alice.delete(f"/v1/conversations/{own}/items/{item['id']}").status_code == 200
            if not got["has_more"]:
                break
            after = f"&after={got['last_id']}"
        assert held(stage.alice, own) == []


class TestItem:
    def test_it_is_as_it_is_listed(self, stage: Stage) -> None:
        own = begun(stage.alice, said("1", id="msg_mine"), function_call(), OUTPUT)
        stage.alice.ask("3", conversation=own)
        for item in everything(stage.alice, own):
            assert stage.alice.get(f"/v1/conversations/{own}/items/{item['id']}").json == item

    @pytest.mark.parametrize("strange", ["a/b", "a/", "a//b", "é ?#%", "..a", "x" * 255, "msg_" + "0" * 36])
    def test_an_id_of_the_clients_may_be_strange(self, stage: Stage, strange: str) -> None:
        own = begun(stage.alice, said("1", id=strange), "2")
        path = f"/v1/conversations/{own}/items/{quote(strange, safe='')}"
        assert stage.alice.get(path).json["id"] == strange
        assert _word(page(stage.alice, own, f"after={quote(strange, safe='')}&order=asc")["data"][0]) == "2"
        assert stage.alice.delete(path).json["id"] == own
        assert held(stage.alice, own) == ["2"]

    def test_one_that_is_not_there(self, stage: Stage) -> None:
        own, other = begun(stage.alice, said("1", id="msg_mine")), begun(stage.alice, "2")
        theirs = page(stage.alice, other)["first_id"]
        outside = stage.alice.ask("3")["output"][0]["id"]
        for unknown in ("msg_1", theirs, outside, "msg_mine2", f"{page(stage.alice, own)['first_id']}0001"):
            for method in ("GET", "DELETE"):
                answered = stage.alice.open(method, f"/v1/conversations/{own}/items/{unknown}")
                checked(answered, 404, None, None, f"Item with id '{unknown}' not found in conversation.")
        assert held(stage.alice, own) == ["1"]

    def test_one_beside_the_conversation_is_not_in_it(self, stage: Stage) -> None:
        own = begun(stage.alice)
        inside = stage.alice.ask("1", conversation=own)
        stage.alice.ask("2", conversation=own)
        fork = stage.alice.ask("beside", after=inside["id"])
        beside = fork["output"][0]["id"]
        checked(stage.alice.get(f"/v1/conversations/{own}/items/{beside}"), 404, None, None)


class TestRemoveItem:
    def test_the_answer_is_the_conversation(self, stage: Stage) -> None:
        own = begun(stage.alice, "1", "2", "3", metadata={"a": "b"})
        second = everything(stage.alice, own)[1]["id"]
        answered = stage.alice.delete(f"/v1/conversations/{own}/items/{second}")
        openai.check("ConversationResource", answered.json)
        assert answered.json == stage.alice.get(f"/v1/conversations/{own}").json
        assert held(stage.alice, own) == ["1", "3"]
        again = stage.alice.delete(f"/v1/conversations/{own}/items/{second}")
        checked(again, 404, None, None, f"Item with id '{second}' not found in conversation.")
        checked(stage.alice.get(f"/v1/conversations/{own}/items/{second}"), 404, None, None)

    def test_the_model_is_not_shown_it(self, stage: Stage) -> None:
        own = begun(stage.alice, "1", "2")
        first = stage.alice.ask("3", conversation=own)
        answer_id = first["output"][0]["id"]
        for gone in (everything(stage.alice, own)[0]["id"], answer_id):
            stage.alice.delete(f"/v1/conversations/{own}/items/{gone}")
        second = stage.alice.ask("4", conversation=own)
        assert shown(stage) == ["2", "3", "4"]
        listed = stage.alice.get(f"/v1/responses/{second['id']}/input_items?order=asc").json
        assert [_word(item) for item in listed["data"]] == ["2", "3", "4"]
        # What was answered before stays as it was, and so does what goes on from there.
        assert stage.alice.get(f"/v1/responses/{first['id']}").json == first
        stage.alice.ask("beside", after=first["id"])
        assert shown(stage) == ["1", "2", "3", _word(first["output"][0]), "beside"]
        stage.alice.ask("behind", after=second["id"])
        assert shown(stage) == ["2", "3", "4", _word(second["output"][0]), "behind"]

    def test_all_of_it(self, stage: Stage) -> None:
        own = begun(stage.alice, "1", "2")
        for item in everything(stage.alice, own):
            stage.alice.delete(f"/v1/conversations/{own}/items/{item['id']}")
        assert held(stage.alice, own) == []
        added(stage.alice, own, "3")
        stage.alice.ask("4", conversation=own)
        assert shown(stage) == ["3", "4"]

    def test_what_was_taken_out_may_come_back(self, stage: Stage) -> None:
        own = begun(stage.alice, said("1", id="msg_mine"), "2")
        first, second = everything(stage.alice, own)
        for item in (first, second):
            stage.alice.delete(f"/v1/conversations/{own}/items/{item['id']}")
        assert added(stage.alice, own, second, first) == [second["id"], "msg_mine"]
        assert held(stage.alice, own) == ["2", "1"]
        checked(adding(stage.alice, own, second), 400, None, "items")
        stage.alice.delete(f"/v1/conversations/{own}/items/{second['id']}")
        assert held(stage.alice, own) == ["1"]
        stage.alice.ask([second], conversation=own)
        assert shown(stage) == ["1", "2"]


class TestRespond:
    @pytest.mark.parametrize("named", ["plain", "object"])
    @pytest.mark.parametrize("streamed", [False, True])
    def test_question_and_answer_are_added(self, stage: Stage, named: str, streamed: bool) -> None:
        own = begun(stage.alice, "1")
        conversation: Any = own if named == "plain" else {"id": own}
        if streamed:
            events = stage.alice.stream("2", conversation=conversation)
            for event in events:
                openai.check_event(event)
                if "response" in event:
                    assert event["response"]["conversation"] == {"id": own}
                    assert event["response"]["previous_response_id"] is None
            given = events[-1]["response"]
        else:
            given = stage.alice.ask("2", conversation=conversation)
        openai.check("Response", given)
        assert (given["conversation"], given["previous_response_id"]) == ({"id": own}, None)
        assert stage.alice.get(f"/v1/responses/{given['id']}").json == given
        assert shown(stage) == ["1", "2"]
        listed = everything(stage.alice, own)
        assert [_word(item) for item in listed] == ["1", "2", _word(given["output"][0])]
        assert listed[2] == given["output"][0]

    def test_the_next_one_is_shown_it(self, stage: Stage) -> None:
        own = begun(stage.alice)
        stage.upstream.will(answer("One."), answer("Two."))
        stage.alice.ask("1?", conversation=own)
        added(stage.alice, own, "By hand.")
        second = stage.alice.ask("2?", conversation=own)
        stage.alice.ask([], conversation=own)
        assert shown(stage) == ["1?", "One.", "By hand.", "2?", "Two."]
        listed = stage.alice.get(f"/v1/responses/{second['id']}/input_items?order=asc").json["data"]
        assert [_word(item) for item in listed] == ["1?", "One.", "By hand.", "2?"]
        listed = stage.alice.get(f"/v1/responses/{second['id']}/input_items?scope=own").json["data"]
        assert [_word(item) for item in listed] == ["2?"]

    def test_nothing_is_seen_of_it_before_its_end(self, stage: Stage) -> None:
        own = begun(stage.alice, "1")
        with answering(stage, own):
            assert held(stage.alice, own) == ["1"]
        assert held(stage.alice, own) == ["1", "Slow?", "Slow."]

    def test_nobody_else_writes_meanwhile(self, stage: Stage) -> None:
        own = begun(stage.alice, said("1", id="msg_mine"))
        message = "Another process is currently operating on this conversation. Please retry in a few seconds."
        with answering(stage, own):
            asked, before = len(stage.upstream.questions), rows(stage)
            for refused in (
                stage.bob.create("2", conversation=own),
                stage.bob.create("2", conversation=own, stream=True),
                adding(stage.bob, own, "2"),
                stage.bob.delete(f"/v1/conversations/{own}/items/msg_mine"),
            ):
                checked(refused, 400, "conversation_locked", "conversation", message)
                assert not final(refused)
            assert (len(stage.upstream.questions), rows(stage)) == (asked, before)
            # Reading, describing and asking beside it are no writing.
            assert stage.bob.get(f"/v1/conversations/{own}/items/msg_mine").status_code == 200
            assert stage.bob.post(f"/v1/conversations/{own}", json={"metadata": {}}).status_code == 200
            stage.bob.ask("beside", conversation=own, store=False)
            assert shown(stage) == ["1", "beside"]
            stage.bob.ask("elsewhere", conversation=begun(stage.bob))
        stage.bob.ask("2", conversation=own)
        assert held(stage.alice, own)[:-1] == ["1", "Slow?", "Slow.", "2"]

    def test_deleted_meanwhile_it_stays_deleted(self, stage: Stage) -> None:
        own = begun(stage.alice)
        with answering(stage, own):
            assert stage.alice.delete(f"/v1/conversations/{own}").status_code == 200
        checked(stage.alice.get(f"/v1/conversations/{own}"), 404, None, None)

    @pytest.mark.parametrize("streamed", [False, True])
    def test_one_that_fails_adds_nothing(self, stage: Stage, streamed: bool) -> None:
        own = begun(stage.alice, "1")
        failed = response(message("Hm"), status="failed", error={"code": "server_error", "message": "No."})
        cut = stream(stream_of(response(message("Hello"))), cut_after=4)
        for behaviour in (error(400), stream(stream_of(failed)), cut):
            stage.upstream.will(behaviour)
            stage.alice.create("2", conversation=own, stream=streamed).data  # noqa: B018  # to its end
            assert held(stage.alice, own) == ["1"]
        stage.alice.ask("3", conversation=own)
        assert shown(stage) == ["1", "3"]

    def test_one_that_was_cut_short_by_the_model_is_added(self, stage: Stage) -> None:
        own = begun(stage.alice)
        cut = {**message("So f"), "status": "incomplete"}
        stage.upstream.will(answer(cut, status="incomplete", incomplete_details={"reason": "max_output_tokens"}))
        stage.alice.ask("1", conversation=own)
        assert held(stage.alice, own) == ["1", "So f"]

    def test_one_that_is_not_to_be_stored_adds_nothing(self, stage: Stage) -> None:
        own = begun(stage.alice, "1")
        given = stage.alice.ask("2", conversation=own, store=False)
        assert shown(stage) == ["1", "2"]
        assert given["conversation"] == {"id": own}
        assert held(stage.alice, own) == ["1"]
        empty = begun(stage.alice)
        stage.alice.ask("2", conversation=empty, store=False)
        assert held(stage.alice, empty) == []

    def test_a_fork_from_inside_leaves_it_one_line(self, stage: Stage) -> None:
        own = begun(stage.alice)
        first = stage.alice.ask("1", conversation=own)
        fork = stage.alice.ask("beside", after=first["id"])
        assert "conversation" not in fork
        second = stage.alice.ask("2", conversation=own)
        last = stage.alice.ask("beside it too", after=second["id"])
        added(stage.alice, own, "3")
        texts = ["1", _word(first["output"][0]), "2", _word(second["output"][0]), "3"]
        assert held(stage.alice, own) == texts
        stage.alice.ask("4", conversation=own)
        assert shown(stage) == [*texts, "4"]
        stage.alice.ask("further beside", after=last["id"])
        assert shown(stage) == [*texts[:4], "beside it too", _word(last["output"][0]), "further beside"]

    def test_it_is_that_or_a_previous_response(self, stage: Stage) -> None:
        own = begun(stage.alice)
        inside = stage.alice.ask("1", conversation=own)
        asked = len(stage.upstream.questions)
        for refused in (
            stage.alice.create("2", conversation=own, after=inside["id"]),
            stage.alice.post(
                "/v1/responses/input_tokens", json={"conversation": own, "previous_response_id": inside["id"]}
            ),
        ):
            told = checked(refused, 400, "mutually_exclusive_parameters", None)
            assert told["message"].startswith("Mutually exclusive parameters: ''.")
        assert len(stage.upstream.questions) == asked

    @pytest.mark.parametrize("wrong", [5, [], {}, {"id": 5}, {"id": None}, True])
    def test_it_is_named_by_its_id(self, stage: Stage, wrong: Any) -> None:
        checked(stage.alice.create(conversation=wrong), 400, "invalid_type", "conversation")
        counting = stage.alice.post("/v1/responses/input_tokens", json={"conversation": wrong})
        checked(counting, 400, "invalid_type", "conversation")

    def test_what_is_in_it_is_not_sent_again(self, stage: Stage) -> None:
        own = begun(stage.alice, said("1", id="msg_mine"), "2")
        answered = stage.alice.ask("3", conversation=own)["output"][0]
        asked = len(stage.upstream.questions)
        for again in [*everything(stage.alice, own), answered, {"type": "item_reference", "id": "msg_mine"}]:
            refused = stage.alice.create([again], conversation=own)
            told = checked(refused, 400, None, "input")
            assert told["message"].startswith(f"Duplicate item found with id {again['id']}.")
        assert len(stage.upstream.questions) == asked

    def test_deleting_the_response_leaves_its_items(self, stage: Stage) -> None:
        own = begun(stage.alice)
        given = stage.alice.ask("1", conversation=own)
        stage.alice.delete(f"/v1/responses/{given['id']}")
        assert held(stage.alice, own) == ["1", _word(given["output"][0])]
        stage.alice.ask("2", conversation=own)
        assert shown(stage) == ["1", _word(given["output"][0]), "2"]


class TestToolCalls:
    def test_call_and_output_may_come_in_two_batches(self, stage: Stage) -> None:
        own = begun(stage.alice, "1")
        added(stage.alice, own, function_call())
        asked = len(stage.upstream.questions)
        refused = stage.alice.create("2", conversation=own)
        checked(refused, 400, None, "input", "No tool output found for function call call_1.")
        assert len(stage.upstream.questions) == asked
        added(stage.alice, own, "wait", OUTPUT)
        stage.alice.ask("2", conversation=own)
        assert shown(stage) == ["1", "function_call", "wait", "function_call_output", "2"]

    def test_the_output_may_come_with_the_question(self, stage: Stage) -> None:
        own = begun(stage.alice, function_call(), "wait")
        stage.alice.ask([OUTPUT], conversation=own)
        assert shown(stage) == ["function_call", "wait", "function_call_output"]

    def test_a_call_of_the_models_is_answered_by_hand(self, stage: Stage) -> None:
        own = begun(stage.alice)
        stage.upstream.will(answer(function_call()))
        stage.alice.ask("1", conversation=own)
        checked(stage.alice.create("2", conversation=own), 400, None, "input")
        added(stage.alice, own, OUTPUT)
        stage.alice.ask("2", conversation=own)
        assert shown(stage) == ["1", "function_call", "function_call_output", "2"]

    def test_half_a_pair_taken_out_is_missing(self, stage: Stage) -> None:
        own = begun(stage.alice, "1", {**function_call(), "id": "fc_c"}, {**OUTPUT, "id": "fc_o"})
        stage.alice.ask("2", conversation=own)
        stage.alice.delete(f"/v1/conversations/{own}/items/fc_o")
        refused = stage.alice.create("3", conversation=own)
        checked(refused, 400, None, "input", "No tool output found for function call call_1.")
        stage.alice.delete(f"/v1/conversations/{own}/items/fc_c")
        stage.alice.ask("3", conversation=own)
        assert "function_call" not in shown(stage)
        added(stage.alice, own, {**OUTPUT, "id": "fc_o"})
        refused = stage.alice.create("4", conversation=own)
        checked(refused, 400, None, "input", "No tool call found for function call output with call_id call_1.")

    def test_a_fork_from_a_batch_is_held_to_it_too(self, stage: Stage) -> None:
        own = begun(stage.alice, "1", function_call(), "2")
        exchange = f"resp_{everything(stage.alice, own)[0]['id'][4:-4]}"
        refused = stage.alice.create("3", after=exchange)
        checked(refused, 400, None, "input", "No tool output found for function call call_1.")


class TestInputTokens:
    def test_its_items_count(self, stage: Stage) -> None:
        def counted(**members: Any) -> int:
            answered = stage.alice.post("/v1/responses/input_tokens", json=members)
            assert answered.status_code == 200, answered.text
            return int(answered.json["input_tokens"])

        own = begun(stage.alice, "hello world", "hello world")
        alone = counted(input="hello world")
        assert counted(conversation=own, input="hello world") == 3 * alone
        assert counted(conversation={"id": own}) == 2 * alone
        assert counted(conversation=begun(stage.alice), input="hello world") == alone
        item = everything(stage.alice, own)[0]["id"]
        stage.alice.delete(f"/v1/conversations/{own}/items/{item}")
        assert counted(conversation=own) == alone
        assert held(stage.alice, own) == ["hello world"]

    def test_an_unknown_one(self, stage: Stage) -> None:
        answered = stage.alice.post("/v1/responses/input_tokens", json={"conversation": NOWHERE})
        checked(answered, 404, None, None, f"Conversation with id '{NOWHERE}' not found.")
