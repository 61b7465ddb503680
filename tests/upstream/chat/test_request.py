"""The story of request.py: a Responses request and its context become a chat request."""

import orjson
import pytest
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam
from pydantic import TypeAdapter

from convstore.errors import InvalidRequest, UnsupportedParameter
from convstore.upstream.chat import Flavour, chat_request, flavour_of, names_of, response_of
from convstore.upstream.chat.names import Tool

from .helpers import completion

OPENAI = Flavour("max_completion_tokens", developer_role=True, openai_extras=True)
DEEPSEEK = Flavour(thinking=True)
PLAIN = Flavour()
HELLO = {"role": "user", "content": "Hello"}
ADD = {
    "type": "function",
    "name": "add",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}},
    "strict": True,
    "defer_loading": False,
}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Patches."}
DOCS = {"type": "namespace", "name": "docs", "description": "Of the docs.", "tools": [ADD, PATCH]}


def messages(*items, flavour=PLAIN, **settings):
    return chat_request({"model": "m", **settings}, items, stream=False, flavour=flavour)["messages"]


def request(flavour=PLAIN, *, stream=False, **settings):
    """The chat request without its messages."""
    told = chat_request({"model": "m", **settings}, [HELLO], stream=stream, flavour=flavour)
    assert told.pop("messages")[-1] == HELLO
    return told


def spoken(text, **more):
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [part],
        **more,
    }


def called(call_id, name="add", arguments='{"x":1}'):
    return {"type": "function_call", "id": "fc_1", "call_id": call_id, "name": name, "arguments": arguments}


def returned(call_id, output="1"):
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def thought(text, **more):
    content = [{"type": "reasoning_text", "text": text}]
    return {"type": "reasoning", "id": "rs_1", "summary": [], "content": content, **more}


def chat_call(call_id, name="add", arguments='{"x":1}'):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def chat_output(call_id, content="1"):
    return {"role": "tool", "tool_call_id": call_id, "content": content}


class TestFlavourOf:
    @pytest.mark.parametrize(
        "url",
        [
            "https://api.openai.com/v1",
            "https://eu.api.openai.com/v1",
            "https://acme.openai.azure.com/openai/v1",
        ],
    )
    def test_openai_wants_its_own_names(self, url):
        assert flavour_of(url, "gpt-5.4") == OPENAI

    @pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1-mini", "ft:gpt-4o:acme", "gpt-3.5-turbo", "o1-mini"])
    def test_openais_older_models_do_not_know_developers(self, model):
        assert not flavour_of("https://api.openai.com/v1", model).developer_role

    def test_deepseek_thinks(self):
        assert flavour_of("https://api.deepseek.com", "deepseek-v4-pro") == DEEPSEEK

    @pytest.mark.parametrize(
        "url", ["http://127.0.0.1:8080/v1", "https://openrouter.ai/api/v1", "https://notopenai.com/v1", ""]
    )
    def test_all_others_are_plain(self, url):
        assert flavour_of(url, "gpt-5.4") == PLAIN


