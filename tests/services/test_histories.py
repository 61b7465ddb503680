"""Clients that send their whole history: it is put where it belongs, and only what is new of it is stored."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convstore.domain.exchange import Linked
from convstore.errors import CallWithoutOutput, DuplicateItem
from convstore.services import responses
from convstore.services.responses import Page
from convstore.storage import exchanges
from tests.local_upstream import LocalUpstream, answer, broken_off, error, function_call, message, reasoning
from tests.services.conftest import Asker, asker

Items = list[dict[str, Any]]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(response: dict[str, Any]) -> Items:
    return list(response["output"])


def short(response: dict[str, Any]) -> Items:
    """As plain chat loops send an answer back: its text."""
    texts = [part["text"] for item in said(response) if item["type"] == "message" for part in item["content"]]
    return [{"role": "assistant", "content": text} for text in texts]


def like_codex(response: dict[str, Any]) -> Items:
    """Ids of its own, reasoning with its content null."""
    return [
        {**item, "id": f"{item['id'][:3]}_uuid{item['id'][-20:]}", **({"content": None} if "summary" in item else {})}
        for item in said(response)
    ]


def without_ids(response: dict[str, Any]) -> Items:
    return [{name: value for name, value in item.items() if name not in ("id", "status")} for item in said(response)]


FORMS: dict[str, Callable[[dict[str, Any]], Items]] = {
    "as shown": said,
    "short": short,
    "like codex": like_codex,
    "without ids": without_ids,
}


@dataclass
class Loop:
    """A chat program: it keeps the history and sends all of it."""

    asker: Asker
    form: Callable[[dict[str, Any]], Items] = short
    members: dict[str, Any] = field(default_factory=dict)
    history: Items = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)

    def say(self, *items: dict[str, Any]) -> dict[str, Any]:
        """One turn."""
        self.history += items
        answered = self.asker.ask(self.history, **self.members)
        self.history += self.form(answered)
        self.answers.append(answered)
        return answered

    @property
    def ids(self) -> list[str]:
        return [each["id"] for each in self.answers]


def parents(asker: Asker, ids: list[str]) -> list[str | None]:
    return [asker.stored(each).parent_id for each in ids]


def own_items(asker: Asker, response_id: str) -> int:
    """How many input items are stored with an exchange."""
    return asker.stored(response_id).input_count


def read_back(asker: Asker, response_id: str) -> Items:
    """What came with a request, oldest first, in the long form of lists."""
    listing = responses.input_items(asker.deps, asker.principal, response_id, Page(100_000, "asc"), own=True)
    return [json.loads(body) for _, body in listing.items]


def as_sent(items: Items) -> Any:
    """Items as they are told apart here: without the ids and statuses that lists fill in, in long form."""

    def one(item: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in item.items() if name not in ("id", "status") and value is not None}
        kept.setdefault("type", "message")
        if isinstance(kept.get("content"), str):
            kind = "output_text" if item["role"] == "assistant" else "input_text"
            kept["content"] = [{"type": kind, "text": item["content"]}]
        for part in kept["content"] if isinstance(kept.get("content"), list) else ():
            if part["type"] == "output_text":
                part.setdefault("annotations", [])
                part.setdefault("logprobs", [])
        return kept

    return [one(json.loads(json.dumps(item))) for item in items]


def is_read_back(asker: Asker, response_id: str, sent: Items) -> None:
    """Whether a response's request is read back as it was sent."""
    listed = read_back(asker, response_id)
    assert as_sent(listed) == as_sent(sent)
    # Ids that were sent are kept; the others get one.
    assert [item["id"] for item in listed] == [
        item.get("id") or listed[number]["id"] for number, item in enumerate(sent)
    ]
    assert all(item["id"] for item in listed)


