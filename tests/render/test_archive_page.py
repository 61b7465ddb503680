"""The page of an export, in a real browser: clicked through, searched, added up, and attacked."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, expect

from convstore.domain.items import Item
from convstore.render.archive_page import POLICY, SCRIPT, STYLE, Page
from tests.domain.strategies import quick
from tests.domain.threads import call, item, user
from tests.render.archive_stage import ATTACK, chain, conversations
from tests.render.archives import at, branch, conversation, exchange, settings, written
from tests.render.browsers import Watched, browser

__all__ = ["browser"]


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Any]:
    """Opens a page from a file; at the end it must have asked for nothing else and complained of nothing."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    seen: list[Watched] = []

    def open_page(data: bytes, fragment: str = "", **viewport: int) -> Any:
        file = tmp_path / f"page{len(seen)}.html"
        file.write_bytes(data)
        seen.append(Watched(context.new_page()))
        if viewport:
            seen[-1].page.set_viewport_size(viewport)
        seen[-1].page.goto(f"{file.as_uri()}{fragment}")
        return seen[-1].page

    yield open_page
    for each in seen:
        assert [url for url in each.requests if not url.startswith(("file://", "data:"))] == []
        assert each.requests.count(each.requests[0]) == len([url for url in each.requests if url.startswith("file:")])
        assert each.complaints == []
    context.close()


@pytest.fixture
def page(opened: Any) -> Any:
    return opened(conversations())


def figures(page: Any) -> dict[str, str]:
    """What the table of the chosen exchange says of costs."""
    rows = page.locator("#thread .figures tbody tr").all()
    return {row.locator("th").inner_text(): row.locator("td").last.inner_text() for row in rows}


def row(page: Any, pane: str, words: str) -> Any:
    return page.locator(f"#{pane} .row", has_text=words)


class TestTree:
    def test_it_opens_at_the_end_of_the_first_thread(self, page: Any) -> None:
        expect(page.locator("#thread article.chosen h3")).to_contain_text("Turn 4")
        expect(row(page, "tree", "What will the weather be like")).to_be_visible()
        expect(page.locator("#tree .row")).to_have_count(5)

    def test_another_branch_is_clicked_to(self, page: Any) -> None:
        row(page, "tree", "那么北京的天气怎么样").click()
        expect(page.locator("#thread article.chosen")).to_contain_text("北京明天晴，最高气温 9 度。")
        expect(page.locator("#thread article.chosen")).to_contain_text("请用中文回答。")
        expect(page.locator("#thread")).not_to_contain_text("It says that it will rain.")
        expect(page.locator("#thread")).to_contain_text("It will be mild in Lisbon")

    def test_branches_fold(self, page: Any) -> None:
        row(page, "tree", "那么北京的天气怎么样").click()
        expect(page.locator("#tree .row")).to_have_count(6)
        page.get_by_label("Fold the branch", exact=True).click()
        expect(page.locator("#tree .row")).to_have_count(5)

    def test_keys_walk_it(self, page: Any) -> None:
        page.locator("#tree .list").focus()
        for key in ("ArrowUp", "ArrowUp", "ArrowRight", "ArrowDown", "Enter"):
            page.keyboard.press(key)
        expect(page.locator("#thread article.chosen .bad")).to_have_text("This exchange was deleted.")
        page.keyboard.press("Home")
        page.keyboard.press("Enter")
        expect(page.locator("#thread article")).to_have_count(1)

    def test_another_conversation_is_clicked_to(self, page: Any) -> None:
        row(page, "conversations", "Haiku").click()
        expect(page.locator("#thread")).to_contain_text("The model is overloaded.")
        expect(page.locator("#thread h2")).to_have_text("Haiku")

    def test_an_address_leads_to_an_exchange(self, opened: Any) -> None:
        page = opened(conversations(), "#resp_3")
        expect(page.locator("#thread article.chosen")).to_contain_text("It says that it will rain.")

    def test_a_long_thread_is_not_indented_and_not_all_there_at_once(self, opened: Any) -> None:
        page = opened(written(Page(), conversation("Long"), chain(3000)))
        expect(page.locator("#thread article.chosen")).to_contain_text("Answer 2999.")
        assert page.locator("#tree .row").count() < 60
        assert page.locator("#thread article.filled").count() < 100
        assert len({each.bounding_box()["x"] for each in page.locator("#tree .row").all()}) == 1
        page.locator("#tree .list").focus()
        page.keyboard.press("Home")
        page.keyboard.press("Enter")
        expect(page.locator("#thread article.chosen")).to_contain_text("Answer 0.")

    def test_nothing_to_show(self, opened: Any) -> None:
        expect(opened(Page().begin() + Page().end()).locator("#thread")).to_have_text(
            "There is nothing in this export."
        )
        expect(opened(written(Page(), conversation("Empty"), [])).locator("#thread")).to_contain_text("no exchanges")