class TestTellMessages:
    def test_instructions_come_first(self):
        assert messages(HELLO, instructions="Be brief.") == [
            {"role": "system", "content": "Be brief."},
            HELLO,
        ]

    def test_instructions_are_the_developers_where_that_role_is_known(self):
        told = messages(HELLO, instructions="Be brief.", flavour=OPENAI)
        assert told[0] == {"role": "developer", "content": "Be brief."}

    @pytest.mark.parametrize(("flavour", "role"), [(PLAIN, "system"), (OPENAI, "developer")])
    def test_developers_are_system_where_that_role_is_unknown(self, flavour, role):
        parts = [{"type": "input_text", "text": "Be"}, {"type": "input_text", "text": "brief."}]
        told = messages({"type": "message", "role": "developer", "content": parts}, HELLO, flavour=flavour)
        assert told[0] == {"role": role, "content": "Be\nbrief."}

    def test_system_stays_system(self):
        assert messages({"role": "system", "content": "Be brief."}, flavour=OPENAI)[0]["role"] == "system"

    def test_text_parts_become_a_plain_string(self):
        parts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
        assert messages({"role": "user", "content": parts}) == [{"role": "user", "content": "a\nb"}]

    @pytest.mark.parametrize("content", [None, "", []])
    def test_a_user_may_say_nothing(self, content):
        assert messages({"role": "user", "content": content}) == [{"role": "user", "content": ""}]

    def test_images_files_and_sound_become_chat_parts(self):
        parts = [
            {"type": "input_text", "text": "See", "prompt_cache_breakpoint": {"mode": "explicit"}},
            {"type": "input_image", "image_url": "https://a.example/a.png", "detail": "original"},
            {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": None},
            {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
            {"type": "input_file", "file_id": "file-1", "file_data": None},
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        ]
        assert messages({"role": "user", "content": parts})[0]["content"] == [
            {"type": "text", "text": "See"},
            {"type": "image_url", "image_url": {"url": "https://a.example/a.png", "detail": "high"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        ]

    @pytest.mark.parametrize(
        "part",
        [
            {"type": "input_image", "file_id": "file-1"},
            {"type": "input_file", "file_url": "https://a.example/a.pdf"},
        ],
    )
    def test_what_chat_cannot_show_is_unsupported(self, part):
        with pytest.raises(UnsupportedParameter) as refused:
            messages({"role": "user", "content": [part]})
        assert refused.value.param == "input"

    @pytest.mark.parametrize("role", ["user", "assistant", "system"])
    def test_a_part_of_unknown_type_is_invalid(self, role):
        with pytest.raises(InvalidRequest, match="'hologram'"):
            messages({"role": role, "content": [{"type": "hologram"}]})

    @pytest.mark.parametrize("content", [5, ["text"], [{"type": "input_text", "text": 5}]])
    def test_content_of_the_wrong_type_is_invalid(self, content):
        with pytest.raises(InvalidRequest):
            messages({"role": "user", "content": content})

    @pytest.mark.parametrize("role", ["system", "developer", "assistant"])
    def test_only_users_show_images(self, role):
        with pytest.raises(UnsupportedParameter, match=role):
            messages({"role": role, "content": [{"type": "input_image", "image_url": "https://a.example/a.png"}]})

    @pytest.mark.parametrize("item", [{"role": "critic", "content": "Bad."}, {"id": "msg_1"}, {}])
    def test_an_unknown_role_is_invalid(self, item):
        with pytest.raises(InvalidRequest):
            messages(item)

    def test_the_assistants_parts_are_joined(self):
        item = spoken("a")
        item["content"].append({"type": "output_text", "text": "b"})
        assert messages(item) == [{"role": "assistant", "content": "a\nb"}]

    def test_the_assistants_words_may_be_a_string(self):
        assert messages({"role": "assistant", "content": "a"}) == [{"role": "assistant", "content": "a"}]

    def test_an_assistant_that_says_nothing_is_left_out(self):
        assert messages(HELLO, spoken(""), {"role": "assistant", "content": []}, HELLO) == [HELLO, HELLO]

    def test_neighbouring_words_of_the_assistant_are_one_message(self):
        told = messages(spoken("Let me see.", phase="commentary"), spoken("Done.", phase="final_answer"))
        assert told == [{"role": "assistant", "content": "Let me see.\nDone."}]

    def test_a_refusal_has_its_own_field_at_openai(self):
        item = {"role": "assistant", "content": [{"type": "refusal", "refusal": "I can't."}]}
        assert messages(item, flavour=OPENAI) == [{"role": "assistant", "content": None, "refusal": "I can't."}]

    def test_a_refusal_is_text_elsewhere(self):
        item = {"role": "assistant", "content": [{"type": "refusal", "refusal": "I can't."}]}
        assert messages(item) == [{"role": "assistant", "content": "I can't."}]

    def test_settings_and_items_are_left_as_they_were(self):
        items = [HELLO, spoken("a"), called("call_a"), returned("call_a")]
        settings = {"model": "m", "tools": [ADD], "tool_choice": "auto"}
        before = repr((items, settings))
        chat_request(settings, items, stream=True, flavour=OPENAI)
        assert repr((items, settings)) == before


class TestTellCalls:
    def test_calls_and_the_words_around_them_are_one_message(self):
        assert messages(HELLO, spoken("Let me see."), called("call_a"), called("call_b"), spoken("So."), HELLO) == [
            HELLO,
            {
                "role": "assistant",
                "content": "Let me see.\nSo.",
                "tool_calls": [chat_call("call_a"), chat_call("call_b")],
            },
            HELLO,
        ]

    def test_calls_alone_have_no_content(self):
        assert messages(called("call_a"))[0]["content"] is None

    @pytest.mark.parametrize("arguments", [None, ""])
    def test_no_arguments_are_an_empty_object(self, arguments):
        told = messages(called("call_a", arguments=arguments))
        assert told[0]["tool_calls"] == [chat_call("call_a", arguments="{}")]

    def test_outputs_stand_behind_their_calls(self):
        told = messages(called("call_a"), called("call_b"), returned("call_b", "2"), returned("call_a"), spoken("So."))
        assert told[1:] == [
            chat_output("call_b", "2"),
            chat_output("call_a"),
            {"role": "assistant", "content": "So."},
        ]

    def test_an_output_that_comes_late_is_moved_behind_its_call(self):
        told = messages(called("call_a"), HELLO, returned("call_a"), HELLO)
        assert [message["role"] for message in told] == ["assistant", "tool", "user", "user"]

    def test_a_call_after_an_output_begins_a_new_message(self):
        told = messages(called("call_a"), returned("call_a"), called("call_b"), returned("call_b"))
        assert [message["role"] for message in told] == ["assistant", "tool", "assistant", "tool"]

    def test_an_output_without_a_call_stays_where_it_was(self):
        assert messages(HELLO, returned("call_z"), HELLO) == [HELLO, chat_output("call_z"), HELLO]

    def test_an_output_in_parts_becomes_text_with_placeholders(self):
        output = [
            {"type": "input_text", "text": "Found:"},
            {"type": "input_text", "text": ""},
            {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
            {"type": "input_file", "file_id": "file-1", "filename": "a.pdf"},
        ]
        assert messages(returned("call_a", output)) == [chat_output("call_a", "Found:\n\n[image]\n[file: a.pdf]")]

    @pytest.mark.parametrize(("output", "text"), [(None, ""), ("", ""), ([], ""), ({"x": 1}, '{"x":1}')])
    def test_an_output_of_any_shape_becomes_text(self, output, text):
        assert messages(returned("call_a", output)) == [chat_output("call_a", text)]

    def test_an_output_part_of_unknown_type_is_invalid(self):
        with pytest.raises(InvalidRequest, match="'hologram'"):
            messages(returned("call_a", [{"type": "hologram"}]))

    def test_custom_calls_become_calls_with_one_input(self):
        call = {"type": "custom_tool_call", "call_id": "call_p", "name": "apply_patch", "input": '"a"\n'}
        output = {"type": "custom_tool_call_output", "call_id": "call_p", "output": "Done"}
        told = messages(call, output)
        assert told[0]["tool_calls"] == [chat_call("call_p", "apply_patch", '{"input":"\\"a\\"\\n"}')]
        assert told[1] == chat_output("call_p", "Done")

    def test_calls_of_a_namespace_go_under_its_functions_names(self):
        custom = {"type": "custom_tool_call", "call_id": "call_p", "name": "apply_patch", "input": "x"}
        items = [called("call_a") | {"namespace": "docs"}, custom | {"namespace": "docs"}, called("call_b")]
        (told,) = messages(*items, tools=[ADD, DOCS])
        names = [call["function"]["name"] for call in told["tool_calls"]]
        assert names == ["docs__add", "docs__apply_patch", "add"]

    def test_so_they_do_when_the_tools_are_gone(self):
        (told,) = messages(called("call_a") | {"namespace": "docs"})
        assert told["tool_calls"][0]["function"]["name"] == "docs__add"

    def test_but_not_under_the_name_of_another_tool(self):
        other = ADD | {"name": "docs__add"}
        (told,) = messages(called("call_a") | {"namespace": "docs"}, tools=[other])
        assert told["tool_calls"][0]["function"]["name"] not in ("docs__add", "add")

    @pytest.mark.parametrize("namespace", [None, "", 5])
    def test_no_namespace_is_none(self, namespace):
        (told,) = messages(called("call_a") | {"namespace": namespace})
        assert told["tool_calls"] == [chat_call("call_a")]


class TestReturnThoughts:
    def test_thoughts_are_dropped_by_default(self):
        told = messages(thought("Hm"), called("call_a"), returned("call_a"), tools=[ADD])
        assert "reasoning_content" not in told[0]

    def test_deepseek_gets_its_thoughts_back_with_the_calls(self):
        told = messages(HELLO, thought("Hm"), spoken("Wait."), called("call_a"), returned("call_a"), flavour=DEEPSEEK)
        assert told[1] == {
            "role": "assistant",
            "content": "Wait.",
            "reasoning_content": "Hm",
            "tool_calls": [chat_call("call_a")],
        }

    def test_each_message_gets_its_own_thoughts(self):
        turn = [
            thought("a"),
            called("call_a"),
            returned("call_a"),
            thought("b"),
            called("call_b"),
            returned("call_b"),
        ]
        told = messages(HELLO, *turn, thought("c"), spoken("So."), HELLO, flavour=DEEPSEEK)
        assert [message.get("reasoning_content") for message in told] == [
            None,
            "a",
            None,
            "b",
            None,
            "c",
            None,
        ]

    def test_unknown_thoughts_are_empty_since_a_missing_field_is_refused(self):
        told = messages(spoken("Hi"), HELLO, called("call_a"), returned("call_a"), flavour=DEEPSEEK)
        assert [told[0]["reasoning_content"], told[2]["reasoning_content"]] == ["", ""]

    def test_a_summary_stands_in_for_missing_content(self):
        item = thought("", content=None, summary=[{"type": "summary_text", "text": "Hm"}])
        assert messages(item, called("call_a"), flavour=DEEPSEEK)[0]["reasoning_content"] == "Hm"

    def test_without_tools_there_are_no_thoughts(self):
        told = messages(HELLO, thought("Hm"), spoken("Hi"), HELLO, flavour=DEEPSEEK)
        assert not any("reasoning_content" in message for message in told)

    def test_offered_tools_are_enough(self):
        told = messages(HELLO, thought("Hm"), spoken("Hi"), HELLO, flavour=DEEPSEEK, tools=[ADD])
        assert told[1]["reasoning_content"] == "Hm"

    def test_a_model_told_not_to_think_gets_no_thoughts(self):
        items = [thought("Hm"), called("call_a"), returned("call_a")]
        assert "reasoning_content" not in messages(*items, flavour=DEEPSEEK, reasoning={"effort": "none"})[0]

    def test_thoughts_that_led_to_nothing_are_dropped(self):
        told = messages(thought("lost"), HELLO, called("call_a"), flavour=DEEPSEEK)
        assert told[1]["reasoning_content"] == ""

    def test_a_recorded_reply_goes_back_as_it_came(self):
        reply = completion("deepseek_thinking_call")
        output = response_of(reply)["output"]
        (told,) = messages(*output, flavour=DEEPSEEK)
        message = reply["choices"][0]["message"]
        for call in message["tool_calls"]:
            del call["index"]
        assert told == message


class TestPutIntoWords:
    def test_what_the_assistant_did_is_the_assistants(self):
        search = {
            "type": "web_search_call",
            "id": "ws_1",
            "status": "completed",
            "action": {"type": "search", "query": "Oslo"},
        }
        assert messages(HELLO, search, spoken("It rains.")) == [
            HELLO,
            {
                "role": "assistant",
                "content": '[web_search_call]\naction: {"type":"search","query":"Oslo"}\nIt rains.',
            },
        ]

    def test_what_the_client_answered_is_the_users(self):
        output = {
            "type": "shell_call_output",
            "call_id": "call_s",
            "output": [{"stdout": "ok", "stderr": ""}],
        }
        assert messages(output) == [
            {"role": "user", "content": '[shell_call_output]\noutput: [{"stdout":"ok","stderr":""}]'}
        ]

    def test_an_mcp_call_tells_its_output(self):
        item = {
            "type": "mcp_call",
            "id": "mcp_1",
            "server_label": "docs",
            "name": "find",
            "arguments": '{"q":"x"}',
            "output": "Nothing.",
            "error": None,
            "approval_request_id": "mcpr_1",
        }
        text = '[mcp_call]\nserver_label: docs\nname: find\narguments: {"q":"x"}\noutput: Nothing.'
        assert messages(item) == [{"role": "assistant", "content": text}]

    def test_an_item_of_the_future_tells_all_but_its_bookkeeping(self):
        item = {
            "type": "dream_call",
            "id": "d_1",
            "status": "completed",
            "encrypted_content": "x",
            "about": "sheep",
        }
        assert messages(item) == [{"role": "assistant", "content": "[dream_call]\nabout: sheep"}]

    def test_pictures_leave_no_base64(self):
        shot = {"type": "computer_screenshot", "image_url": "data:image/png;base64,iVBORw0KGgo="}
        screenshot = {"type": "computer_call_output", "call_id": "call_c", "output": shot}
        drawing = {"type": "image_generation_call", "result": "iVBORw0KGgo=", "revised_prompt": "A sheep"}
        text = orjson.dumps(messages(screenshot, drawing)).decode()
        assert "iVBOR" not in text
        assert "data:image/png;…" in text and "A sheep" in text

    @pytest.mark.parametrize(
        "kind", ["mcp_list_tools", "tool_search_call", "tool_search_output", "configuration_update"]
    )
    def test_lists_and_settings_are_left_out(self, kind):
        assert messages(HELLO, {"type": kind, "tools": [ADD], "reasoning": {"effort": "low"}}) == [HELLO]

    @pytest.mark.parametrize("kind", ["compaction", "compaction_trigger", "additional_tools"])
    def test_what_would_be_lost_is_unsupported(self, kind):
        with pytest.raises(UnsupportedParameter, match=kind) as refused:
            messages(HELLO, {"type": kind, "encrypted_content": "x"})
        assert refused.value.param == "input"


class TestChatRequest:
    def test_it_is_what_the_sdk_would_send(self):
        picture = {"type": "input_image", "image_url": "https://a.example/a.png", "detail": "auto"}
        custom = {"type": "custom_tool_call", "call_id": "call_p", "name": "apply_patch", "input": "x"}
        refused = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
        items = [
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "input_text", "text": "See"}, picture]},
            *(spoken("Let me see."), called("call_a"), custom, returned("call_a")),
            {"type": "custom_tool_call_output", "call_id": "call_p", "output": "Done"},
            *(refused, HELLO),
        ]
        settings = {"model": "m", "instructions": "Be brief.", "tools": [ADD, PATCH]}
        told = chat_request(settings, items, stream=False, flavour=OPENAI)
        assert check(ChatCompletionMessageParam, told["messages"]) == told["messages"]
        assert check(ChatCompletionFunctionToolParam, told["tools"]) == told["tools"]


def check(kind, values):
    """The values as the SDK's type reads them, whose lists come out as iterators."""
    adapter = TypeAdapter(kind)
    return [plain(adapter.validate_python(value)) for value in values]


def plain(value):
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return value if isinstance(value, str | int | float | None) else [plain(inner) for inner in value]


class TestTellTools:
    def test_a_function_moves_into_its_own_object(self):
        function = {name: ADD[name] for name in ("name", "description", "parameters", "strict")}
        assert request(tools=[ADD])["tools"] == [{"type": "function", "function": function}]

    def test_what_is_null_is_left_out(self):
        tool = {"type": "function", "name": "now", "description": None, "parameters": None, "strict": None}
        function = {"name": "now", "parameters": {"type": "object", "properties": {}}}
        assert request(tools=[tool])["tools"] == [{"type": "function", "function": function}]

    def test_a_custom_tool_becomes_a_function_of_one_text(self):
        (tool,) = request(tools=[PATCH])["tools"]
        assert tool["type"] == "function"
        assert tool["function"]["name"] == "apply_patch"
        assert tool["function"]["parameters"]["required"] == ["input"]
        assert tool["function"]["parameters"]["properties"]["input"]["type"] == "string"

    def test_a_custom_tools_grammar_is_told_in_words(self):
        form = {"type": "grammar", "syntax": "lark", "definition": "start: begin end"}
        (tool,) = request(tools=[PATCH | {"format": form}])["tools"]
        description = tool["function"]["parameters"]["properties"]["input"]["description"]
        assert "lark" in description and "start: begin end" in description

    def test_a_namespace_becomes_the_functions_in_it(self):
        add, patch, inner, custom = (tool["function"] for tool in request(tools=[ADD, PATCH, DOCS])["tools"])
        assert inner == add | {"name": "docs__add", "description": "Of the docs.\nAdds."}
        assert custom == patch | {"name": "docs__apply_patch", "description": "Of the docs.\nPatches."}

    def test_a_namespace_may_have_no_description_and_no_tools(self):
        bare = {"type": "namespace", "name": "docs", "tools": [ADD]}
        (tool,) = request(tools=[bare, {"type": "namespace", "name": "empty"}])["tools"]
        assert tool["function"]["description"] == "Adds."

    @pytest.mark.parametrize("kind", ["web_search", "namespace"])
    def test_a_hosted_tool_in_a_namespace_is_unsupported_by_name(self, kind):
        with pytest.raises(UnsupportedParameter, match=f"'{kind}'") as refused:
            request(tools=[ADD, DOCS | {"tools": [ADD, {"type": kind, "name": "n"}]}])
        assert refused.value.param == "tools[1].tools[1].type"

    @pytest.mark.parametrize(
        ("wrong", "param"),
        [
            ({"name": None}, "tools[0].name"),
            ({"name": 5}, "tools[0].name"),
            ({"tools": [{"type": "function"}]}, "tools[0].tools[0].name"),
            ({"tools": "noise"}, "tools[0].tools"),
            ({"tools": ["noise"]}, "tools[0].tools"),
        ],
    )
    def test_a_namespace_that_is_none_is_invalid(self, wrong, param):
        with pytest.raises(InvalidRequest) as refused:
            request(tools=[DOCS | wrong])
        assert refused.value.param == param

    @pytest.mark.parametrize("kind", ["web_search", "file_search", "mcp", "computer", "tool_search"])
    def test_a_hosted_tool_is_unsupported_by_name(self, kind):
        with pytest.raises(UnsupportedParameter, match=f"'{kind}'") as refused:
            request(tools=[ADD, PATCH, {"type": kind}])
        assert refused.value.param == "tools[2].type"

    def test_a_tool_without_a_name_is_invalid(self):
        with pytest.raises(InvalidRequest) as refused:
            request(tools=[ADD, {"type": "function", "function": ADD}])
        assert refused.value.param == "tools[1].name"

    @pytest.mark.parametrize("choice", ["auto", "none", "required"])
    def test_a_simple_choice_stays(self, choice):
        assert request(tools=[ADD], tool_choice=choice)["tool_choice"] == choice

    @pytest.mark.parametrize(("kind", "name"), [("function", "add"), ("custom", "apply_patch")])
    def test_one_tool_is_chosen_as_a_function(self, kind, name):
        told = request(tools=[ADD, PATCH], tool_choice={"type": kind, "name": name})
        assert told["tool_choice"] == {"type": "function", "function": {"name": name}}

    @pytest.mark.parametrize("mode", ["auto", "required"])
    def test_allowed_tools_are_the_only_ones_left(self, mode):
        allowed = [{"type": "custom", "name": "apply_patch"}, {"type": "mcp", "server_label": "docs"}]
        choice = {"type": "allowed_tools", "mode": mode, "tools": allowed}
        told = request(tools=[ADD, PATCH], tool_choice=choice)
        assert told["tool_choice"] == mode
        assert [tool["function"]["name"] for tool in told["tools"]] == ["apply_patch"]

    def test_a_namespaces_tool_is_chosen_as_its_function(self):
        choice = {"type": "function", "name": "add", "namespace": "docs"}
        told = request(tools=[ADD, DOCS], tool_choice=choice)
        assert told["tool_choice"] == {"type": "function", "function": {"name": "docs__add"}}

    @pytest.mark.parametrize(
        ("allowed", "left"),
        [
            ({"type": "namespace", "name": "docs"}, ["docs__add", "docs__apply_patch"]),
            ({"type": "function", "name": "add", "namespace": "docs"}, ["docs__add"]),
            ({"type": "function", "name": "add"}, ["add"]),
        ],
    )
    def test_a_namespace_is_allowed_whole_or_in_part(self, allowed, left):
        choice = {"type": "allowed_tools", "mode": "auto", "tools": [allowed]}
        told = request(tools=[ADD, DOCS], tool_choice=choice)
        assert [tool["function"]["name"] for tool in told["tools"]] == left

    def test_allowed_tools_that_are_none_are_invalid(self):
        choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "sub"}]}
        with pytest.raises(InvalidRequest):
            request(tools=[ADD], tool_choice=choice)

    @pytest.mark.parametrize("kind", ["file_search", "mcp", "shell"])
    def test_a_hosted_tool_cannot_be_chosen(self, kind):
        with pytest.raises(UnsupportedParameter, match=f"'{kind}'") as refused:
            request(tools=[ADD], tool_choice={"type": kind})
        assert refused.value.param == "tool_choice"

    @pytest.mark.parametrize("choice", ["any", {}, {"type": "function"}, 5])
    def test_an_unknown_choice_is_refused(self, choice):
        with pytest.raises(InvalidRequest):
            request(tools=[ADD], tool_choice=choice)

    @pytest.mark.parametrize("tools", [None, []])
    def test_without_tools_nothing_is_said_of_them(self, tools):
        assert request(tools=tools, tool_choice="auto", parallel_tool_calls=True) == {"model": "m"}

    def test_parallel_calls_go_with_tools(self):
        assert request(tools=[ADD], parallel_tool_calls=False)["parallel_tool_calls"] is False


