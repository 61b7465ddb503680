"""Clients of background work: the official SDK, and what becomes of them when the node that serves them is killed."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from openai import OpenAI

from tests.acceptance import nodes
from tests.acceptance.nodes import Site
from tests.acceptance.test_operations import arrived
from tests.background.conftest import ended
from tests.local_upstream import answer, wait_until
from tests.losses.evidence import TERMINALS
from tests.losses.service import kill
from tests.services.background.conftest import TEXT, Pace, told

MODEL = "gpt-5.4"
SEEN = 5


@pytest.fixture
def client(site: Site) -> Iterator[OpenAI]:
    with site.sdk() as made:
        yield made


def is_whole(events: list[dict[str, Any]]) -> bool:
    """Whether nothing is missing, nothing is there twice, and one event is the last."""
    numbers, types = [event["sequence_number"] for event in events], [event["type"] for event in events]
    last = len(events) - 1
    return numbers == list(range(len(events))) and [n for n, each in enumerate(types) if each in TERMINALS] == [last]


def plain(events: Any) -> list[dict[str, Any]]:
    """The SDK's events, as they were sent."""
    return [event.model_dump(mode="json", exclude_unset=True) for event in events]


class TestKill:
    """kill -9 for the node, while clients follow what a worker answers and what the node itself relays."""

    def test_clients_go_on_at_the_next_one_and_what_it_relayed_is_kept(self, site: Site) -> None:
        relayed, worked = Pace(), Pace()
        site.upstream.will(relayed, worked)
        body = {"model": MODEL, "input": "Hello?", "stream": True}
        ours = nodes.events(site.proxy, "POST", "/v1/responses", body, key=site.key)
        relayed_id = next(ours)["response"]["id"]
        first = nodes.events(site.proxy, "POST", "/v1/responses", {**body, "background": True}, key=site.key)
        seen = list(islice(first, SEEN))
        response_id = seen[0]["response"]["id"]
        told(site.deps, response_id, worked.text)
        url = site.deps.database.options.url
        wait_until(lambda: b'"sequence_number":6,' in arrived(url, relayed_id), nodes.PATIENCE_S)

        (node,) = site.nodes
        kill(node)
        seen += first
        assert not is_whole(seen)
        assert not is_whole(list(ours))
        site.heal()

        after = seen[-1]["sequence_number"]
        path = f"/v1/responses/{response_id}?stream=true&starting_after={after}"
        rest = nodes.events(site.proxy, "GET", path, key=site.key)
        with site.sdk() as client:
            by_retrieve = client.responses.retrieve(response_id, stream=True, starting_after=after)
            with client.responses.stream(response_id=response_id, starting_after=after) as by_stream:
                worked.rest.set()
                whole = seen + list(rest)
                assert [event.sequence_number for event in by_retrieve] == [
                    event["sequence_number"] for event in whole[after + 1 :]
                ]
                final = by_stream.get_final_response()
        assert is_whole(whole)
        assert whole[-1]["response"] == ended(site, response_id)
        assert (final.id, final.status, final.output_text) == (response_id, "completed", TEXT)

        left = ended(site, relayed_id)
        assert left["status"] == "incomplete"
        assert left["output"][0]["content"][0]["text"] == relayed.text
        assert len(site.upstream.questions) == 2
        assert site.alice.ask("And now?", after=relayed_id)["status"] == "completed"
        shown = [item["content"][0]["text"] for item in site.upstream.questions[-1].body["input"]]
        assert shown == ["Hello?", relayed.text, "And now?"]
        relayed.rest.set()


class TestSdk:
    def test_a_response_is_polled_to_its_end(self, client: OpenAI, site: Site, pace: Pace) -> None:
        site.upstream.will(pace)
        made = client.responses.create(model=MODEL, input="Hello?", background=True)
        assert (made.status, made.background, made.output) == ("queued", True, [])
        wait_until(lambda: client.responses.retrieve(made.id).output_text == pace.text, nodes.PATIENCE_S)
        assert client.responses.retrieve(made.id).status == "in_progress"
        pace.rest.set()
        wait_until(lambda: client.responses.retrieve(made.id).status == "completed", nodes.PATIENCE_S)
        given = client.responses.retrieve(made.id)
        assert (given.output_text, given.background) == (TEXT, True)
        assert given.usage is not None
        assert given.usage.total_tokens == 18

    def test_a_cancel_reaches_the_provider(self, client: OpenAI, site: Site, pace: Pace) -> None:
        site.upstream.will(pace)
        made = client.responses.create(model=MODEL, input="Hello?", background=True)
        told(site.deps, made.id, pace.text)
        assert client.responses.cancel(made.id).id == made.id
        assert wait_until(lambda: pace.left, nodes.PATIENCE_S) == [True]
        wait_until(lambda: client.responses.retrieve(made.id).status == "cancelled", nodes.PATIENCE_S)
        given = client.responses.cancel(made.id)
        assert (given.status, given.output_text) == ("cancelled", pace.text)

    def test_a_stream_is_left_and_followed_again(self, client: OpenAI, site: Site, pace: Pace) -> None:
        site.upstream.will(pace)
        with client.responses.create(model=MODEL, input="Hello?", background=True, stream=True) as events:
            seen = plain(islice(events, SEEN))
        response_id, after = seen[0]["response"]["id"], seen[-1]["sequence_number"]
        with client.responses.stream(response_id=response_id, starting_after=after) as stream:
            resumed = iter(stream)
            heard = [next(resumed).sequence_number]
            pace.rest.set()
            heard += [event.sequence_number for event in resumed if hasattr(event, "sequence_number")]
            final = stream.get_final_response()
        rest = plain(client.responses.retrieve(response_id, stream=True, starting_after=after))
        assert is_whole(seen + rest)
        assert heard == [event["sequence_number"] for event in rest]
        assert (final.status, final.output_text) == ("completed", TEXT)

    def test_the_helper_begins_one_and_follows_it(self, client: OpenAI, site: Site) -> None:
        site.upstream.will(answer("At once."))
        with client.responses.stream(model=MODEL, input="Hello?", background=True) as stream:
            assert stream.get_final_response().output_text == "At once."