class TestThread:
    def test_everything_that_can_be_said_is_shown(self, page: Any) -> None:
        thread = page.locator("#thread")
        for words in (
            "Call of forecast",
            '"city": "Lisbon"',
            '"celsius": 18',
            "18 °C is mild.",
            "quantum_call",
            '"qubits": 7',
        ):
            expect(thread).to_contain_text(words)
        for words in ("Be short, and name your source.", '{"team":"weather"}', "def mild(celsius: float) -> bool:"):
            expect(thread).to_contain_text(words)

    def test_images_of_the_page_are_shown_and_others_named(self, page: Any) -> None:
        expect(page.locator("#thread img")).to_have_count(2)
        assert page.evaluate(
            "[...document.querySelectorAll('#thread img')].every((each) => each.src.startsWith('data:'))"
        )
        expect(page.locator("#thread img").first).to_have_js_property("naturalWidth", 1)
        expect(page.locator("#thread")).to_contain_text("Image: https://tracker.example/sky.png")

    def test_what_was_deleted_is_not_there(self, page: Any) -> None:
        assert "Secret" not in page.content()

    def test_printing_shows_the_whole_thread(self, opened: Any) -> None:
        page = opened(written(Page(), conversation("Long"), chain(200)))
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        expect(page.locator("#thread article.filled")).to_have_count(200)
        expect(page.locator("#tree")).not_to_be_visible()

    def test_on_a_narrow_screen_one_pane_is_shown(self, opened: Any) -> None:
        page = opened(conversations(), width=390, height=800)
        expect(page.locator("#thread")).to_be_visible()
        page.get_by_role("button", name="Tree").click()
        expect(page.locator("#thread")).not_to_be_visible()
        row(page, "tree", "那么北京的天气怎么样").click()
        expect(page.locator("#thread article.chosen")).to_be_in_viewport()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390

    def test_it_is_light_or_dark(self, page: Any) -> None:
        colours = set()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert len(colours) == 2
        page.emulate_media(color_scheme="dark")
        page.locator("#theme").click()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(252, 251, 249)"


class TestCosts:
    def test_they_are_added_up_exactly(self, page: Any) -> None:
        row(page, "tree", "It will be mild in Lisbon").click()
        assert figures(page) == {
            "This exchange": "0.2 USD",
            "The thread to it": "0.3 USD",
            "It and all that follows": "0.3 EUR + 0.700000000001 USD + 1 unknown",
            "The conversation": "0.3 EUR + 0.800000000001 USD + 1 unknown",
            "Everything here": "0.3 EUR + 1.050000000001 USD + 2 unknown",
        }
        expect(page.locator("#total")).to_contain_text("0.3 EUR + 1.050000000001 USD + 2 unknown")

    def test_what_is_not_known_is_not_nothing(self, page: Any) -> None:
        assert figures(page)["This exchange"] == "unknown"
        expect(page.locator("#thread article.chosen .meta")).to_contain_text("out · cost unknown")

    def test_what_was_added_by_hand_costs_nothing(self, opened: Any) -> None:
        first = exchange(cost="1")
        page = opened(
            written(Page(), conversation("x"), [first, exchange("By hand.", [], parent=first, origin="items")])
        )
        assert figures(page)["The thread to it"] == "1 USD"
        expect(page.locator("#thread article.chosen .meta")).to_contain_text("by hand")


class TestSearch:
    def test_a_chinese_word_is_found_and_highlighted(self, page: Any) -> None:
        page.locator("#query").fill("最高气温")
        expect(page.locator("#hits")).to_have_text("1 result")
        expect(page.locator("#results .row mark")).to_have_text("最高气温")
        page.keyboard.press("Enter")
        expect(page.locator("#thread article.chosen mark")).to_have_text("最高气温")
        expect(page.locator("#thread article.chosen mark")).to_be_in_viewport()

    def test_case_does_not_count_and_results_are_walked_through(self, page: Any) -> None:
        page.locator("#query").fill("RAIN")
        expect(page.locator("#hits")).to_have_text("2 results")
        page.locator("#next").click()
        expect(page.locator("#thread article.chosen mark")).to_have_text("rain")
        page.locator("#next").click()
        expect(page.locator("#thread article.chosen mark").first).to_have_text("rain")
        expect(page.locator("#thread h2")).to_have_text("Haiku")
        page.locator("#previous").click()
        expect(page.locator("#thread article.chosen")).to_contain_text("It says that it will rain.")

    @pytest.mark.parametrize("query", ["</SCRIPT>", "&", '"qubits": 7', "window.hit=1", "(celsius", "a-b.*["])
    def test_marks_are_characters(self, page: Any, query: str) -> None:
        page.locator("#query").fill(query)
        expect(page.locator("#hits")).to_have_text(
            "0 results" if query in ("&", "a-b.*[") else re.compile(r"^\d+ results?$")
        )
        if query not in ("&", "a-b.*["):
            expect(page.locator("#results mark").first).to_have_text(re.compile(re.escape(query), re.IGNORECASE))

    def test_what_is_folded_is_unfolded_where_it_is_found(self, page: Any) -> None:
        page.locator("#query").fill("is mild")
        page.locator("#results .row").first.click()
        expect(page.locator("#thread article.chosen details.reasoning mark")).to_be_visible()

    def test_without_a_query_the_tree_is_back(self, page: Any) -> None:
        page.locator("#query").fill("rain")
        expect(page.locator("#tree")).not_to_be_visible()
        page.locator("#query").fill("")
        expect(page.locator("#tree")).to_be_visible()
        expect(page.locator("mark")).to_have_count(0)
        expect(page.locator("#next")).to_be_disabled()