class TestNamesOf:
    def test_they_say_what_a_call_is_of(self):
        names = names_of({"tools": [ADD, PATCH, DOCS]})
        told = ["add", "apply_patch", "docs__add", "docs__apply_patch", "sub"]
        assert [names.tool(name) for name in told] == [
            Tool("add"),
            Tool("apply_patch", is_custom=True),
            Tool("add", "docs"),
            Tool("apply_patch", "docs", is_custom=True),
            Tool("sub"),
        ]

    @pytest.mark.parametrize("settings", [{}, {"tools": None}, {"tools": []}])
    def test_without_tools_every_call_is_a_functions(self, settings):
        assert names_of(settings).tool("apply_patch") == Tool("apply_patch")


class TestTellSettings:
    def test_null_is_absent(self):
        assert request(temperature=None, text=None, reasoning=None, tools=None, seed=None) == {"model": "m"}

    def test_sampling_keeps_its_names(self):
        sampling = {"temperature": 0, "top_p": 0.5, "presence_penalty": 0.1, "frequency_penalty": 0.2}
        assert request(**sampling) == {"model": "m", **sampling}

    def test_what_we_do_not_know_goes_on_under_its_own_name(self):
        assert request(seed=7, stop=["\n"], top_k=40) == {
            "model": "m",
            "seed": 7,
            "stop": ["\n"],
            "top_k": 40,
        }

    def test_no_extra_overwrites_what_was_worked_out(self):
        told = request(messages=["noise"], response_format="noise", text={"format": {"type": "json_object"}})
        assert told == {"model": "m", "response_format": {"type": "json_object"}}

    @pytest.mark.parametrize("flavour", [PLAIN, OPENAI, DEEPSEEK])
    def test_what_only_responses_know_stays_here(self, flavour):
        names = (
            "include truncation previous_response_id conversation background client_metadata prompt store"
            " context_management stream_options max_tool_calls prompt_cache_retention prompt_cache_options"
            " image access_programs background_options metadata input personality"
        )
        told = request(flavour, **dict.fromkeys(names.split(), "noise"))
        assert told in ({"model": "m"}, {"model": "m", "store": False})

    @pytest.mark.parametrize(("flavour", "name"), [(PLAIN, "max_tokens"), (OPENAI, "max_completion_tokens")])
    def test_the_limit_has_the_servers_name(self, flavour, name):
        assert request(flavour, max_output_tokens=64)[name] == 64

    def test_openai_gets_its_own_parameters_and_is_told_not_to_store(self):
        own = {"user": "u", "service_tier": "flex", "safety_identifier": "s", "prompt_cache_key": "k"}
        told = request(OPENAI, **own, moderation={"model": "o"}, text={"verbosity": "low"}, store=True)
        assert told == {
            "model": "m",
            **own,
            "moderation": {"model": "o"},
            "verbosity": "low",
            "store": False,
        }

    def test_others_do_not(self):
        own = {"user": "u", "service_tier": "flex", "safety_identifier": "s", "prompt_cache_key": "k"}
        assert request(**own, verbosity="low", text={"verbosity": "low"}, store=True) == {"model": "m"}

    def test_a_json_schema_moves_into_its_own_object(self):
        schema = {"name": "n", "schema": {"type": "object"}, "strict": True, "description": None}
        del (told := dict(schema))["description"]
        assert request(text={"format": {"type": "json_schema", **schema}})["response_format"] == {
            "type": "json_schema",
            "json_schema": told,
        }

    def test_plain_text_is_no_format(self):
        assert request(text={"format": {"type": "text"}}) == {"model": "m"}

    def test_an_unknown_format_is_unsupported(self):
        with pytest.raises(UnsupportedParameter, match="'grammar'"):
            request(text={"format": {"type": "grammar"}})

    @pytest.mark.parametrize(
        ("settings", "told"),
        [
            ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
            ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
            ({"top_logprobs": 0, "include": []}, {}),
        ],
    )
    def test_logprobs_are_asked_for(self, settings, told):
        assert request(**settings) == {"model": "m", **told}

    def test_the_effort_keeps_its_name_and_the_summary_is_dropped(self):
        told = request(reasoning={"effort": "minimal", "summary": "auto"})
        assert told == {"model": "m", "reasoning_effort": "minimal"}

    @pytest.mark.parametrize(
        ("effort", "told"),
        [
            ("minimal", "low"),
            ("low", "low"),
            ("medium", "high"),
            ("high", "high"),
            ("xhigh", "high"),
            ("max", "max"),
        ],
    )
    def test_deepseek_knows_three_efforts(self, effort, told):
        thinking = {"thinking": {"type": "enabled"}, "reasoning_effort": told}
        assert request(DEEPSEEK, reasoning={"effort": effort}) == {"model": "m", **thinking}

    def test_deepseek_can_be_told_not_to_think(self):
        assert request(DEEPSEEK, reasoning={"effort": "none"}) == {
            "model": "m",
            "thinking": {"type": "disabled"},
        }

    def test_a_stream_brings_its_usage(self):
        assert request(stream=True) == {
            "model": "m",
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def test_one_answer_is_asked_for(self):
        assert request(n=1) == {"model": "m"}
        with pytest.raises(UnsupportedParameter) as refused:
            request(n=2)
        assert refused.value.param == "n"
