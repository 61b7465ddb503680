"""`/v1/erasures`: a person, a conversation, a subtree or a label is erased by a job, and the receipt says so."""

from typing import Any

import pytest
from flask import Flask

from convstore.services import erasures, jobs, recovery
from convstore.services.deps import Deps
from convstore.services.running_job import HandedBack
from convstore.storage import erasing as stored
from tests.api.test_audit import checked, project_of
from tests.conftest import Client
from tests.erasing.doing import dump, on_disk, run, taken

BIG = "Quetzal " * 2_000


def thread(client: Client) -> dict[str, str]:
    """Zoe in the middle of a thread of others, with everything in it that is stored in a place of its own."""
    root = client.ask("Root stays", user="yan")["id"]
    said = [{"role": "user", "content": "Zanzibar wakes"}, {"role": "user", "content": BIG}]
    mine = client.ask(said, after=root, user="zoe", instructions="Zebra rules", metadata={"who": "zulu"})["id"]
    client.get("/v1/responses?q=zanzibar")
    tip = client.ask("Tip stays", after=mine, user="yan")["id"]
    streamed = client.stream("Zigzag line", user="zoe")[-1]["response"]["id"]
    history = [{"role": "user", "content": "Zapotec"}]
    first = client.ask(history, user="zoe")
    history += [{"role": "assistant", "content": first["output"][0]["content"][0]["text"]}]
    client.ask([*history, {"role": "user", "content": "Zither"}], user="zoe", headers={"Idempotency-Key": "k"})
    branch = client.post(f"/v1/responses/{mine}/branch", json={"user": "yan", "instructions": "Zeppelin"}).json["id"]
    return {"root": root, "mine": mine, "tip": tip, "streamed": streamed, "branch": branch}


WORDS = [b"Zanzibar", b"zanzibar", b"Quetzal", b"quetzal", b"Zebra", b"zebra", b"zulu", b"Zigzag", b"zigzag"]
WORDS += [b"Zapotec", b"zapotec", b"Zither", b"zither", b"Zeppelin", b"zeppelin", b"zoe"]


@pytest.fixture
def told(alice: Client, noise: list[str]) -> dict[str, str]:
    return thread(alice)


class TestAPerson:
    def test_no_byte_is_left(self, deps: Deps, app: Flask, alice: Client, told: dict[str, str]) -> None:
        before = dump(deps)
        assert all(word in before for word in (b"Zanzibar", b"Quetzal", b"Zebra", b"zulu", b"Zither", b"Zeppelin"))
        others = {own: alice.get(f"/v1/responses/{told[own]}").json for own in ("root", "tip")}
        made = alice.post("/v1/erasures", json={"user": "zoe"})
        assert (made.status_code, made.json["status"], made.json["by"]) == (202, "in_progress", "user")
        run(deps)
        left = dump(deps)
        assert [word for word in WORDS if word in left] == []
        if deps.database.is_sqlite:
            file = on_disk(deps)
            assert [word for word in WORDS if word in file] == []
        assert {own: alice.get(f"/v1/responses/{told[own]}").json for own in others} == others
        receipt = alice.get(f"/v1/erasures/{made.json['id']}").json
        assert receipt["status"] == "completed" and receipt["purged_at"] and receipt["finished_at"]
        assert receipt["counts"]["exchanges"] == 5 and receipt["counts"]["payloads"] >= 3
        assert receipt["counts"]["tables"]["fingerprints"] >= 1
        assert receipt["counts"]["tables"]["idempotency_keys"] == 1
        assert checked(deps, project_of(alice)) == []

    def test_others_read_on_and_go_on(self, deps: Deps, app: Flask, alice: Client, told: dict[str, str]) -> None:
        alice.post("/v1/erasures", json={"user": "zoe"})
        run(deps)
        for path in ("thread?items=true", "context", "children", "input_items", "cost"):
            assert alice.get(f"/v1/responses/{told['tip']}/{path}").status_code == 200
        assert alice.get(f"/v1/diff?left={told['tip']}&right={told['branch']}").status_code == 200
        assert alice.get("/v1/responses?q=zanzibar").json["data"] == []
        assert len(alice.get("/v1/responses?q=stays").json["data"]) == 2
        assert alice.ask("On", after=told["tip"])["status"] == "completed"
        assert alice.ask("On from there", after=told["mine"])["status"] == "completed"
        again = alice.post(f"/v1/responses/{told['mine']}/branch", json={"input": "Anew"})
        assert again.status_code == 200
        assert alice.post(f"/v1/responses/{told['tip']}/replay", json={}).status_code == 200
        assert alice.get(f"/v1/responses/{told['mine']}").json["erased"] is True

    def test_copies_stay_where_that_is_asked(self, deps: Deps, app: Flask, alice: Client, told: dict[str, str]) -> None:
        alice.post("/v1/erasures", json={"user": "zoe", "copies": False, "purge": False})
        run(deps)
        assert "erased" not in alice.get(f"/v1/responses/{told['branch']}").json
        assert b"Quetzal" in dump(deps)

    def test_a_preview_does_nothing(self, deps: Deps, app: Flask, alice: Client, told: dict[str, str]) -> None:
        before = {name for name in dump(deps).split(b"\n") if b"Z" in name}
        seen = alice.post("/v1/erasures", json={"user": "zoe", "dry_run": True})
        assert seen.status_code == 200
        assert {name: seen.json[name] for name in ("exchanges", "copies", "descendants", "in_progress")} == {
            "exchanges": 5,
            "copies": 1,
            "descendants": 1,
            "in_progress": 0,
        }
        assert {name for name in dump(deps).split(b"\n") if b"Z" in name} >= before
        assert alice.get("/v1/erasures").json["data"] == []


