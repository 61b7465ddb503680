"""`/v1/holds`, and what is kept by them."""

from typing import Any

import pytest

from convstore import ids
from convstore.services import erasures, jobs
from convstore.services.deps import Deps
from convstore.services.kinds import KINDS
from convstore.services.running_job import RunningJob
from convstore.storage import holds, queue
from tests.conftest import Client


def made(client: Client, **members: Any) -> dict[str, Any]:
    answered = client.post("/v1/holds", json={"name": "Case 7", **members})
    assert answered.status_code == 200, answered.text
    return dict(answered.json)


def kept(deps: Deps, project: str, *exchanges: str) -> list[bool]:
    """Of each of these, whether it is held."""
    with deps.database.writing(project, records=False) as scope:
        found = holds.held(scope, exchanges)
    return [own in found for own in exchanges]


@pytest.fixture
def thread(alice: Client) -> list[str]:
    """A root, its two children, and a child of the first: of anybody, u1, u2 and anybody."""
    root = alice.ask("root")["id"]
    one = alice.ask("one", after=root, user="u1", metadata={"case": "7", "team": "red"})["id"]
    two = alice.ask("two", after=root, safety_identifier="s2")["id"]
    return [root, one, two, alice.ask("three", after=one)["id"]]


def conversation_of(client: Client, exchange: str) -> str:
    return str(client.get(f"/v1/responses/{exchange}/thread").json["data"][0]["conversation_id"])


class TestWhatIsKept:
    def test_without_a_hold_nothing_is(self, deps: Deps, acme: str, thread: list[str]) -> None:
        assert not any(kept(deps, acme, *thread))

    @pytest.mark.parametrize(
        "members",
        [
            {"response_id": 2},
            {"conversation_id": 0},
            {"user": "u1"},
            {"safety_identifier": "s2"},
            {"metadata": {"case": "7"}},
            {"metadata": {"team": "red", "case": "7"}},
        ],
    )
    def test_one_keeps_the_conversation_of_what_it_is_for(
        self, deps: Deps, alice: Client, acme: str, thread: list[str], noise: list[str], members: dict[str, Any]
    ) -> None:
        if "response_id" in members:
            members = {"response_id": thread[members["response_id"]]}
        if "conversation_id" in members:
            members = {"conversation_id": conversation_of(alice, thread[0])}
        hold = made(alice, **members)
        assert all(kept(deps, acme, *thread))
        assert not any(kept(deps, acme, *noise))
        alice.post(f"/v1/holds/{hold['id']}/release")
        assert not any(kept(deps, acme, *thread))

    @pytest.mark.parametrize(
        "members", [{"user": "u"}, {"user": "s2"}, {"safety_identifier": "u1"}, {"metadata": {"case": "7", "x": "y"}}]
    )
    def test_but_of_nothing_else(
        self, deps: Deps, alice: Client, acme: str, thread: list[str], members: dict[str, Any]
    ) -> None:
        made(alice, **members)
        assert not any(kept(deps, acme, *thread))

    def test_the_label_of_a_conversation_counts_as_well(self, deps: Deps, alice: Client, acme: str) -> None:
        conversation = alice.post("/v1/conversations", json={"metadata": {"case": "9"}}).json["id"]
        own = alice.ask("Here", conversation=conversation)["id"]
        made(alice, metadata={"case": "9"})
        assert kept(deps, acme, own) == [True]

    def test_what_comes_later_is_kept_too(self, deps: Deps, alice: Client, acme: str, thread: list[str]) -> None:
        made(alice, user="later")
        assert not any(kept(deps, acme, *thread))
        late = alice.ask("late", after=thread[3], user="later")["id"]
        assert all(kept(deps, acme, *thread, late))

    def test_two_keep_until_both_are_released(self, deps: Deps, alice: Client, acme: str, thread: list[str]) -> None:
        first, second = made(alice, response_id=thread[0]), made(alice, user="u1")
        alice.post(f"/v1/holds/{first['id']}/release")
        assert all(kept(deps, acme, *thread))
        alice.post(f"/v1/holds/{second['id']}/release")
        assert not any(kept(deps, acme, *thread))

    def test_anothers_keeps_nothing(self, deps: Deps, carol: Client, acme: str, thread: list[str]) -> None:
        made(carol, user="u1")
        made(carol, metadata={"case": "7"})
        assert not any(kept(deps, acme, *thread))

    def test_what_is_held_may_be_hidden(self, deps: Deps, alice: Client, acme: str, thread: list[str]) -> None:
        made(alice, response_id=thread[0])
        assert alice.delete(f"/v1/responses/{thread[3]}").status_code == 200
        assert all(kept(deps, acme, *thread))


