"""`convstore replay`: at both doors, on both engines; and with a worker of its own."""

import json

from tests.cli.house import House
from tests.local_upstream import error


class TestReplay:
    def test_a_thread_is_asked_again_on_several_models(self, house: House) -> None:
        made = house.chain("One", "Two")
        with house.worker():
            ran = house.run(
                *("replay", made[1], "--model", "gpt-5.4", "--model", "gpt-5.4-mini", "--set", "temperature=0.5")
            )
        assert ran.code == 0, ran.err
        assert "gpt-5.4-mini: 2/2 completed\n" in ran.err
        assert ran.out.splitlines()[0].endswith(" completed")
        replay = house.alice.get("/v1/replays").json["data"][0]
        assert replay["id"] in ran.out
        assert {each.body["temperature"] for each in house.upstream.questions[-4:]} == {0.5}

    def test_a_part_of_it(self, house: House) -> None:
        made = house.chain("One", "Two", "Three")
        with house.worker():
            found = json.loads(house.output("replay", made[2], "--from", made[1], "--until", made[1], "--json"))
            assert [turn["source_id"] for turn in found["runs"][0]["turns"]] == [made[1]]
            found = json.loads(house.output("replay", made[2], "--last", "--json", "--tool-outputs", "stop"))
        assert [turn["source_id"] for turn in found["runs"][0]["turns"]] == [made[2]]
        assert (found["mode"], found["tool_outputs"]) == ("last", "stop")

    def test_what_it_would_take(self, house: House) -> None:
        made = house.chain("One", "Two [red]")
        before = len(house.upstream.questions)
        shown = house.output("replay", made[1], "--dry-run")
        assert "Two [red]" in shown
        assert shown.splitlines()[-1].startswith("2 calls.")
        plan = json.loads(house.output("replay", made[1], "--dry-run", "--json", "--model", "gpt-5.4"))
        assert (plan["object"], plan["runs"][0]["model"]) == ("replay.plan", "gpt-5.4")
        assert len(house.upstream.questions) == before
        assert house.alice.get("/v1/replays").json["data"] == []

    def test_one_that_stops_says_why(self, house: House) -> None:
        made = house.chain("One", "Two", "Three")
        with house.worker():
            ran = house.run("replay", made[2], "--max-calls", "2")
        assert ran.code == 1
        assert ran.err.splitlines()[-1].startswith("convstore: as recorded: stopped: ")
        assert "2/3" in ran.out

    def test_one_that_fails_says_why(self, house: House) -> None:
        made = house.chain("One", "Two")
        house.upstream.will(error(400, "No \x1b[31mway"))
        with house.worker():
            ran = house.run("replay", made[1])
        assert ran.code == 1
        assert "\x1b" not in ran.out + ran.err
        assert ran.err.splitlines()[-1].startswith("convstore: as recorded: ")

    def test_it_can_be_left_alone_looked_at_and_stopped(self, house: House) -> None:
        made = house.chain("One")
        ran = house.run("replay", made[0], "--detach")
        assert ran.code == 0
        replay_id, status = ran.out.splitlines()[0].split()
        assert status == "queued"
        assert f"convstore replay {replay_id} --cancel" in ran.err
        assert json.loads(house.output("replay", replay_id, "--detach", "--json"))["id"] == replay_id
        assert house.output("replay", replay_id, "--cancel").splitlines()[0] == f"{replay_id} cancelled"
        assert house.run("replay", replay_id).code == 1

    def test_one_that_is_there_is_followed(self, house: House) -> None:
        made = house.chain("One")
        replay_id = house.output("replay", made[0], "--detach").split()[0]
        with house.worker():
            assert house.output("replay", replay_id).startswith(f"{replay_id} completed")


class TestErrors:
    def test_what_cannot_be_replayed(self, house: House) -> None:
        made = house.chain("One")
        for options in (
            ("nobody",),
            ("replay_" + "0" * 32,),
            (made[0], "--until", "nobody"),
            (made[0], "--set", "input=1"),
            (made[0], "--set", "temperature=x"),
        ):
            ran = house.run("replay", *options)
            assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1), ran
        for wrong in (("--cancel",), ("--max-calls", "0"), ("--max-cost", "nan"), ("--tool-outputs", "x")):
            assert house.run("replay", made[0], *wrong).code == 2
        assert house.run("replay", "replay_" + "0" * 32, "--last").code == 2

    def test_somebody_elses_is_not_there(self, house: House) -> None:
        theirs = house.carol.ask("Ours")["id"]
        replay = house.carol.post(f"/v1/responses/{theirs}/replay", json={}).json["id"]
        assert house.run("replay", theirs).code == 1
        assert house.run("replay", replay, "--cancel").err == f"convstore: Replay with id '{replay}' not found.\n"
        assert house.carol.get(f"/v1/replays/{replay}").json["status"] == "queued"