class TestOthers:
    @pytest.mark.parametrize("by", ["safety_identifier", "conversation_id", "response_id", "metadata"])
    def test_it_is_by_other_things(self, deps: Deps, app: Flask, alice: Client, noise: list[str], by: str) -> None:
        members = {"safety_identifier": "zsafe", "metadata": {"case": "z1", "more": "m"}}
        root = alice.ask("Zulu root", **members)
        child = alice.ask("Zulu child", after=root["id"], **members)
        alice.ask("Kept", safety_identifier="other", metadata={"case": "z2", "more": "m"})
        home = alice.get(f"/v1/responses/{root['id']}/thread").json["data"][0]["conversation_id"]
        alice.post(f"/v1/conversations/{home}", json={"title": "Zulu title", "metadata": {"zulu": "x"}})
        value: Any = {
            "safety_identifier": "zsafe",
            "conversation_id": home,
            "response_id": root["id"],
            "metadata": {"case": "z1"},
        }[by]
        made = alice.post("/v1/erasures", json={by: value}).json
        run(deps)
        left = dump(deps)
        assert b"Zulu" not in left and b"zsafe" not in left and b"Kept" in left
        assert alice.get(f"/v1/erasures/{made['id']}").json["counts"]["exchanges"] == 2
        assert alice.get(f"/v1/responses/{child['id']}").json["erased"] is True

    def test_only_what_is_below_a_response(self, deps: Deps, app: Flask, alice: Client, noise: list[str]) -> None:
        root = alice.ask("Root stays")["id"]
        fork = alice.ask("Fork stays", after=root)["id"]
        mine = alice.ask("Zulu", after=root)["id"]
        below = alice.ask("Zebra", after=mine)["id"]
        alice.post("/v1/erasures", json={"response_id": mine, "purge": False})
        run(deps)
        erased = [own for own in (root, fork, mine, below) if "erased" in alice.get(f"/v1/responses/{own}").json]
        assert erased == [mine, below]

    def test_another_projects_person_of_that_name_is_left_alone(
        self, deps: Deps, app: Flask, alice: Client, carol: Client, noise: list[str]
    ) -> None:
        theirs = carol.ask("Theirs", user="zoe")["id"]
        mine = alice.ask("Mine", user="zoe")["id"]
        made = alice.post("/v1/erasures", json={"user": "zoe", "purge": False}).json
        run(deps)
        assert "erased" not in carol.get(f"/v1/responses/{theirs}").json
        assert carol.get(f"/v1/erasures/{made['id']}").status_code == 404
        assert carol.post("/v1/erasures", json={"response_id": mine}).status_code == 404

    def test_what_is_held_is_left_and_counted(self, deps: Deps, app: Flask, alice: Client, noise: list[str]) -> None:
        kept = alice.ask("Held", user="zoe")["id"]
        alice.ask("Goes", user="zoe")
        assert alice.post("/v1/holds", json={"name": "Case 7", "response_id": kept}).status_code == 200
        made = alice.post("/v1/erasures", json={"user": "zoe"}).json
        run(deps)
        counts = alice.get(f"/v1/erasures/{made['id']}").json["counts"]
        assert (counts["exchanges"], counts["held"]) == (1, 1)
        assert b"Held" in dump(deps)


