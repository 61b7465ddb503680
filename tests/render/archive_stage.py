"""What tests of the page look at: two conversations, one of them with branches, attacks and all that can be said."""

from base64 import b64encode

from convstore.domain.archive import Archived
from convstore.domain.items import Item
from convstore.render.archive_page import Page
from tests.domain.threads import call, item, said, user
from tests.render.archives import at, branch, conversation, exchange, settings, wholly

ATTACK = (
    "</script><script>window.hit=1</script><img src=x onerror='window.hit=1'><!-- <script> "
    "[x](javascript:window.hit=1) <a href='javascript:window.hit=1'>y</a> \u2028 ${window.hit=1}"
)
PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
SVG = (
    "data:image/svg+xml;base64,"
    + b64encode(b"<svg xmlns='http://www.w3.org/2000/svg'><script>top.hit=1</script></svg>").decode()
)
ANSWER = """It will be mild in Lisbon: 18 °C, with a light wind from the sea.

If you want to check it yourself:

```python
def mild(celsius: float) -> bool:
    return 12 <= celsius <= 22
```

Shall I look at the days after, too?"""


def conversations() -> bytes:
    """The page. In the first conversation four turns; from the second forks a branch of two, the last one deleted."""
    first = exchange(
        "What will the weather be like in Lisbon tomorrow?",
        [call("forecast", city="Lisbon")],
        id="resp_1",
        cost="0.1",
        completed_at=at(1.8),
        settings=settings(instructions="Be short, and name your source."),
    )
    second = exchange(
        [item("function_call_output", call_id="call_1", output='{"celsius": 18, "wind": "light"}')],
        [item("reasoning", summary=[{"type": "summary_text", "text": "18 °C is mild."}]), said(ANSWER)],
        id="resp_2",
        parent=first,
        cost="0.2",
        completed_at=at(63),
    )
    picture = [
        {"type": "input_text", "text": "And what does this sky say?"},
        {"type": "input_image", "image_url": PIXEL},
        {"type": "input_image", "image_url": "https://tracker.example/sky.png"},
        {"type": "input_image", "image_url": SVG},
    ]
    third = exchange(
        [user(picture)],
        "It says that it will rain.",
        id="resp_3",
        parent=second,
        cost="0.30",
        currency="EUR",
        metadata=settings(team="weather"),
    )
    fourth = exchange(
        ATTACK,
        [said(ATTACK), Item("quantum_call", b'{"type":"quantum_call","qubits":7}')],
        id="resp_4",
        parent=third,
        cost="?",
    )
    fork = exchange(
        "那么北京的天气怎么样？",
        "北京明天晴，最高气温 9 度。",
        id="resp_5",
        parent=second,
        forks=True,
        cost="0.000000000001",
        settings=settings(instructions="请用中文回答。"),
    )
    gone = exchange("Secret?", "Secret!", id="resp_6", parent=fork, cost="0.5", deleted_at=at(600))
    names = [branch("中文", gone)]
    other = "conv_" + "1" * 32
    lone = exchange(
        "Write a haiku about rain.", "Soft rain on the roof…", id="resp_7", cost="0.25", conversation_id=other
    )
    failed = exchange(
        "Another.",
        [],
        id="resp_8",
        parent=lone,
        status="failed",
        error={"code": "server_error", "message": "The model is overloaded."},
    )
    return wholly(
        Page(),
        [
            (conversation(ATTACK), ATTACK, names, [first, second, third, fork, fourth, gone]),
            (conversation("Haiku", other), "Haiku", [], [lone, failed]),
        ],
    )


def chain(length: int, every: int = 0) -> list[Archived]:
    """A thread of so many exchanges; every so many of them there is a branch of one."""
    found: list[Archived] = []
    tip = None
    for number in range(length):
        tip = exchange(
            f"Question {number}?", f"Answer {number}. " + "Some more words of it. " * 30, parent=tip, cost="0.001"
        )
        found.append(tip)
        if every and number % every == 0:
            found.append(exchange(f"Aside {number}?", "So be it.", parent=tip, forks=True, cost="0.001"))
    return found