class TestTheDoor:
    def test_a_hold_is_told_as_it_was_made(self, alice: Client, carol: Client, thread: list[str]) -> None:
        hold = made(alice, response_id=thread[1], reason="Letter of 3 May")
        assert hold == {
            "id": hold["id"],
            "object": "hold",
            "name": "Case 7",
            "reason": "Letter of 3 May",
            "conversation_id": None,
            "response_id": thread[1],
            "user": None,
            "safety_identifier": None,
            "metadata": None,
            "created_at": hold["created_at"],
            "api_key_id": hold["api_key_id"],
            "released_at": None,
            "released_by": None,
        }
        assert ids.pack(ids.KEY, hold["api_key_id"])
        assert alice.get(f"/v1/holds/{hold['id']}").json == hold
        assert carol.get(f"/v1/holds/{hold['id']}").status_code == 404
        assert carol.post(f"/v1/holds/{hold['id']}/release").status_code == 404
        assert carol.get("/v1/holds").json["data"] == []

    def test_a_released_one_stays_on_record(self, alice: Client) -> None:
        hold = made(alice, user="u")
        released = alice.post(f"/v1/holds/{hold['id']}/release").json
        assert released["released_at"] >= hold["created_at"]
        assert released["released_by"] == hold["api_key_id"]
        assert alice.post(f"/v1/holds/{hold['id']}/release").json == released
        assert alice.delete(f"/v1/holds/{hold['id']}").status_code == 405
        assert alice.get("/v1/holds?released=true").json["data"] == [released]
        assert alice.get("/v1/holds?released=false").json["data"] == []

    def test_they_come_in_pages(self, alice: Client) -> None:
        own = [made(alice, user=f"u{number}")["id"] for number in range(5)]
        page = alice.get("/v1/holds?limit=2").json
        assert ([hold["id"] for hold in page["data"]], page["has_more"]) == (own[:2:-1], True)
        page = alice.get(f"/v1/holds?limit=2&after={own[3]}").json
        assert [hold["id"] for hold in page["data"]] == [own[2], own[1]]
        page = alice.get(f"/v1/holds?order=asc&limit=2&before={own[4]}").json
        assert [hold["id"] for hold in page["data"]] == own[2:4]

    @pytest.mark.parametrize(
        ("members", "param"),
        [
            ({"user": "u", "name": None}, "name"),
            ({"user": "u", "name": ""}, "name"),
            ({"user": "u", "name": "n" * 256}, "name"),
            ({"user": "u", "name": "a\x00b"}, "name"),
            ({}, "conversation_id"),
            ({"user": "u", "conversation_id": "conv_1"}, "user"),
            ({"user": ""}, "user"),
            ({"user": 7}, "user"),
            ({"user": "a\ud800"}, "user"),
            ({"safety_identifier": "a\x00"}, "safety_identifier"),
            ({"metadata": {}}, "metadata"),
            ({"metadata": {"a": 1}}, "metadata.a"),
            ({"metadata": []}, "metadata"),
            ({"metadata": {"a": "\x00"}}, "metadata"),
            ({"conversation_id": "conv_unknown"}, "conversation_id"),
            ({"response_id": "resp_unknown"}, "response_id"),
            ({"response_id": f"resp_{'0' * 32}"}, "response_id"),
            ({"user": "u", "reason": "r" * 2_001}, "reason"),
            ({"user": "u", "reason": 1}, "reason"),
            ({"user": "u", "until": 1}, "until"),
        ],
    )
    def test_nonsense_is_named(self, alice: Client, members: dict[str, Any], param: str) -> None:
        answered = alice.post("/v1/holds", json={"name": "Case", **members})
        assert (answered.status_code, answered.json["error"]["param"]) == (400, param), answered.text
        assert alice.get("/v1/holds").json["data"] == []

    @pytest.mark.parametrize("query", ["limit=0", "limit=x", "order=up", "after=hold_x", "before=hold_x", "released=?"])
    def test_so_is_nonsense_in_a_query(self, alice: Client, query: str) -> None:
        answered = alice.get(f"/v1/holds?{query}")
        assert (answered.status_code, answered.json["error"]["param"]) == (400, query.partition("=")[0])

    def test_anothers_exchange_is_none(self, alice: Client, carol: Client) -> None:
        theirs = carol.ask("x")["id"]
        assert alice.post("/v1/holds", json={"name": "n", "response_id": theirs}).status_code == 400

    def test_each_call_is_on_record(self, alice: Client) -> None:
        hold = made(alice, user="u")["id"]
        alice.get(f"/v1/holds/{hold}")
        alice.get("/v1/holds")
        alice.post(f"/v1/holds/{hold}/release")
        found = alice.get("/v1/audit?limit=4").json["data"]
        said = [(entry["action"], entry["object_id"]) for entry in found]
        assert said == [("holds.release", hold), ("holds.list", None), ("holds.get", hold), ("holds.create", hold)]


