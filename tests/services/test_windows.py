"""Windows: what of a thread a model is shown when not all of it has room."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from convstore.config import Settings
from convstore.errors import ContextTooLong
from convstore.services import responses
from tests.conftest import FixedClock, upstream_settings
from tests.local_upstream import LocalUpstream, answer, function_call
from tests.services.conftest import Asker, asker, shown, working


class TestFitted:
    @pytest.fixture
    def small(self, settings: Settings, upstream: LocalUpstream, clock: FixedClock) -> Iterator[Asker]:
        """Somebody whose model takes 400 tokens."""
        tight = replace(settings, upstreams=(upstream_settings(upstream, context_window=400),))
        with working(tight, clock) as deps:
            yield asker(deps, "acme")

    LONG = "alpha beta gamma delta " * 20  # about 80 tokens

    def thread(self, small: Asker, upstream: LocalUpstream, turns: int) -> str:
        tip = None
        for number in range(turns):
            upstream.will(answer(f"answer {number}"))
            tip = small.ask(f"turn {number} {self.LONG}", after=tip, truncation="auto")["id"]
        assert tip is not None
        return tip

    def test_what_fits_is_shown_whole(self, small: Asker, upstream: LocalUpstream) -> None:
        tip = self.thread(small, upstream, 2)
        small.ask("go on", after=tip)
        assert len(shown(upstream)) == 5

    def test_auto_leaves_out_the_oldest_whole_turns(self, small: Asker, upstream: LocalUpstream) -> None:
        tip = self.thread(small, upstream, 6)
        small.ask("go on", after=tip, truncation="auto")
        words = shown(upstream)
        assert words[-1] == "go on"
        assert 2 < len(words) < 13
        assert len(words) % 2 == 1
        assert words[0].startswith("turn ")
        assert words[-2] == "answer 5"

    def test_disabled_says_so_and_asks_nobody(self, small: Asker, upstream: LocalUpstream) -> None:
        tip = self.thread(small, upstream, 6)
        asked, known = len(upstream.questions), len(small.statuses())
        for members in ({}, {"truncation": "disabled"}, {"truncation": None}):
            with pytest.raises(ContextTooLong) as refused:
                small.ask("go on", after=tip, **members)
        assert refused.value.code == "context_length_exceeded"
        assert refused.value.param == "input"
        assert (len(upstream.questions), len(small.statuses())) == (asked, known)

    def test_a_request_that_is_too_long_by_itself_is_refused_either_way(self, small: Asker) -> None:
        for truncation in ("auto", "disabled"):
            with pytest.raises(ContextTooLong):
                small.ask(self.LONG * 10, truncation=truncation)
        assert small.statuses() == []

    def test_a_call_is_never_cut_from_its_output(self, small: Asker, upstream: LocalUpstream) -> None:
        tip = self.thread(small, upstream, 4)
        upstream.will(answer(function_call("call_1")), answer("Seven."))
        tip = small.ask("compute", after=tip, truncation="auto")["id"]
        output = {"type": "function_call_output", "call_id": "call_1", "output": self.LONG}
        tip = small.ask([output], after=tip, truncation="auto")["id"]
        words = shown(upstream)
        assert words[-2:] == ["function_call", "function_call_output"]
        assert words[-3] == "compute"
        for _ in range(3):
            tip = small.ask(f"more {self.LONG}", after=tip, truncation="auto")["id"]
            words = shown(upstream)
            assert words.count("function_call") == words.count("function_call_output")

    def test_what_answers_a_call_that_does_not_fit_is_refused(self, small: Asker, upstream: LocalUpstream) -> None:
        upstream.will(answer(function_call("call_1", arguments=json.dumps({"text": self.LONG * 4}))))
        first = small.ask("compute", truncation="auto")
        output = {"type": "function_call_output", "call_id": "call_1", "output": self.LONG}
        with pytest.raises(ContextTooLong):
            small.ask([output], after=first["id"], truncation="auto")

    def test_what_was_left_out_is_still_in_the_thread(self, small: Asker, upstream: LocalUpstream) -> None:
        tip = self.thread(small, upstream, 6)
        last = small.ask("go on", after=tip, truncation="auto")
        page = responses.Page(limit=100, order="asc")
        listing = responses.input_items(small.deps, small.principal, last["id"], page)
        assert len(listing.items) == 13
