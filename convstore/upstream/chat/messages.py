"""Items of a conversation, told as chat messages.

Everything the assistant did between two messages of others becomes one assistant message, text and calls
together, and each tool output stands right behind the message that called for it, wherever it stood among
the items: Chat Completions refuses any other order.

Dropped by design: item ids, statuses, phases; reasoning where the upstream does not want it
back; lists of tools (mcp_list_tools, tool_search_*), and configuration_update. Source: docs/api.md, dialects.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from convstore.domain import jsontext
from convstore.errors import InvalidRequest, UnsupportedParameter
from convstore.upstream.chat.flavour import Flavour
from convstore.upstream.chat.names import Names
from convstore.upstream.chat.parts import Json, content_of, kind_of, output_of, parts_of, text_of
from convstore.upstream.chat.words import role_of, words_of

_SILENT = frozenset({"configuration_update", "mcp_list_tools", "tool_search_call", "tool_search_output"})
_IMPOSSIBLE = frozenset({"additional_tools", "compaction", "compaction_trigger"})
_CALLS = frozenset({"function_call", "custom_tool_call"})


def messages_of(
    instructions: str | None,
    items: Sequence[Mapping[str, Any]],
    flavour: Flavour,
    names: Names,
    *,
    tools: bool,
    thinks: bool,
) -> list[Json]:
    """Chat messages for the *items*, oldest first, behind the *instructions*.

    *names* are what the request's tools are called. *tools* says that the request offers any, *thinks* that the
    model may think. Raises InvalidRequest, and UnsupportedParameter with param `input` for what cannot be told.
    """
    in_play = tools or any(kind_of(item) in _CALLS for item in items)
    script = _Script(flavour, names, returns_thoughts=flavour.thinking and thinks and in_play)
    if instructions:
        script.order("developer", instructions)
    for item in items:
        script.add(item)
    return script.messages()


class _Script:
    """The messages so far, in turns: a message, and behind an assistant's the outputs of its calls."""

    def __init__(self, flavour: Flavour, names: Names, *, returns_thoughts: bool) -> None:
        self._flavour = flavour
        self._names = names
        self._returns_thoughts = returns_thoughts
        self._thoughts: list[str] = []
        self._turns: list[list[Json]] = []
        self._turn_of: dict[str, list[Json]] = {}

    def messages(self) -> list[Json]:
        return [message for turn in self._turns for message in turn]

    def add(self, item: Mapping[str, Any]) -> None:
        """Take in the next item, whatever it is."""
        match item.get("type"):
            case None | "message":
                self._message(item)
            case "function_call":
                self._call(item, item.get("arguments") or "{}")
            case "custom_tool_call":
                self._call(item, jsontext.dumps({"input": item.get("input") or ""}).decode())
            case "function_call_output" | "custom_tool_call_output":
                self._output(item)
            case "reasoning":
                self._think(item)
            case kind:
                self._other(str(kind), item)

    def order(self, role: str, content: object) -> None:
        """A system or developer message, which is text only."""
        known = role == "system" or self._flavour.developer_role
        self._turn({"role": role if known else "system", "content": text_of(content, role)})

    def _message(self, item: Mapping[str, Any]) -> None:
        content = item.get("content")
        match item.get("role"):
            case "user":
                self._turn({"role": "user", "content": content_of(content)})
            case "system" | "developer" as role:
                self.order(role, content)
            case "assistant":
                self._answer(content)
            case role:
                raise InvalidRequest(
                    f"Invalid value: '{role}'. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
                    param="input",
                    code="invalid_value",
                )

    def _answer(self, content: object) -> None:
        """The assistant's words. A refusal has a field of its own at OpenAI; elsewhere it would get lost."""
        parts = parts_of(content)
        refusals = [part for part in parts if self._flavour.openai_extras and part.get("type") == "refusal"]
        said = [part for part in parts if part not in refusals]
        self._tell("content", text_of(said, "assistant"))
        self._tell("refusal", text_of(refusals, "assistant"))

    def _tell(self, field: str, text: str) -> None:
        """Add *text* to the assistant's message; saying nothing makes no message."""
        if text:
            message = self._assistant()
            message[field] = f"{message[field]}\n{text}" if message.get(field) else text

    def _call(self, item: Mapping[str, Any], arguments: str) -> None:
        call_id = item.get("call_id") or ""
        name = self._names.told(item.get("name") or "", item.get("namespace"))
        call = {"name": name, "arguments": arguments}
        calls = self._assistant().setdefault("tool_calls", [])
        calls.append({"id": call_id, "type": "function", "function": call})
        self._turn_of[call_id] = self._turns[-1]

    def _output(self, item: Mapping[str, Any]) -> None:
        call_id = item.get("call_id") or ""
        message = {"role": "tool", "tool_call_id": call_id, "content": output_of(item.get("output"))}
        if turn := self._turn_of.get(call_id):
            turn.append(message)
        else:
            self._turn(message)

    def _think(self, item: Mapping[str, Any]) -> None:
        if self._returns_thoughts:
            told = text_of(item.get("content"), "reasoning")
            self._thoughts.append(told or text_of(item.get("summary"), "reasoning"))

    def _other(self, kind: str, item: Mapping[str, Any]) -> None:
        if kind in _IMPOSSIBLE:
            raise UnsupportedParameter(
                f"An item of type '{kind}' cannot be shown to this model's upstream.", param="input"
            )
        if kind in _SILENT:
            return
        if role_of(kind) == "user":
            self._turn({"role": "user", "content": words_of(item)})
        else:
            self._tell("content", words_of(item))

    def _turn(self, message: Json) -> None:
        self._thoughts.clear()
        self._turns.append([message])

    def _assistant(self) -> Json:
        """The assistant message that is still open, or a new one. Thoughts kept so far go with it."""
        turn = self._turns[-1] if self._turns else []
        if len(turn) != 1 or turn[0]["role"] != "assistant":
            turn = [{"role": "assistant", "content": None}]
            self._turns.append(turn)
        if self._returns_thoughts:
            # "" where nobody knows the thoughts: DeepSeek refuses a missing field, on every assistant
            # message.
            thoughts = [turn[0].get("reasoning_content", ""), *self._thoughts]
            turn[0]["reasoning_content"] = "\n".join(filter(None, thoughts))
            self._thoughts.clear()
        return turn[0]