class TestAttack:
    def test_nothing_said_runs_or_asks(self, page: Any) -> None:
        expect(page.locator("#thread article.chosen")).to_contain_text("</script><script>window.hit=1</script>")
        page.locator("#query").fill("onerror")
        expect(page.locator("#results .row")).to_have_count(1)
        page.locator("#results .row").click()
        page.wait_for_timeout(300)
        assert page.evaluate("window.hit") is None
        assert page.evaluate("document.querySelectorAll('a, iframe, object, form [action], [onerror]').length") == 0
        expect(page.locator("#thread h2")).to_contain_text("</script>")

    def test_were_it_taken_for_markup_it_could_not_either(self, browser: Browser, tmp_path: Path) -> None:
        hole = "<script>window.hit=1</script><img src='https://tracker.example/x.png' onerror='window.hit=2'>"
        file = tmp_path / "page.html"
        file.write_bytes(Page().begin() + hole.encode() + Page().end())
        page = browser.new_page()
        stopped: list[str | None] = []
        page.on("requestfailed", lambda request: stopped.append(request.failure))
        with page.expect_event("requestfailed"):
            page.goto(file.as_uri())
        assert stopped == ["csp"]
        assert page.evaluate("window.hit") is None
        page.close()

    def test_the_policy_is_that_of_the_page(self) -> None:
        text = written(Page(), conversation("x"), []).decode()
        assert f'content="{POLICY}"' in text
        assert POLICY.startswith("default-src 'none'; script-src 'sha256-")
        assert "unsafe" not in POLICY and "http" not in POLICY
        assert f"<script>{SCRIPT}</script>" in text and f"<style>{STYLE}</style>" in text
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function", SCRIPT)
        assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttp|import\(", SCRIPT + STYLE)

    @quick
    @given(st.text(), st.text())
    def test_whatever_is_said_a_block_is_one_and_inert(self, text: str, name: str) -> None:
        text = f"{text}</script><!--<script>\u2028&{name}"
        items = [
            user(text),
            call(text, x=text),
            item("reasoning", summary=text),
            Item(text, text.encode("utf-8", "replace")),
        ]
        found = exchange(
            items,
            text,
            model=text,
            error={"message": text},
            metadata=settings(x=text),
            settings=settings(instructions=text),
        )
        page = Blocks(written(Page(), conversation(text), [found], [branch(name, found)]).decode())
        assert page.tags == Blocks(written(Page(), conversation("x"), [exchange()]).decode()).tags
        assert not re.search("[<>&\u2028\u2029]", "".join(page.blocks))
        head, body = orjson.loads(page.blocks[1])
        assert head["id"] == found.id
        assert body["blocks"][0][2][0][1].endswith(body["error"][-3:])

    def test_a_block_is_small_text_in_utf_8(self) -> None:
        assert "天气" in Page().exchange(exchange("天气")).decode()


class Blocks(HTMLParser):
    """A page's elements, and the texts of its blocks of data."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.blocks: list[str] = []
        self._is_data = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._is_data = ("type", "application/json") in attrs

    def handle_data(self, data: str) -> None:
        if self._is_data and data.strip():
            self.blocks.append(data)


class TestExchange:
    def test_an_erased_one_says_that_it_was(self, opened: Any) -> None:
        page = opened(written(Page(), conversation("x"), [exchange("[erased]", "[erased]", erased_at=at(1))]))
        expect(page.locator("#thread article.chosen .bad")).to_have_text("What was said here was erased.")

    def test_a_named_branch_has_a_tag(self, page: Any) -> None:
        row(page, "tree", "那么北京的天气怎么样").click()
        expect(page.locator("#tree .tag")).to_have_text("中文")

    def test_a_title_is_text(self, page: Any) -> None:
        assert page.locator("#thread h2").inner_text().startswith(ATTACK[:40])
