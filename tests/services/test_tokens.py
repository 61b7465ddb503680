"""Counting the input tokens of a request that is not made."""

import json
from dataclasses import replace
from typing import Any

import pytest

from convstore.domain import windows
from convstore.errors import PreviousResponseNotFound
from convstore.schemas.responses import count_request
from convstore.services import tokens
from convstore.services.deps import Deps
from convstore.services.tokens import Count
from convstore.upstream.registry import Registry
from tests.conftest import upstream_settings
from tests.local_upstream import LocalUpstream, answer, error, hang_up, whole
from tests.services.conftest import Asker

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def counted(acme: Asker, deps: Deps | None = None, **members: Any) -> Count:
    return tokens.count(deps or acme.deps, acme.principal, count_request(json.dumps(members).encode()))


class TestCount:
    def test_an_upstream_that_can_count_is_asked(self, acme: Asker, upstream: LocalUpstream) -> None:
        upstream.will(whole({"object": "response.input_tokens", "input_tokens": 11}))
        assert counted(acme, model="gpt-5.4", input="Hello?", tools=[]) == Count(11, estimated=False)
        asked = upstream.questions[-1]
        assert asked.path.endswith("/responses/input_tokens")
        assert asked.body["input"][0]["content"][0]["text"] == "Hello?"

    @pytest.mark.parametrize(
        "cannot",
        [
            error(404),
            error(500),
            hang_up,
            whole(b"x"),
            whole([]),
            whole({}),
            whole({"input_tokens": "11"}),
            whole({"input_tokens": 1.5}),
            whole({"input_tokens": None}),
        ],
    )
    def test_one_that_cannot_is_replaced_by_an_estimate(
        self, acme: Asker, upstream: LocalUpstream, cannot: Any
    ) -> None:
        upstream.will(cannot)
        assert counted(acme, model="gpt-5.4", input="hello world") == Count(2 + windows.WRAPPING, estimated=True)

    def test_a_chat_upstream_is_not_asked(self, acme: Asker, upstream: LocalUpstream) -> None:
        asked = len(upstream.questions)
        chat = replace(acme.deps, upstreams=Registry([upstream_settings(upstream, dialect="chat")], pool=4))
        assert counted(acme, chat, model="gpt-5.4", input="hello world").estimated
        assert len(upstream.questions) == asked

    def test_the_thread_counts_too(self, acme: Asker, upstream: LocalUpstream) -> None:
        upstream.will(answer("hello world"))
        first = acme.ask("hello world")
        whole_thread = counted(acme, model="gpt-5.4", previous_response_id=first["id"], input="hello world")
        assert whole_thread == Count(3 * (2 + windows.WRAPPING), estimated=True)

    def test_everything_is_optional(self, acme: Asker, upstream: LocalUpstream) -> None:
        asked = len(upstream.questions)
        assert counted(acme) == Count(0, estimated=True)
        assert counted(acme, instructions="hello world") == Count(2, estimated=True)
        assert len(upstream.questions) == asked

    def test_a_thread_that_is_not_there(self, acme: Asker, globex: Asker) -> None:
        for unknown in ("resp_x", globex.ask()["id"]):
            with pytest.raises(PreviousResponseNotFound):
                counted(acme, previous_response_id=unknown)

    def test_nothing_is_stored(self, acme: Asker) -> None:
        counted(acme, model="gpt-5.4", input="Hello?")
        assert acme.statuses() == []
