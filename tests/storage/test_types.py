"""Column types: the same on every engine, to the microsecond and to the byte."""

import os
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from convstore import ids
from convstore.storage import tables, types
from convstore.storage.database import Database
from tests.domain.strategies import quick

moments = st.datetimes(
    min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.timezones() | st.just(UTC)
)
# One database for all examples; each adds a row of its own.
shared = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class TestUtc:
    @given(moments)
    @quick
    def test_a_moment_survives_to_the_microsecond(self, moment: datetime) -> None:
        back = types.from_micros(types.micros(moment))
        assert back == moment.astimezone(UTC)
        assert back.tzinfo is UTC

    def test_a_naive_one_is_a_mistake(self) -> None:
        with pytest.raises(TypeError):
            types.micros(datetime(2026, 1, 1))

    @shared
    @given(moments)
    def test_every_engine_gives_back_what_it_got(self, database: Database, moment: datetime) -> None:
        own = ids.new(ids.PROJECT)
        with database.transaction() as connection:
            connection.execute(insert(tables.projects).values(id=own, name=os.urandom(8).hex(), created_at=moment))
            found = connection.execute(
                select(tables.projects.c.created_at).where(tables.projects.c.id == own)
            ).scalar_one()
        assert (found, found.tzinfo) == (moment.astimezone(UTC), UTC)

    def test_moments_are_compared_as_moments(self, database: Database) -> None:
        """Whatever zone they were written in."""
        noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
        eastern = noon.astimezone(timezone(timedelta(hours=-5))) - timedelta(microseconds=1)
        made = [ids.new(ids.PROJECT) for _ in range(2)]
        _p = tables.projects
        with database.transaction() as connection:
            for own, moment in zip(made, (noon, eastern), strict=True):
                connection.execute(insert(_p).values(id=own, name=os.urandom(8).hex(), created_at=moment))
            query = select(_p.c.id).where(_p.c.id.in_(made), _p.c.created_at < noon)
            assert connection.execute(query).scalars().all() == made[1:]


class TestId:
    def test_the_prefix_stays_outside(self, database: Database) -> None:
        own = ids.new(ids.PROJECT)
        with database.transaction() as connection:
            now = datetime(2026, 1, 1, tzinfo=UTC)
            connection.execute(insert(tables.projects).values(id=own, name=os.urandom(8).hex(), created_at=now))
            packed = ids.pack(ids.PROJECT, own)
            mark = "?" if database.is_sqlite else "%s"
            stored = connection.exec_driver_sql(f"SELECT id FROM projects WHERE id = {mark}", (packed,)).scalar_one()
            assert bytes(stored) == packed
            assert (
                connection.execute(select(tables.projects.c.id).where(tables.projects.c.id == own)).scalar_one() == own
            )

    @pytest.mark.parametrize(
        "stranger", ["", "proj_", "proj_1", "resp_" + "0" * 32, "proj_" + "G" * 32, "\0", "ü" * 99]
    )
    def test_an_id_of_another_form_matches_nothing(self, database: Database, stranger: str) -> None:
        with database.connection() as connection:
            assert connection.execute(select(tables.projects).where(tables.projects.c.id == stranger)).first() is None


class TestBody:
    @given(st.binary(max_size=300))
    @quick
    def test_small_ones_are_left_alone(self, body: bytes) -> None:
        if not body.startswith(b"\x28\xb5\x2f\xfd"):  # no JSON begins like a zstd frame
            assert types.inflate(types.deflate(body)) == body
            assert types.deflate(body) == body

    def test_big_ones_are_compressed_when_that_pays(self) -> None:
        text = b'{"text":"' + b"the same again " * 1000 + b'"}'
        assert len(types.deflate(text)) < len(text) / 10
        noise = b'{"data":"' + os.urandom(8000).hex().encode()[:8000] + b'"}'
        for body in (text, noise, os.urandom(10_000)):
            assert types.inflate(types.deflate(body)) == body
        assert types.deflate(os.urandom(10_000)).startswith(b"\x28\xb5\x2f\xfd") is False

    @shared
    @given(st.binary(max_size=64).map(lambda head: b'{"x":"' + head + b'"}'), st.integers(0, 6000))
    def test_every_engine_gives_every_byte_back(self, database: Database, head: bytes, padding: int) -> None:
        body = head + b" " * padding
        own = ids.new(ids.EXCHANGE)
        with database.transaction() as connection:
            connection.execute(insert(tables.journal).values(exchange_id=own, part=0, events=body))
            query = select(tables.journal.c.events).where(tables.journal.c.exchange_id == own)
            assert connection.execute(query).scalar_one() == body

    def test_nul_and_half_pairs_are_bytes_like_others(self, database: Database) -> None:
        own = ids.new(ids.EXCHANGE)
        body = b'"\\u0000 \0 \xed\xa0\x80"'
        with database.transaction() as connection:
            connection.execute(insert(tables.journal).values(exchange_id=own, part=0, events=body))
            query = select(tables.journal.c.events).where(tables.journal.c.exchange_id == own)
            assert connection.execute(query).scalar_one() == body
