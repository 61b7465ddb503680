"""Whatever a store has been through, what leaves it comes back alive: export(import(export(x))) == export(x).

A store is put through turns with answers of every kind, branches, edits, failures, broken streams, histories that are
sent whole, conversations that are changed by hand, deletions and erasures. Its export is brought into an empty project
of another store; what leaves that is the same to the last byte, and so is what clients read.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from convstore.services import erasing, keys, projects
from tests.conftest import Client
from tests.domain.strategies import responses, values
from tests.local_upstream import answer, broken_off, error, whole
from tests.transfers.stage import Store, fresh

EXAMPLES = int(os.environ.get("CONVSTORE_FUZZ_EXAMPLES", "25"))

sayable = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)
labels = st.dictionaries(st.text(st.characters(categories=("Lu", "Ll")), min_size=1, max_size=8), sayable, max_size=3)
# Members of a request, some of them with insides, in whatever spelling.
members = st.fixed_dictionaries(
    {},
    optional={
        "instructions": sayable,
        "metadata": labels,
        "user": st.sampled_from(["zoe", "yan", "用户"]),
        "safety_identifier": st.just("s1"),
        "temperature": st.sampled_from([0, 0.5, 1]),
        "tools": st.just([{"type": "function", "name": "add", "parameters": {"type": "object"}}]),
        "unheard_of": values,
        "prompt_cache_key": sayable,
    },
)
spelled = st.sampled_from([None, 1, "\r\n "])
actions = st.lists(
    st.tuples(
        st.sampled_from(
            "ask ask ask ask after after fail cut stream history branch delete erase name home add take_out".split()
        ),
        st.integers(0, 50),
        sayable,
        members,
        spelled,
        st.none() | responses(),
    ),
    min_size=1,
    max_size=12,
)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def stores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Store]]:
    """Two stores; each example has a project of its own in both."""
    with fresh(request, tmp_path_factory) as here, fresh(request, tmp_path_factory) as there:
        yield here, there


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    # An example takes a tenth of a second: shrinking a failing one would take more minutes than a test has.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(does=actions)
def test_what_leaves_comes_back_as_it_was(stores: tuple[Store, Store], tmp_path: Path, does: list[Any]) -> None:
    here, there = stores
    life = Life(here)
    for each in does:
        life.does(*each)
    other = Life(there)
    path = tmp_path / "all.jsonl"
    first = here.export(project=life.project)
    path.write_bytes(first)
    assert there.bring(path, other.project, dry_run=True).problems == []
    report = there.bring(path, other.project)
    assert report.problems == []
    assert there.export(project=other.project) == first
    for response_id in life.responses:
        paths = ["", "/thread?items=true", "/input_items", "/children", "/cost"]
        for each in paths:
            was, now = (client.get(f"/v1/responses/{response_id}{each}") for client in (life.client, other.client))
            assert (now.status_code, now.json) == (was.status_code, was.json), each
    query = "/v1/responses?limit=100&fields=question,answer,created_at,cost,usage,metadata"
    assert life.client.get(query).json == other.client.get(query).json
    assert there.wrong(other.project) == []
    # Once more: nothing is new.
    again = there.bring(path, other.project)
    assert "new" not in again.counts.get("exchanges", {}) and again.problems == []


class Life:
    """What a project of a store goes through."""

    def __init__(self, store: Store) -> None:
        self.store = store
        name = f"life-{os.urandom(6).hex()}"
        self.client = Client(store.app, keys.create(store.deps, name)[1])
        self.project = next(each.id for each in projects.listed(store.deps) if each.name == name)
        self.responses: list[str] = []
        self.homes: list[str] = []

    def does(self, what: str, at: int, said: str, more: dict[str, Any], spelling: Any, given: Any) -> None:
        getattr(self, f"_{what}")(at, said, more, spelling, given)

    def _one(self, at: int) -> str | None:
        return self.responses[at % len(self.responses)] if self.responses else None

    def _send(self, body: dict[str, Any], spelling: Any) -> None:
        text = json.dumps({"model": "gpt-5.4", **body}, indent=spelling, ensure_ascii=bool(spelling))
        answered = self.client.post("/v1/responses", data=text.encode(), content_type="application/json")
        # To its end: what is still being answered does not leave.
        self.responses += dict.fromkeys(re.findall(r'"id": ?"(resp_[0-9a-f]{32})"', answered.get_data(as_text=True)))

    def _ask(self, at: int, said: str, more: dict[str, Any], spelling: Any, given: Any) -> None:
        if given is not None:
            self.store.upstream.will(whole(given))
        self._send({"input": said or "?", **more}, spelling)

    def _after(self, at: int, said: str, more: dict[str, Any], spelling: Any, given: Any) -> None:
        parent = self._one(at)
        self._ask(at, said, more | ({"previous_response_id": parent} if parent else {}), spelling, given)
        self.store.upstream.forget()

    def _fail(self, at: int, said: str, more: dict[str, Any], spelling: Any, given: Any) -> None:
        self.store.upstream.will(error(500))
        self._after(at, said, more, spelling, None)

    def _cut(self, at: int, said: str, more: dict[str, Any], spelling: Any, given: Any) -> None:
        self.store.upstream.will(broken_off(answer("Half of it"), after=4))
        self._after(at, said, more | {"stream": True}, spelling, None)

    def _stream(self, at: int, said: str, more: dict[str, Any], spelling: Any, given: Any) -> None:
        self._after(at, said, more | {"stream": True}, spelling, given)

    def _history(self, at: int, said: str, more: dict[str, Any], spelling: Any, given: Any) -> None:
        own = self._one(at)
        thread = self.client.get(f"/v1/responses/{own}/thread?items=true").json.get("data", []) if own else []
        items = [item for turn in thread for item in (*turn["input"], *turn["output"])]
        self._ask(at, "", {**more, "input": [*items, {"role": "user", "content": said or "On"}]}, spelling, given)
        self.store.upstream.forget()

    def _branch(self, at: int, said: str, more: dict[str, Any], spelling: Any, given: Any) -> None:
        own = self._one(at)
        if own:
            made = self.client.post(f"/v1/responses/{own}/branch", json={"input": said or "!"})
            if made.status_code == 200:
                self.responses.append(made.json["id"])

    def _delete(self, at: int, said: str, more: dict[str, Any], spelling: Any, given: Any) -> None:
        own = self._one(at)
        if own:
            self.client.delete(f"/v1/responses/{own}")

    def _erase(self, at: int, said: str, more: dict[str, Any], spelling: Any, given: Any) -> None:
        own = self._one(at)
        if own:
            erasing.erase(self.store.deps, self.project, "erasure_x", [own])

    def _name(self, at: int, said: str, more: dict[str, Any], spelling: Any, given: Any) -> None:
        own = self._one(at)
        if own:
            self.client.post("/v1/branches", json={"name": f"b{at}", "tip": own})

    def _home(self, at: int, said: str, more: dict[str, Any], spelling: Any, given: Any) -> None:
        items = [{"role": "user", "content": said}] if at % 2 else []
        made = self.client.post("/v1/conversations", json={"items": items, "metadata": more.get("metadata", {})})
        if made.status_code == 200:
            self.homes.append(made.json["id"])

    def _add(self, at: int, said: str, more: dict[str, Any], spelling: Any, given: Any) -> None:
        if self.homes:
            own = self.homes[at % len(self.homes)]
            self.client.post(f"/v1/conversations/{own}/items", json={"items": [{"role": "user", "content": said}]})
            self._ask(at, said, more | {"conversation": own}, spelling, given)
            self.store.upstream.forget()

    def _take_out(self, at: int, said: str, more: dict[str, Any], spelling: Any, given: Any) -> None:
        if self.homes:
            own = self.homes[at % len(self.homes)]
            listed = self.client.get(f"/v1/conversations/{own}/items").json["data"]
            if listed:
                self.client.delete(f"/v1/conversations/{own}/items/{listed[at % len(listed)]['id']}")


def test_the_law_can_fail(stores: tuple[Store, Store], tmp_path: Path) -> None:
    """A store that loses a title is found out."""
    here, there = stores
    life, other = Life(here), Life(there)
    life.does("ask", 0, "Hello", {}, None, None)
    first = here.export(project=life.project)
    path = tmp_path / "all.jsonl"
    path.write_bytes(first.replace(b'"Hello"', b'"Hallo"'))
    report = there.bring(path, other.project)
    assert [each.reason for each in report.problems] == ["altered"]
    assert there.export(project=other.project) != first