class TestALoop:
    @pytest.mark.parametrize("name", FORMS)
    def test_it_is_one_thread_and_only_new_items_are_stored(self, acme: Asker, name: str) -> None:
        loop = Loop(acme, FORMS[name])
        for number in range(5):
            loop.say(user(f"Question {number}"))
        assert parents(acme, loop.ids) == [None, *loop.ids[:-1]]
        assert [acme.stored(each).linked for each in loop.ids] == [None] + [Linked.INFERRED] * 4
        assert [own_items(acme, each) for each in loop.ids] == [1] * 5
        assert len({acme.stored(each).conversation_id for each in loop.ids}) == 1

    @pytest.mark.parametrize("name", FORMS)
    def test_what_was_sent_can_be_read_back(self, acme: Asker, upstream: LocalUpstream, name: str) -> None:
        loop = Loop(acme, FORMS[name])
        for number in range(4):
            upstream.will(answer(reasoning(f"Thought {number}"), message(f"Answer {number}")))
            before = list(loop.history)
            answered = loop.say(user(f"Question {number}"))
            sent = [*before, user(f"Question {number}")]
            is_read_back(acme, answered["id"], sent)

    def test_the_model_is_shown_what_the_client_sent(self, acme: Asker, upstream: LocalUpstream) -> None:
        loop = Loop(acme)
        loop.say(user("One"))
        loop.say(user("Two"))
        assert upstream.questions[-1].body["input"] == loop.history[:-1]

    def test_the_client_sees_no_difference(self, acme: Asker) -> None:
        loop = Loop(acme)
        loop.say(user("One"))
        answered = loop.say(user("Two"))
        assert answered["previous_response_id"] is None
        assert "conversation" not in answered or answered["conversation"] is None
        assert json.loads(responses.get(acme.deps, acme.principal, answered["id"])) == answered

    def test_tools(self, acme: Asker, upstream: LocalUpstream) -> None:
        loop = Loop(acme, like_codex)
        upstream.will(answer(reasoning(), function_call("call_1")), answer("Done."))
        loop.say(user("Add"))
        loop.say({"type": "function_call_output", "call_id": "call_1", "output": "4"})
        loop.say(user("Thanks"))
        assert parents(acme, loop.ids) == [None, *loop.ids[:-1]]
        assert [own_items(acme, each) for each in loop.ids] == [1, 1, 1]

    def test_codex_stores_nothing_and_is_one_thread_all_the_same(self, acme: Asker) -> None:
        loop = Loop(acme, like_codex, {"store": False, "prompt_cache_key": "thread-1"})
        loop.history = [{"role": "developer", "content": "Be brief."}, user("<environment/>")]
        for number in range(4):
            loop.say(user(f"Question {number}"))
        assert parents(acme, loop.ids) == [None, *loop.ids[:-1]]
        assert [own_items(acme, each) for each in loop.ids] == [3, 1, 1, 1]

    def test_it_can_be_continued_by_name(self, acme: Asker, upstream: LocalUpstream) -> None:
        loop = Loop(acme)
        loop.say(user("One"))
        second = loop.say(user("Two"))
        acme.ask("Three", after=second["id"])
        texts = [item["content"] for item in upstream.questions[-1].body["input"]]
        assert [each if isinstance(each, str) else each[0]["text"] for each in texts] == [
            "One",
            loop.history[1]["content"],
            "Two",
            loop.history[3]["content"],
            "Three",
        ]

    def test_after_turns_that_named_their_parent(self, acme: Asker) -> None:
        first = acme.ask("One")
        second = acme.ask("Two", after=first["id"])
        loop = Loop(acme, history=[user("One"), *short(first), user("Two"), *short(second)])
        third, fourth = loop.say(user("Three")), loop.say(user("Four"))
        assert parents(acme, [third["id"], fourth["id"]]) == [second["id"], third["id"]]
        sent = [user("One"), *short(first), user("Two"), *short(second), user("Three")]
        assert as_sent(read_back(acme, third["id"])) == as_sent(sent)
        assert as_sent(read_back(acme, fourth["id"])) == as_sent([*sent, *short(third), user("Four")])

    def test_a_client_that_changes_its_form(self, acme: Asker) -> None:
        loop = Loop(acme)
        for number in range(3):
            loop.say(user(f"Question {number}"))
        history = [user("Question 0"), *said(loop.answers[0]), user("Question 1"), *like_codex(loop.answers[1])]
        history += [user("Question 2"), *without_ids(loop.answers[2]), user("More")]
        fourth = acme.ask(history)
        assert parents(acme, [fourth["id"]]) == loop.ids[-1:]
        is_read_back(acme, fourth["id"], history)

    @pytest.mark.parametrize("by_name", [False, True])
    def test_a_client_that_drops_old_reasoning(self, acme: Asker, upstream: LocalUpstream, by_name: bool) -> None:
        upstream.will(*[answer(reasoning(encrypted=f"sealed {n}"), message(f"Answer {n}")) for n in range(3)])
        first = acme.ask([user("One")])
        second = (
            acme.ask([user("Two")], after=first["id"])
            if by_name
            else acme.ask([user("One"), *said(first), user("Two")])
        )
        history = [user("One"), *short(first), user("Two"), *said(second), user("Three")]
        third = acme.ask(history)
        assert parents(acme, [third["id"]]) == [second["id"]]
        is_read_back(acme, third["id"], history)
        # Reasoning that is not this thread's own makes it another one.
        foreign = {**said(second)[0], "encrypted_content": "of somebody else"}
        other = acme.ask([*history[:3], foreign, *said(second)[1:], user("Three")])
        assert parents(acme, [other["id"]]) == [first["id"]]


