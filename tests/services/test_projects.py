"""Projects: listed, and told what they choose."""

import os

import pytest

from convstore.domain.project import ProjectSettings
from convstore.services import keys, projects
from convstore.services.deps import Deps
from convstore.services.projects import ProjectNotFound
from convstore.storage import everywhere
from convstore.storage.everywhere import Project


@pytest.fixture
def acme(deps: Deps, globex: str) -> str:
    return made(deps, "acme")


@pytest.fixture
def globex(deps: Deps) -> str:
    """Always there: a project that chooses nothing."""
    return made(deps, "globex")


def made(deps: Deps, name: str) -> str:
    project = f"{name} {os.urandom(4).hex()}"
    keys.create(deps, project)
    return project


def found(deps: Deps, name: str) -> Project:
    (project,) = [each for each in projects.listed(deps) if each.name == name]
    return project


class TestListed:
    def test_every_project_once_oldest_first(self, deps: Deps, acme: str, globex: str) -> None:
        keys.create(deps, acme, name="another key")
        names = [each.name for each in projects.listed(deps) if each.name in (acme, globex)]
        assert names == [globex, acme]


class TestChange:
    def test_what_is_chosen_stays_chosen(self, deps: Deps, acme: str, globex: str) -> None:
        before = found(deps, acme)
        assert before.settings == ProjectSettings("keep")
        changed = projects.change(deps, acme, unstored="discard")
        assert changed.settings == ProjectSettings("discard")
        assert found(deps, acme) == changed
        assert (changed.id, changed.created_at) == (before.id, before.created_at)
        assert found(deps, globex).settings == ProjectSettings("keep")
        assert projects.change(deps, acme, unstored="keep") == before

    def test_settings_of_other_versions_stay(self, deps: Deps, acme: str) -> None:
        with deps.database.transaction() as connection:
            everywhere.set_project(connection, found(deps, acme).id, ProjectSettings(others={"colour": "blue"}))
        projects.change(deps, acme, unstored="discard")
        assert found(deps, acme).settings == ProjectSettings("discard", others={"colour": "blue"})

    def test_one_that_is_not_there(self, deps: Deps, acme: str) -> None:
        with pytest.raises(ProjectNotFound, match="No project has the name 'initech'"):
            projects.change(deps, "initech", unstored="discard")
