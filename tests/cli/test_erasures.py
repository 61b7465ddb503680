"""`convstore erasures`: at both doors, on both engines."""

import io
import json

import pytest

from convstore.services import recovery
from tests.cli.house import House


def told(house: House) -> str:
    return str(house.alice.ask("Zulu", user="zoe", metadata={"a": "b"})["id"])


class TestErasures:
    def test_a_preview_does_nothing(self, house: House) -> None:
        own = told(house)
        assert "exchanges 1" in house.output("erasures", "preview", "--user", "zoe")
        found = json.loads(house.output("erasures", "preview", "--metadata", "a=b", "--json"))
        assert (found["object"], found["exchanges"]) == ("erasure.preview", 1)
        assert "erased" not in house.alice.get(f"/v1/responses/{own}").json

    def test_it_is_done_and_shown(self, house: House) -> None:
        own = told(house)
        # As a process of the service has them: with each it forgets what is to be erased.
        stop = recovery.start_beating(house.deps, 0.1)
        with house.worker():
            ran = house.run("erasures", "create", "--user", "zoe", "--yes", "--json", "--no-purge")
        stop()
        assert ran.code == 0, ran.err
        receipt = json.loads(ran.out)
        assert (receipt["status"], receipt["counts"]["exchanges"]) == ("completed", 1)
        assert house.alice.get(f"/v1/responses/{own}").json["erased"] is True
        assert house.output("erasures", "show", receipt["id"]).startswith(f"{receipt['id']} completed")
        assert receipt["id"] in house.output("erasures", "list")
        purged = house.run("erasures", "purge")
        assert purged.code == (1 if house.is_remote else 0)
        if not house.is_remote:
            assert json.loads(house.output("erasures", "show", receipt["id"], "--json"))["purged_at"]

    def test_it_asks_before(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        own = told(house)
        monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
        ran = house.run("erasures", "create", "--user", "zoe")
        assert ran.code == 1
        assert "Erase it for good?" in ran.err + ran.out
        assert "erased" not in house.alice.get(f"/v1/responses/{own}").json

    def test_what_is_not_understood(self, house: House) -> None:
        for wrong in ((), ("--user", "a", "--response", "b"), ("--metadata", "x"), ("--user", "")):
            ran = house.run("erasures", "create", "--yes", *wrong)
            assert ran.code != 0
            assert "Traceback" not in ran.err
