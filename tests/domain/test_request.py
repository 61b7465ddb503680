"""A create request: what repeats with every turn stands apart from what does not."""

import json
from typing import Any

import pytest

from convstore.domain import jsontext, request
from convstore.domain.request import CreateRequest


def made(**members: Any) -> CreateRequest:
    return request.of_members(jsontext.members(json.dumps(members)), ())


class TestOfMembers:
    def test_null_is_not_given(self) -> None:
        asked = made(model="m", temperature=None, stream=None, store=None)
        assert set(asked.members) == {"model"}
        assert (asked.stream, asked.store, asked.truncates, asked.previous_response_id) == (
            False,
            True,
            False,
            None,
        )

    def test_settings_are_the_same_turn_after_turn(self) -> None:
        agent = {"model": "m", "instructions": "Be brief.", "tools": [{"type": "function", "name": "add"}]}
        first = made(**agent, input="1?", metadata={"turn": "1"}, user="u")
        second = made(**agent, input="2?", previous_response_id="resp_1", store=False, stream=True)
        assert first.settings == second.settings
        assert first.settings_hash == second.settings_hash
        assert first.settings_hash != made(**{**agent, "model": "n"}).settings_hash

    def test_they_keep_their_spelling(self) -> None:
        asked = request.of_members(jsontext.members('{"model":"m", "temperature":1.50 , "x":{ }}'), ())
        assert asked.settings == b'{"model":"m","temperature":1.50,"x":{ }}'

    def test_extras_have_no_column(self) -> None:
        asked = made(model="m", prompt_cache_key="k", client_metadata={"a": "b"}, user="u")
        assert json.loads(asked.extras() or b"") == {"prompt_cache_key": "k", "client_metadata": {"a": "b"}}
        assert made(model="m").extras() is None

    def test_a_member_is_read_as_value_and_as_text(self) -> None:
        asked = made(model="m", metadata={"a": "b"})
        assert asked.value("metadata") == {"a": "b"}
        assert asked.text("metadata") == b'{"a": "b"}'
        assert asked.value("user", "nobody") == "nobody"
        assert asked.text("user") is None


class TestSecrets:
    SECRET = "ya29-secret"

    @pytest.mark.parametrize("spelled", ["mcp", "m\\u0063p"])
    def test_those_of_an_mcp_tool_are_not_stored(self, spelled: str) -> None:
        tool = {
            "server_label": "x",
            "authorization": self.SECRET,
            "headers": {"X-Key": self.SECRET, "Y": "z"},
        }
        text = json.dumps({"model": "m", "tools": [{"type": "MCP", **tool}, {"type": "function", "name": "a"}]})
        asked = request.of_members(jsontext.members(text.replace("MCP", spelled)), ())
        assert self.SECRET.encode() not in asked.settings
        kept = json.loads(asked.settings)["tools"]
        assert kept[0]["authorization"] == "<redacted>"
        assert kept[0]["headers"] == {"X-Key": "<redacted>", "Y": "<redacted>"}
        assert kept[1] == {"type": "function", "name": "a"}

    def test_they_do_go_upstream(self) -> None:
        asked = made(model="m", tools=[{"type": "mcp", "server_label": "x", "authorization": self.SECRET}])
        assert self.SECRET.encode() in (asked.text("tools") or b"")
