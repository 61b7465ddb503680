"""The laws of retention, on trees and rules of any shape."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain.retention import HIDDEN_FOR, Fate, Member, Rule, Rules, Wanted, fates

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DAY = timedelta(days=1)
MODELS = ("gpt-5.4", "gpt-5.4-mini", "deepseek")


def rule(number: int = 0, **members: object) -> Rule:
    return Rule(f"rule_{number}", Wanted(**{"name": f"r{number}", **members}), NOW, NOW)  # type: ignore[arg-type]


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    made = []
    for number in range(draw(st.integers(0, 3))):
        content = draw(st.none() | st.integers(0, 20))
        figures = None if content is None else draw(st.none() | st.integers(content, 30))
        made.append(
            rule(
                number,
                content_days=content,
                figures_days=figures,
                model=draw(st.sampled_from([None, "gpt-*", "deepseek"])),
                metadata=draw(st.sampled_from([None, {"a": "1"}])),
                keep_while_descendants=draw(st.booleans()),
                priority=draw(st.integers(0, 2)),
            )
        )
    return Rules(made)


@st.composite
def conversations(draw: st.DrawFn) -> list[Member]:
    """Trees of one to eight exchanges, in any order."""
    made: list[Member] = []
    for number in range(draw(st.integers(1, 8))):
        made.append(
            Member(
                id=f"e{number}",
                at=NOW - draw(st.integers(0, 40)) * DAY,
                parent_id=draw(st.none() | st.sampled_from([each.id for each in made])) if made else None,
                models=(draw(st.sampled_from(MODELS)),),
                metadata=draw(st.sampled_from([{}, {"a": "1"}, {"a": "1", "b": "2"}])),
                is_open=draw(st.integers(0, 9)) == 0,
            )
        )
    return draw(st.permutations(made))


def descendants(conversation: Sequence[Member], own: str) -> list[Member]:
    below = [each for each in conversation if each.parent_id == own]
    return [*below, *(deeper for each in below for deeper in descendants(conversation, each.id))]


def swept(conversation: Sequence[Member], found: dict[str, Fate], now: datetime) -> list[Member]:
    """The conversation after a run."""
    left = []
    for member in conversation:
        fate = found.get(member.id)
        if fate is None or fate.is_ripe(now):
            if fate is None:
                left.append(member)
            continue
        if fate.content:
            # What it was found by goes with the content.
            member = replace(member, is_erased=True, erased_by=fate.rule.id, metadata={})
        if fate.figures and member.hidden_at is None:
            member = replace(member, hidden_at=now)
        left.append(member)
    return left


def going(found: dict[str, Fate]) -> set[tuple[str, str]]:
    return {(own, "content") for own, fate in found.items() if fate.content} | {
        (own, "figures") for own, fate in found.items() if fate.figures
    }


@given(rules(), conversations(), st.integers(0, 30))
def test_what_goes_today_goes_tomorrow(rules: Rules, conversation: list[Member], days: int) -> None:
    assert going(fates(rules, conversation, NOW)) <= going(fates(rules, conversation, NOW + days * DAY))


@given(rules(), conversations())
def test_nothing_goes_that_is_held_and_all_is_told_of(rules: Rules, conversation: list[Member]) -> None:
    free, held = fates(rules, conversation, NOW), fates(rules, conversation, NOW, held=True)
    assert going(held) == set()
    assert set(held) == set(free)
    assert all(fate.held for fate in held.values())


@given(rules(), conversations())
def test_nothing_goes_that_is_open_or_that_no_rule_is_for(rules: Rules, conversation: list[Member]) -> None:
    found = fates(rules, conversation, NOW)
    for member in conversation:
        if member.is_open or rules.of(member) is None:
            assert member.id not in found


@given(rules(), conversations())
def test_nothing_goes_before_its_descendants(rules: Rules, conversation: list[Member]) -> None:
    found = fates(rules, conversation, NOW)
    for own, fate in found.items():
        below = descendants(conversation, own)
        if fate.content and fate.rule.wanted.keep_while_descendants:
            assert all(each.id in found and found[each.id].content for each in below)
        if fate.figures:
            assert all(each.id in found and found[each.id].figures for each in below)
            assert fate.content


@given(rules(), conversations())
def test_nothing_goes_before_its_time(rules: Rules, conversation: list[Member]) -> None:
    for fate in fates(rules, conversation, NOW).values():
        age, wanted = (NOW - fate.member.at).days, fate.rule.wanted
        assert not fate.content or (wanted.content_days is not None and age >= wanted.content_days)
        assert not fate.figures or (wanted.figures_days is not None and age >= wanted.figures_days)


@given(rules(), conversations())
def test_two_runs_leave_nothing_to_do(rules: Rules, conversation: list[Member]) -> None:
    """The second one, because what is removed is hidden for a while first."""
    first = fates(rules, conversation, NOW)
    left = swept(conversation, first, NOW)
    again = fates(rules, left, NOW)
    assert not any(fate.content or fate.is_ripe(NOW) for fate in again.values())
    assert {own for own, fate in again.items() if fate.figures} == {o for o, fate in first.items() if fate.figures}
    later = NOW + HIDDEN_FOR
    assert going(fates(rules, swept(left, fates(rules, left, later), later), later)) == set()


@given(rules(), conversations(), st.data())
def test_a_run_that_breaks_off_anywhere_is_ended_by_the_next(
    rules: Rules, conversation: list[Member], data: st.DataObject
) -> None:
    found = fates(rules, conversation, NOW)
    done = {own: fate for own, fate in found.items() if data.draw(st.booleans())}
    left = swept(conversation, done, NOW)
    whole = swept(conversation, found, NOW)
    again = swept(left, fates(rules, left, NOW), NOW)
    assert {each.id: (each.is_erased, each.hidden_at) for each in again} == {
        each.id: (each.is_erased, each.hidden_at) for each in whole
    }


class TestRules:
    def test_the_first_that_is_for_an_exchange_decides(self) -> None:
        ordered = Rules([rule(1, content_days=1), rule(2, model="gpt-*", content_days=9, priority=5)])
        assert ordered.of(Member("e", NOW, models=("gpt-5.4",))) == ordered.all[0]
        assert ordered.all[0].id == "rule_2"
        assert ordered.of(Member("e", NOW, models=("deepseek",))) == ordered.all[1]

    @pytest.mark.parametrize(
        ("model", "metadata", "is_for"),
        [
            (None, None, True),
            ("gpt-5.4", None, True),
            ("gpt-*", None, True),
            ("named-by-the-answer", None, True),
            ("gpt", None, False),
            (None, {"a": "1"}, True),
            (None, {"a": "2"}, False),
            ("gpt-*", {"a": "1", "b": "2"}, True),
            ("deepseek", {"a": "1"}, False),
        ],
    )
    def test_all_that_a_rule_says_must_fit(
        self, model: str | None, metadata: dict[str, str] | None, is_for: bool
    ) -> None:
        member = Member("e", NOW, models=("gpt-5.4", "named-by-the-answer"), metadata={"a": "1", "b": "2"})
        assert (Rules([rule(model=model, metadata=metadata)]).of(member) is not None) is is_for

    def test_what_a_rule_erased_stays_its_own(self) -> None:
        ordered = Rules([rule(1, priority=0), rule(2, metadata={"a": "1"}, priority=1)])
        erased = Member("e", NOW, is_erased=True, erased_by="rule_2")
        assert ordered.of(erased) == ordered.all[1]
        assert ordered.of(replace(erased, erased_by="rule_gone")) == ordered.all[0]

    @pytest.mark.parametrize(
        ("content", "figures", "is_possible"),
        [(None, None, True), (3, None, True), (3, 3, True), (0, 0, True), (4, 3, False), (None, 3, False)],
    )
    def test_figures_are_kept_as_long_as_content(
        self, content: int | None, figures: int | None, is_possible: bool
    ) -> None:
        assert Wanted("r", content_days=content, figures_days=figures).is_possible is is_possible

    def test_a_day_is_over_to_the_microsecond(self) -> None:
        only = Rules([rule(content_days=1)])
        member = Member("e", NOW)
        assert fates(only, [member], NOW + DAY - timedelta(microseconds=1)) == {}
        assert fates(only, [member], NOW + DAY)["e"].content
