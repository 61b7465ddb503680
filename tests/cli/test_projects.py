"""`convstore projects`, on both engines."""

import json
from typing import Any

import pytest

from tests.cli.conftest import Shell

# Wider than any table may be cut to.
LONG = "initech " + "x" * 120


@pytest.fixture(autouse=True)
def projects(shell: Shell) -> None:
    for name in ("acme", "globex", LONG):
        shell.output("keys", "create", "--project", name)


def listed(shell: Shell) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in json.loads(shell.output("projects", "list", "--json"))}


class TestList:
    def test_every_project_with_what_it_chooses(self, shell: Shell) -> None:
        found = listed(shell)
        assert list(found) == ["acme", "globex", LONG]
        assert found["acme"]["id"].startswith("proj_")
        assert {each["unstored"] for each in found.values()} == {"keep"}

    def test_a_pipe_gets_whole_lines(self, shell: Shell) -> None:
        lines = shell.output("projects", "list").splitlines()
        for each in listed(shell).values():
            (line,) = [line for line in lines if each["id"] in line]
            assert each["name"] in line
            assert each["created_at"] in line
            assert line.rstrip("│ ").split()[-3:] == ["keep", "│", "no"]


class TestSet:
    def test_one_project_is_changed(self, shell: Shell) -> None:
        assert shell.output("projects", "set", "acme", "--unstored", "discard") == "acme: unstored is discard.\n"
        found = listed(shell)
        assert (found["acme"]["unstored"], found["globex"]["unstored"]) == ("discard", "keep")
        shell.output("projects", "set", "acme", "--unstored", "keep")
        assert listed(shell)["acme"]["unstored"] == "keep"

    def test_several_choices_at_once(self, shell: Shell) -> None:
        said = shell.output("projects", "set", "acme", "--background-retry", "yes", "--unstored", "keep")
        assert said == "acme: unstored is keep, background retry is yes.\n"
        found = listed(shell)
        assert (found["acme"]["background_retry"], found["globex"]["background_retry"]) == ("yes", "no")

    def test_one_that_is_not_there_is_one_line(self, shell: Shell) -> None:
        ran = shell.run("projects", "set", "hooli", "--unstored", "discard")
        assert (ran.code, ran.out, ran.err) == (1, "", "convstore: No project has the name 'hooli'.\n")
        assert "hooli" not in listed(shell)

    @pytest.mark.parametrize("options", [[], ["--unstored", "burn"], ["--unstored"], ["--background-retry", "2"]])
    def test_what_cannot_be_set_changes_nothing(self, shell: Shell, options: list[str]) -> None:
        before = listed(shell)
        ran = shell.run("projects", "set", "acme", *options)
        assert ran.code == 2
        assert "Error: " in ran.err
        assert listed(shell) == before