class TestForks:
    def test_an_edited_question(self, acme: Asker) -> None:
        loop = Loop(acme)
        for number in range(3):
            loop.say(user(f"Question {number}"))
        edited = acme.ask([*loop.history[:2], user("Another question 1")])
        assert parents(acme, [edited["id"]]) == loop.ids[:1]
        assert own_items(acme, edited["id"]) == 1

    def test_an_edited_answer_is_no_longer_the_models(self, acme: Asker) -> None:
        loop = Loop(acme)
        for number in range(3):
            loop.say(user(f"Question {number}"))
        history = list(loop.history)
        history[3] = {"role": "assistant", "content": "As I would have it."}
        edited = acme.ask([*history, user("More")])
        assert parents(acme, [edited["id"]]) == loop.ids[:1]
        assert own_items(acme, edited["id"]) == 5

    def test_the_same_again_is_another_child(self, acme: Asker) -> None:
        loop = Loop(acme)
        loop.say(user("One"))
        loop.say(user("Two"))
        again = acme.ask([*loop.history[:2], user("Two")])
        assert parents(acme, [again["id"]]) == loop.ids[:1]

    def test_a_first_question_asked_twice_is_two_conversations(self, acme: Asker) -> None:
        ids = [acme.ask([user("One")])["id"] for _ in range(2)]
        assert parents(acme, ids) == [None, None]

    def test_a_resumed_session(self, acme: Asker) -> None:
        loop = Loop(acme, like_codex, {"store": False, "prompt_cache_key": "old"})
        for number in range(3):
            loop.say(user(f"Question {number}"))
        resumed = Loop(acme, like_codex, {"store": False, "prompt_cache_key": "new"}, loop.history[:4])
        ids = [resumed.say(user(f"Later {number}"))["id"] for number in range(2)]
        assert parents(acme, ids) == [loop.ids[1], ids[0]]

    def test_of_threads_that_are_the_same_the_one_with_the_same_cache_key(
        self, acme: Asker, upstream: LocalUpstream
    ) -> None:
        upstream.will(*[answer("Hello.")] * 3)
        first, second, third = (acme.ask([user("Hi")], prompt_cache_key=key)["id"] for key in "abc")
        history = [user("Hi"), {"role": "assistant", "content": "Hello."}, user("More")]
        found = [acme.ask(history, prompt_cache_key=key)["id"] for key in ("b", "a", "none")]
        assert parents(acme, found) == [second, first, third]


