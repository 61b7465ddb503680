"""`convstore tree`: at both doors, on both engines."""

import json
from typing import Any

import pytest

from convstore.cli.terminal import console
from convstore.cli.tree import build
from tests.api.test_trees import UNKNOWN, home
from tests.cli.house import House

HOSTILE = "\x1b[31mred\x1b]0;title\x07 [bold]b[/bold] [/x] \x9b5m \u202eback"


@pytest.fixture
def grown(house: House) -> dict[str, str]:
    """root ─ a ─ aa, root ─ b ─ (ba, bb), by what was asked; and the conversation."""
    made: dict[str, str] = {}
    for name, parent in (("root", ""), ("a", "root"), ("b", "root"), ("aa", "a"), ("ba", "b"), ("bb", "b")):
        made[name] = house.ask(name, f"Answer to {name}\nat length", made.get(parent))
    house.alice.post("/v1/branches", json={"name": "better", "tip": made["ba"]})
    return {**made, "home": home(house.alice, made["root"])}


def short(line: str) -> str:
    """A line of a tree without what differs from run to run."""
    return line.partition("●")[0] + line.rpartition("  ")[2]


class TestTree:
    @pytest.mark.parametrize("of", ["home", "aa", "better"])
    def test_forks_indent_and_runs_do_not(self, house: House, grown: dict[str, str], of: str) -> None:
        lines = house.output("tree", grown.get(of, of)).splitlines()
        assert lines[0].strip() == f"root  {grown['home']}"
        assert [short(line) for line in lines[1:-1]] == [
            "root → Answer to root",
            "├── a → Answer to a",
            "│   aa → Answer to aa",
            "└── b → Answer to b",
            "    ├── ba → Answer to ba",
            "    └── bb → Answer to bb",
        ]
        assert lines[-1].startswith("6 exchanges, 3 tips, ")
        assert "Noise" not in "".join(lines)

    def test_a_line_has_names_and_figures(self, house: House, grown: dict[str, str]) -> None:
        lines = house.output("tree", grown["home"]).splitlines()
        assert f"● {grown['ba'][-8:]} (better) tip gpt-5.4-2026-03-05, " in lines[5]
        assert " tokens, " in lines[5]
        assert " tip " not in lines[1]
        assert grown["ba"] in house.output("tree", grown["home"], "--full-ids")

    def test_a_part_of_it(self, house: House, grown: dict[str, str]) -> None:
        below = house.output("tree", "better", "--from-here").splitlines()
        assert [short(line) for line in below[1:-1]] == ["ba → Answer to ba"]
        top = house.output("tree", grown["home"], "--depth", "1").splitlines()
        assert [line.strip() for line in top if "more below" in line] == ["│   … 1 more below", "… 2 more below"]
        assert "Answer to aa" not in "".join(top)

    def test_several_roots(self, house: House, grown: dict[str, str]) -> None:
        assert house.alice.post(f"/v1/responses/{grown['root']}/branch", json={"input": "Anew"}).status_code == 200
        lines = house.output("tree", grown["home"]).splitlines()
        assert [short(line)[:8] for line in lines[1:3]] == ["├── root", "│   ├── "]
        assert "└── " in lines[-2]

    def test_what_went_wrong_is_said(self, house: House) -> None:
        from tests.local_upstream import error

        first = house.ask("One", "1")
        house.upstream.will(error(400, "No"))
        house.alice.create("Two", after=first)
        assert " failed (" in house.output("tree", first)
        assert house.alice.delete(f"/v1/responses/{first}").status_code == 200
        assert " deleted " in house.output("tree", home_of(house))

    def test_as_json(self, house: House, grown: dict[str, str]) -> None:
        found = json.loads(house.output("tree", grown["aa"], "--json"))
        assert found == house.alice.get(f"/v1/conversations/{grown['home']}/tree").json
        assert len(found["data"]) == 6


class TestWords:
    def test_what_was_said_does_nothing_to_a_terminal(self, house: House) -> None:
        made = house.ask(f"{HOSTILE}\nmore", HOSTILE)
        for arguments in (("tree", made), ("thread", made), ("tree", made, "--json"), ("thread", made, "--json")):
            shown = house.output(*arguments)
            assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown)
            assert "[bold]b[/bold] [/x]" in shown
        assert json.loads(house.output("thread", made, "--json"))["data"][0]["input"][0]["content"][0]["text"] == (
            f"{HOSTILE}\nmore"
        )