class TestTheJob:
    def test_one_that_is_handed_on_in_the_middle_goes_on_and_counts_once(
        self, deps: Deps, app: Flask, alice: Client, noise: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(5):
            alice.ask(f"Zulu {number}", user="zoe", instructions=f"Zebra {number}")
        monkeypatch.setattr(stored, "MOST", 2)
        made = alice.post("/v1/erasures", json={"user": "zoe"}).json
        job = taken(deps)
        batches: list[int] = []
        progress = job.progress
        monkeypatch.setattr(job, "progress", lambda *args: (batches.append(1), job.stop(), progress(*args)))
        with pytest.raises(HandedBack):
            deps.kinds[job.kind].run(deps, job)
        assert batches == [1]
        monkeypatch.undo()
        found = jobs.get(deps, job.project_id, job.id)
        jobs.put_back(deps, found)
        run(deps)
        receipt = alice.get(f"/v1/erasures/{made['id']}").json
        assert (receipt["status"], receipt["counts"]["exchanges"], receipt["counts"]["payloads"]) == ("completed", 5, 5)
        assert b"Zulu" not in dump(deps)
        assert checked(deps, project_of(alice)) == []

    def test_it_waits_for_what_is_being_answered(
        self, deps: Deps, app: Flask, alice: Client, noise: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waiting = alice.create("Zulu waits", user="zoe", background=True).json["id"]
        alice.post("/v1/erasures", json={"user": "zoe", "purge": False})
        job = taken(deps)
        waits: list[float] = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            alice.post(f"/v1/responses/{waiting}/cancel")

        monkeypatch.setattr(job, "wait", wait)
        deps.kinds[job.kind].run(deps, job)
        assert len(waits) == 1
        assert alice.get(f"/v1/responses/{waiting}").json["erased"] is True
        assert b"Zulu" not in dump(deps)

    def test_not_for_ever(
        self, deps: Deps, app: Flask, alice: Client, noise: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        alice.create("Zulu waits", user="zoe", background=True)
        made = alice.post("/v1/erasures", json={"user": "zoe", "purge": False}).json
        monkeypatch.setattr(erasures, "PATIENCE_S", -1.0)
        run(deps)
        assert alice.get(f"/v1/erasures/{made['id']}").json["counts"]["unfinished"] == 1

    def test_no_body_is_deleted_that_another_process_takes_for_stored(
        self, deps: Deps, app: Flask, alice: Client, noise: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        alice.ask("Zulu", user="zoe", instructions="Zebra")
        alice.post("/v1/erasures", json={"user": "zoe", "purge": False})
        monkeypatch.setattr(erasures, "FORGETTING_S", -1.0)
        monkeypatch.setattr(recovery, "remembering", lambda _deps, _number: ["somebody"])
        job = taken(deps)
        with pytest.raises(erasures.NotForgotten):
            deps.kinds[job.kind].run(deps, job)
        assert b"Zebra" in dump(deps)


class TestNonsense:
    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({}, "user"),
            ({"user": None}, "user"),
            ({"user": ""}, "user"),
            ({"user": 5}, "user"),
            ({"user": "a\0b"}, "user"),
            ({"user": "a\ud800"}, "user"),
            ({"user": "x" * 256}, "user"),
            ({"user": "a", "response_id": "b"}, "response_id"),
            ({"metadata": {}}, "metadata"),
            ({"metadata": {"a": 1}}, "metadata.a"),
            ({"user": "a", "before": "2026-01-01"}, "before"),
            ({"user": "a", "dry_run": "yes"}, "dry_run"),
        ],
    )
    def test_it_is_refused_by_name(
        self, deps: Deps, app: Flask, alice: Client, body: dict[str, Any], param: str
    ) -> None:
        refused = alice.post("/v1/erasures", json=body)
        assert (refused.status_code, refused.json["error"]["param"]) == (400, param)

    def test_what_is_not_there_is_not_found(self, app: Flask, alice: Client) -> None:
        for body in ({"response_id": "resp_0"}, {"conversation_id": f"conv_{'0' * 32}"}):
            assert alice.post("/v1/erasures", json=body).status_code == 404
            assert alice.post("/v1/erasures", json={**body, "dry_run": True}).status_code == 404
