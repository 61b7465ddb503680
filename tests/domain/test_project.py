"""What a project has chosen."""

import json

from convstore.domain.project import ProjectSettings, settings_of


class TestDiscards:
    def test_only_what_is_not_to_be_stored_and_only_where_that_was_chosen(self) -> None:
        keeping, discarding = ProjectSettings(), ProjectSettings("discard")
        assert not keeping.discards(stored=True)
        assert not keeping.discards(stored=False)
        assert not discarding.discards(stored=True)
        assert discarding.discards(stored=False)

    def test_a_choice_of_another_version_is_no_leave_to_keep(self) -> None:
        assert settings_of('{"unstored":"sealed"}').discards(stored=False)


class TestJson:
    def test_nothing_said_is_the_default(self) -> None:
        assert settings_of("{}") == ProjectSettings("keep")

    def test_it_is_read_as_it_was_written(self) -> None:
        chosen = ProjectSettings("discard")
        assert settings_of(chosen.as_json()) == chosen

    def test_what_this_version_does_not_know_is_kept(self) -> None:
        text = '{"colour":{"name":"blue"},"unstored":"discard","background_retry":"yes"}'
        assert json.loads(settings_of(text).as_json()) == json.loads(text)