class TestErrors:
    def test_unknown_and_foreign_ones_are_not_there(self, house: House, grown: dict[str, str]) -> None:
        theirs = str(house.carol.ask("Ours")["id"])
        for name in (UNKNOWN, theirs, "nobody", home(house.carol, theirs), "conv_" + "0" * 32, "a/b", "é"):
            for command in ("tree",) if name.startswith("conv_") else ("tree", "thread"):
                ran = house.run(command, name)
                assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
                assert ran.err.startswith("convstore: ")
                assert name in ran.err

    def test_a_wrong_key_is_not_said_back(self, house: House, grown: dict[str, str]) -> None:
        ran = house.shell.run("tree", grown["aa"], "--url", house.url, "--key", "sk-wrong-secret")
        assert (ran.code, ran.out, ran.err) == (1, "", "convstore: Incorrect API key provided.\n")
        for key in ("sk-\nsecret", "sk-sécret"):
            ran = house.shell.run("tree", grown["aa"], "--url", house.url, "--key", key)
            assert (ran.code, ran.err) == (1, "convstore: The key has characters that no header can carry.\n")

    def test_a_project_is_named_where_there_are_several(self, house: House, grown: dict[str, str]) -> None:
        ran = house.shell.run("tree", grown["aa"])
        assert (ran.code, ran.err) == (1, "convstore: There are several projects: say whose with --project NAME.\n")
        ran = house.shell.run("tree", grown["aa"], "--project", "hooli")
        assert (ran.code, ran.err) == (1, "convstore: No project has the name 'hooli'.\n")
        assert house.shell.run("tree", grown["aa"], "--project", "globex").code == 1

    def test_words_that_do_not_fit(self, house: House, grown: dict[str, str]) -> None:
        for wrong in (("tree", ""), ("tree", grown["home"], "--from-here"), ("tree", grown["aa"], "--depth", "-1")):
            assert house.run(*wrong).code == 2
        assert house.shell.run("tree", "x", "--url", house.url, "--project", "acme").code == 2


class TestPlaces:
    def test_by_the_environment(self, house: House, grown: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CONVSTORE_URL", f"{house.url}/v1/")
        monkeypatch.setenv("CONVSTORE_KEY", house.alice.key)
        monkeypatch.setenv("CONVSTORE_DATABASE_URL", "sqlite:////nowhere/to/be/found.db")
        assert "6 exchanges" in house.shell.output("tree", grown["aa"])

    @pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://127.0.0.1:9/v1"])
    def test_a_service_that_is_not_there(self, shell: Any, url: str) -> None:
        ran = shell.run("tree", "x", "--url", url, "--key", "sk-secret")
        assert (ran.code, ran.err) == (1, "convstore: The service at http://127.0.0.1:9 cannot be reached.\n")

    @pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://me:secret@127.0.0.1", "http://[", "http://x:y"])
    def test_an_address_that_is_none(self, shell: Any, url: str) -> None:
        ran = shell.run("tree", "x", "--url", url, "--key", "sk-secret")
        assert (ran.code, ran.err.count("\n")) == (1, 1)
        assert "secret" not in ran.err

    def test_the_only_project_need_not_be_said(self, shell: Any) -> None:
        assert "There is no project yet" in shell.run("tree", "x").err
        shell.output("keys", "create", "--project", "acme")
        assert shell.run("tree", "x").err == "convstore: Response with id 'x' not found.\n"


def node(number: int, parent: int | None, *, is_tip: bool = False) -> dict[str, Any]:
    return {
        "id": f"resp_{number:032x}",
        "parent_id": None if parent is None else f"resp_{parent:032x}",
        "branches": [],
        "deleted": False,
        "status": "completed",
        "model": "m",
        "origin": "request",
        "usage": None,
        "latency_ms": 1.0,
        "cost": None,
        "currency": None,
        "question": f"Q{number}",
        "answer": None,
        "is_tip": is_tip,
        "subtree": {"nodes": 1},
    }


class TestSizes:
    def test_a_long_thread_is_flat(self) -> None:
        nodes = [node(n, n - 1 if n else None, is_tip=n == 2_999) for n in range(3_000)]
        drawn, nesting = build({"title": "Long", "conversation_id": "conv_1", "data": nodes})
        assert nesting == 0
        assert drawn.children == []
        assert str(drawn.label).count("\n") == 3_000

    def test_forks_behind_forks_are_drawn(self, capsys: pytest.CaptureFixture[str]) -> None:
        nodes: list[dict[str, Any]] = [node(0, None)]
        for n in range(1, 1_500):
            nodes += [node(2 * n, max(0, 2 * n - 2)), node(2 * n + 1, max(0, 2 * n - 2), is_tip=True)]
        nodes[-2]["is_tip"] = True
        drawn, nesting = build({"title": "Deep", "conversation_id": "conv_1", "data": nodes})
        assert nesting == 1_499
        console(width=4096 + 4 * nesting).print(drawn)
        assert "Q2998" in capsys.readouterr().out


def home_of(house: House) -> str:
    """The newest conversation of Alice's."""
    return str(house.alice.get("/v1/conversations?limit=1").json["data"][0]["id"])
