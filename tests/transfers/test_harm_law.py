"""Whatever a stranger writes into a file of ours: it is brought in or refused, record by record, and what is there
afterwards can be read, searched, exported and continued. Nothing answers with a 500, and the log verifies.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from convstore.domain.exporting import FORMATS
from convstore.services import keys, projects
from tests.conftest import Client, upstream_settings
from tests.databases import migrated
from tests.domain.strategies import values
from tests.local_upstream import LocalUpstream, answer, chat_answer, function_call, reasoning
from tests.transfers.stage import Store, store

EXAMPLES = int(os.environ.get("CONVSTORE_FUZZ_EXAMPLES", "40"))
odd = st.one_of(
    values,
    st.sampled_from(
        ["\0", "\ud800", "x" * 300, "message", "function_call", "reasoning", -1, 2**70, 1e308, [], {}, None]
    ),
    st.sampled_from(["completed", "items", "import", "conversation", "inferred", "streamed", "plain", "failed"]),
)
# Where, counted around, and what is put there.
changes = st.lists(st.tuples(st.integers(0, 10**6), odd), min_size=1, max_size=4)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, list[Any]]]:
    """A store whose models are served in both dialects, and what an export of all kinds of items says."""
    with migrated(request, tmp_path_factory) as url, LocalUpstream() as upstream:
        plain = upstream_settings(upstream, models=("gpt-5.4*",))
        chat = upstream_settings(upstream, name="chat", dialect="chat", models=("chatty",))
        with store(url, upstream, upstreams=(plain, chat)) as made:
            upstream.will(answer(reasoning(), "Hello"), answer(function_call("call_1")), answer("Four"))
            tools = [{"type": "function", "name": "add", "parameters": {"type": "object"}}]
            root = made.alice.ask("Hi", metadata={"a": "b"}, user="zoe", tools=tools)["id"]
            called = made.alice.ask([{"role": "user", "content": "3?"}], after=root)["id"]
            output = [{"type": "function_call_output", "call_id": "call_1", "output": "4"}]
            last = made.alice.ask(output, after=called, background=False)["id"]
            made.alice.post("/v1/branches", json={"name": "best", "tip": last})
            home = made.alice.post("/v1/conversations", json={"items": [{"role": "user", "content": "x"}]}).json["id"]
            made.alice.ask("In it", conversation=home)
            yield made, [json.loads(line) for line in made.export().splitlines()]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(does=changes)
def test_it_does_no_harm(stage: tuple[Store, list[Any]], tmp_path: Path, does: list[tuple[int, Any]]) -> None:
    made, lines = stage
    name = f"harm-{os.urandom(6).hex()}"
    client = Client(made.app, keys.create(made.deps, name)[1])
    project = next(each.id for each in projects.listed(made.deps) if each.name == name)
    given = json.loads(json.dumps(lines))
    for at, value in does:
        _put(given, at, value)
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in given[:-1]))
    with path.open("ab") as file:
        file.write(json.dumps(lines[-1]).encode() + b"\n")
    report = made.bring(path, project, ids="new")
    assert all(each.place.startswith("line ") for each in report.problems)
    listed = client.get("/v1/responses?limit=100&fields=input,output,question,cost,metadata,error")
    assert listed.status_code == 200, listed.text
    for own in (each["id"] for each in listed.json["data"]):
        for part in ("", "?stream=true", "/thread?items=true", "/context", "/input_items", "/children", "/cost"):
            assert client.get(f"/v1/responses/{own}{part}").status_code < 500, part
        for kind in FORMATS:
            assert client.get(f"/v1/responses/{own}/export?format={kind}").status_code == 200, kind
        made.upstream.otherwise = None
        for model in ("gpt-5.4", "chatty"):
            made.upstream.will(chat_answer("On") if model == "chatty" else answer("On"))
            assert client.create("On", after=own, model=model).status_code < 500, model
            made.upstream.forget()
        assert client.post(f"/v1/responses/{own}/branch", json={"input": "Anew"}).status_code < 500
        assert client.get(f"/v1/diff?left={own}&right={own}").status_code < 500
    for path_ in ("/v1/conversations", "/v1/costs?group_by=model", "/v1/responses?q=Hello", "/v1/retention/plan"):
        assert client.get(path_).status_code == 200, path_
    assert made.wrong(project) == []


def _put(given: list[Any], at: int, value: Any) -> None:
    """Put a value in one of all the places there are."""
    places = [(holder, key) for line in given[1:-1] for holder, key in _places(line)]
    holder, key = places[at % len(places)]
    holder[key] = value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in list(inside):
        yield value, key
        yield from _places(each)
