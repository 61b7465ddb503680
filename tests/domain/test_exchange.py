"""Exchanges: what is left of one whose content is not kept."""

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from convstore.domain import exchange, jsontext
from convstore.domain.exchange import Beginning, Ending
from convstore.domain.items import Item
from convstore.domain.ledger import Entry
from convstore.domain.usage import Usage

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
# Whether it is kept is all that is asked of it.
SOMETHING: Any = object()


def filled(kind: type, **members: Any) -> Any:
    """One with a value in every member."""
    return kind(**{each.name: members.get(each.name, SOMETHING) for each in fields(kind)})


def kept(whole: Any) -> set[str]:
    """The members that are the same without content."""
    rest = whole.without_content()
    return {each.name for each in fields(whole) if getattr(rest, each.name) == getattr(whole, each.name)}


class TestBeginning:
    def test_without_content_it_says_whose_when_and_where(self) -> None:
        begun = filled(
            Beginning,
            items=[Item("message", b'{"text":"zebra"}')],
            settings=b'{"model":"m","instructions":"zebra"}',
            settings_hash=jsontext.digest(b"zebra"),
            metadata=b'{"zebra":"zebra"}',
            extras=b'{"prompt_cache_key":"zebra"}',
        )
        assert kept(begun) == {
            "id", "conversation_id", "parent_id", "lane", "depth", "stored", "requested_model", "created_at",
            "api_key_id", "request_id", "origin", "origin_id", "linked", "tip_id",
        }  # fmt: skip
        rest = begun.without_content()
        assert (rest.settings, rest.settings_hash) == (b"{}", jsontext.digest(b"{}"))
        assert "zebra" not in repr(rest)
        assert rest.without_content() == rest


class TestEnding:
    def test_without_content_it_says_how_and_what_it_took(self) -> None:
        ended = filled(
            Ending,
            status="failed",
            completed_at=NOW,
            output=[Item("message", b'{"text":"zebra"}')],
            reply=b'{"zebra":"zebra"}',
            error={"code": "server_error", "message": "zebra"},
            usage=Usage(1, 0, 0, 2, 0, 3),
            entry=filled(Entry, user="zebra"),
        )
        assert kept(ended) == {
            "status", "completed_at", "model", "upstream", "upstream_response_id", "incomplete_reason", "attempts",
            "usage", "reported_usage", "first_event_at",
        }  # fmt: skip
        rest = ended.without_content()
        assert rest.error == {"code": "server_error"}
        assert rest.entry == filled(Entry, user=None)
        assert "zebra" not in repr(rest)

    def test_one_without_an_error_stays_without(self) -> None:
        assert Ending("completed", NOW).without_content() == Ending("completed", NOW)
        assert Ending("completed", NOW).reply == exchange.NOTHING
