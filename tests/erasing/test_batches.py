"""Batches of erasing: markers, tombstones, and what is left of others."""

import pytest
from flask import Flask

from convstore.services import doctor, erasing
from convstore.services.deps import Deps
from tests.api.test_audit import project_of
from tests.conftest import Client
from tests.erasing.doing import dump


@pytest.fixture
def project(alice: Client, noise: list[str]) -> str:
    return project_of(alice)


class TestErase:
    def test_a_turn_in_the_middle_of_a_thread(self, deps: Deps, app: Flask, alice: Client, project: str) -> None:
        root = alice.ask("Root stays")
        mine = alice.ask("Zanzibar", after=root["id"], user="zoe", metadata={"who": "zulu"}, instructions="Zebra")
        tip = alice.ask("Tip stays", after=mine["id"])
        done = erasing.erase(deps, project, "erasure_x", [mine["id"]])
        assert (done.exchanges, done.unfinished) == (1, 0)
        assert done.items >= 2
        left = dump(deps)
        for word in (b"Zanzibar", b"zoe", b"zulu"):
            assert word not in left
        assert b"Root stays" in left and b"Tip stays" in left
        shown = alice.get(f"/v1/responses/{mine['id']}").json
        assert shown["output"][0]["content"][0]["text"] == "[erased]"
        assert (shown["id"], shown["erased"]) == (mine["id"], True)
        assert "erased" not in alice.get(f"/v1/responses/{root['id']}").json
        assert shown["usage"] == mine["usage"]
        thread = alice.get(f"/v1/responses/{tip['id']}/thread?items=true")
        assert thread.status_code == 200 and "[erased]" in thread.text
        assert alice.get(f"/v1/conversations/{thread.json['data'][0]['conversation_id']}/tree").status_code == 200
        assert alice.ask("Goes on", after=tip["id"])["status"] == "completed"
        assert alice.ask("Goes on there", after=mine["id"])["status"] == "completed"
        again = erasing.erase(deps, project, "erasure_x", [mine["id"]])
        assert again.exchanges == 0

    def test_what_others_share_is_kept_and_the_rest_goes(
        self, deps: Deps, app: Flask, alice: Client, project: str
    ) -> None:
        shared, own = "Shared " * 3000, "Quokka " * 3000
        mine = alice.ask([{"role": "user", "content": shared}, {"role": "user", "content": own}], instructions="Zebra")
        other = alice.ask([{"role": "user", "content": shared}])
        assert b"Quokka" in dump(deps)
        erasing.erase(deps, project, "erasure_x", [mine["id"]])
        done = erasing.drop_payloads(deps, project, "erasure_x")
        assert done is not None and (done.payloads, done.kept) == (2, 1)
        left = dump(deps)
        assert b"Quokka" not in left and b"Zebra" not in left
        assert alice.get(f"/v1/responses/{other['id']}/input_items").json["data"][0]["content"][0]["text"] == shared
        assert erasing.drop_payloads(deps, project, "erasure_x").exchanges == 0


class TestRemove:
    def test_a_leaf_goes_with_all_it_had_and_a_root_stays_while_it_is_continued(
        self, deps: Deps, app: Flask, alice: Client, project: str
    ) -> None:
        root = alice.ask("Yellow", user="yves")
        child = alice.ask("Yonder", after=root["id"])
        fork = alice.ask("Stays", after=root["id"])
        done = erasing.remove(deps, project, "erasure_y", [root["id"], child["id"]])
        assert (done.exchanges, done.continued) == (1, 1)
        assert b"Yonder" not in dump(deps)
        assert alice.get(f"/v1/responses/{child['id']}").status_code == 404
        assert alice.get(f"/v1/responses/{fork['id']}/thread").status_code == 200
        done = erasing.remove(deps, project, "erasure_y", [root["id"], fork["id"]])
        assert (done.exchanges, done.conversations) == (2, 1)
        left = dump(deps)
        assert b"Yellow" not in left and b"yves" not in left


class TestTheDoctor:
    def test_finds_nothing_wrong_afterwards(self, deps: Deps, app: Flask, alice: Client, project: str) -> None:
        call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"where":"Zulu"}'}
        root = alice.ask("Root")["id"]
        mine = alice.ask([{"role": "user", "content": "Zulu"}, call, output("c1")], after=root)["id"]
        tip = alice.ask("Tip", after=mine)["id"]
        fork = alice.ask("Fork", after=root)["id"]
        erasing.erase(deps, project, "erasure_x", [mine])
        erasing.drop_payloads(deps, project, "erasure_x")
        erasing.remove(deps, project, "erasure_y", [fork])
        erasing.drop_payloads(deps, project, "erasure_y")
        assert list(doctor.examine(deps)) == []
        shown = alice.get(f"/v1/responses/{tip}/input_items?order=asc").json["data"]
        assert [(each["type"], each.get("call_id")) for each in shown[2:5]] == [
            ("message", None),
            ("function_call", "c1"),
            ("function_call_output", "c1"),
        ]
        assert shown[3]["arguments"] == "{}" and shown[4]["output"] == "[erased]"
        assert b"Zulu" not in dump(deps)

    def test_nor_when_a_first_child_went(self, deps: Deps, app: Flask, alice: Client, project: str) -> None:
        root = alice.ask("Root")["id"]
        first = alice.ask("First", after=root)["id"]
        second = alice.ask("Second", after=root)["id"]
        erasing.remove(deps, project, "erasure_y", [first])
        third = alice.ask("Third", after=root)["id"]
        assert list(doctor.examine(deps)) == []
        children = alice.get(f"/v1/responses/{root}/children").json["data"]
        assert {each["id"] for each in children} == {second, third}


def output(call_id: str) -> dict[str, str]:
    return {"type": "function_call_output", "call_id": call_id, "output": "Zulu"}