class TestErasures:
    def test_what_is_held_is_not_erased_on_request_either(
        self, deps: Deps, alice: Client, acme: str, thread: list[str]
    ) -> None:
        hold = made(alice, response_id=thread[0])
        assert erased(deps, alice, acme, user="u1") == (0, 1)
        assert alice.get(f"/v1/responses/{thread[1]}").json.get("erased") is None
        alice.post(f"/v1/holds/{hold['id']}/release")
        assert erased(deps, alice, acme, user="u1") == (1, 0)
        assert alice.get(f"/v1/responses/{thread[1]}").json["erased"] is True

    def test_nor_is_the_name_of_a_conversation(self, deps: Deps, alice: Client, acme: str, thread: list[str]) -> None:
        own = conversation_of(alice, thread[0])
        alice.post(f"/v1/conversations/{own}", json={"title": "Kept"})
        hold = made(alice, conversation_id=own)
        assert erased(deps, alice, acme, conversation_id=own) == (0, 4)
        assert alice.get("/v1/conversations?limit=1").json["data"][0]["title"] == "Kept"
        alice.post(f"/v1/holds/{hold['id']}/release")
        assert erased(deps, alice, acme, conversation_id=own) == (4, 0)
        assert alice.get("/v1/conversations?limit=1").json["data"][0]["title"] != "Kept"


def erased(deps: Deps, client: Client, project: str, **selector: str) -> tuple[int, int]:
    """An erasure, done: how many exchanges it erased, and how many it left because they are held."""
    made = client.post("/v1/erasures", json={**selector, "purge": False})
    assert made.status_code == 202, made.text
    while True:
        job = queue.take(deps.database, deps.process, [erasures.JOB], deps.clock())
        assert job is not None
        KINDS[erasures.JOB].run(deps, RunningJob(deps.database, job))
        jobs.finish(deps, job, "completed")
        if job.project_id == project:
            break
    counts = client.get(f"/v1/erasures/{made.json['id']}").json["counts"]
    return counts["exchanges"], counts["held"]