class TestNotTheSame:
    def test_another_project_with_the_same_words(self, acme: Asker, globex: Asker, upstream: LocalUpstream) -> None:
        upstream.will(*[answer("Hello.")] * 4)
        Loop(acme).say(user("Hi"))
        loop = Loop(globex)
        loop.say(user("Hi"))
        loop.say(user("More"))
        assert parents(globex, loop.ids) == [None, loop.ids[0]]

    @pytest.mark.parametrize("member", ["user", "safety_identifier"])
    def test_another_person_with_the_same_words(self, acme: Asker, upstream: LocalUpstream, member: str) -> None:
        upstream.will(*[answer("Hello.")] * 4)
        for person in ("one", "two"):
            loop = Loop(acme, members={member: person})
            loop.say(user("Hi"))
            loop.say(user("More"))
            assert parents(acme, loop.ids) == [None, loop.ids[0]]

    def test_near_misses(self, acme: Asker) -> None:
        first = acme.ask([user("Hi")])
        text = short(first)[0]["content"]
        for nearly in (text + " ", text.lower(), text[:-1], f" {text}"):
            other = acme.ask([user("Hi"), {"role": "assistant", "content": nearly}, user("More")])
            assert parents(acme, [other["id"]]) == [None], nearly
        for question in ("Hi ", "hi", "Hi!"):
            other = acme.ask([user(question), *short(first), user("More")])
            assert parents(acme, [other["id"]]) == [None], question

    def test_a_thread_that_differs_by_its_reasoning_alone(self, acme: Asker, upstream: LocalUpstream) -> None:
        upstream.will(*[answer(reasoning(encrypted=each), message("Yes.")) for each in ("one", "two")])
        first, second = acme.ask([user("Q")]), acme.ask([user("Q")])
        for known in (first, second):
            follow_up = acme.ask([user("Q"), *without_ids(known), user("More")])
            assert parents(acme, [follow_up["id"]]) == [known["id"]]

    def test_a_deleted_answer_is_not_continued(self, acme: Asker) -> None:
        loop = Loop(acme)
        loop.say(user("One"))
        responses.delete(acme.deps, acme.principal, loop.ids[0])
        loop.say(user("Two"))
        assert parents(acme, loop.ids) == [None, None]

    def test_an_answer_that_failed_has_nothing_to_continue(self, acme: Asker, upstream: LocalUpstream) -> None:
        upstream.will(error(500))
        with pytest.raises(Exception, match=r".*"):
            acme.ask([user("One")])
        again = acme.ask([user("One"), user("Are you there?")])
        assert parents(acme, [again["id"]]) == [None]

    def test_half_an_answer_is_continued_when_it_is_sent_back(self, acme: Asker, upstream: LocalUpstream) -> None:
        upstream.will(broken_off(answer("Hello there, my friend."), after=6))
        events = acme.stream([user("One")])
        half = next(event["response"]["id"] for event in events if "response" in event)
        with acme.deps.database.reading(acme.principal.project_id) as scope:
            arrived = exchanges.output(scope, acme.stored(half))
        if arrived:
            items = [json.loads(item.body) for item in arrived]
            following = acme.ask([user("One"), *items, user("Go on")])
            assert parents(acme, [following["id"]]) == [half]

    def test_turned_off(self, acme: Asker) -> None:
        options = replace(acme.deps.relay, link_histories=False)
        plain = Asker(replace(acme.deps, relay=options), acme.principal)
        loop = Loop(plain)
        loop.say(user("One"))
        loop.say(user("Two"))
        assert parents(plain, loop.ids) == [None, None]
        assert own_items(plain, loop.ids[1]) == 3


class TestBadInput:
    def test_a_call_without_its_output(self, acme: Asker, upstream: LocalUpstream) -> None:
        loop = Loop(acme, said)
        upstream.will(answer(function_call("call_1")))
        loop.say(user("Add"))
        before = acme.statuses()
        with pytest.raises(CallWithoutOutput):
            loop.say(user("Never mind"))
        assert acme.statuses() == before

    def test_an_item_twice(self, acme: Asker) -> None:
        loop = Loop(acme, said)
        loop.say(user("One"))
        before = acme.statuses()
        with pytest.raises(DuplicateItem):
            loop.say(*said(loop.answers[0]))
        assert acme.statuses() == before


# -- the law --------------------------------------------------------------------------------------------------

TURN = st.tuples(
    st.integers(0, 100),  # which of the exchanges so far it continues; the first number is none
    st.sampled_from(sorted(FORMS)),
    st.booleans(),  # by name, or by history
    st.sampled_from(["question", "question", "another question"]),  # resends and edits
    st.booleans(),  # whether the model thinks
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(turns=st.lists(TURN, max_size=12))
def test_the_forest_is_the_one_that_names_would_have_built(
    deps: Any, upstream: LocalUpstream, turns: list[Any]
) -> None:
    acme = asker(deps, "acme")
    histories: dict[str, Items] = {}  # as a client would send them: up to and with the answer
    expected: dict[str, str | None] = {}
    for number, (chosen, form, by_name, question, thinks) in enumerate(turns):
        known = [None, *expected]
        parent = known[chosen % len(known)]
        before = histories[parent] if parent else []
        output = [message(f"Answer {number}")]
        upstream.will(answer(*([reasoning(f"Thought {number}")] if thinks else []), *output))
        if by_name and parent:
            answered = acme.ask([user(question)], after=parent)
        else:
            answered = acme.ask([*before, user(question)])
            assert as_sent(read_back(acme, answered["id"])) == as_sent([*before, user(question)])
        expected[answered["id"]] = parent
        histories[answered["id"]] = [*before, user(question), *FORMS[form](answered)]
    assert dict(zip(expected, parents(acme, list(expected)), strict=True)) == expected
    assert all(own_items(acme, each) == 1 for each in expected)
