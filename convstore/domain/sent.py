"""How a client sent an item that was stored before: the difference to the item as it is shown.

Clients that send the whole history send every answer back, seldom as they got it: without its id, with its text as a
plain string, with a status of their own. Storing that again would double the store, so the difference is stored; the
same client makes the same difference each time. `restored(shown, difference(shown, sent))` equals `sent`.

    null           as it is shown
    false          not sent at all (reasoning)
    {"=": value}   sent as something else
    {"text": 1}    sent as a string, shown as one text part
    {"each": […]}  an array of as many elements, with the difference of each
    {"-": [names], "+": {name: value}, "~": {name: difference}}   an object: members left out, added, changed
"""

from collections.abc import Mapping, Sequence
from typing import Any

from convstore.domain import jsontext

Difference = Any
LEFT_OUT = False


def difference(shown: Any, sent: Any) -> Difference:
    """What turns *shown* into *sent*; None when they are equal."""
    if _is_same(shown, sent):
        return None
    if isinstance(shown, Mapping) and isinstance(sent, Mapping):
        return _of_objects(shown, sent)
    if isinstance(shown, list) and isinstance(sent, list) and len(shown) == len(sent):
        return {"each": [difference(*pair) for pair in zip(shown, sent, strict=True)]}
    if isinstance(sent, str) and _text(shown) == sent:
        return {"text": 1}
    return {"=": sent}


def restored(shown: Any, change: Difference) -> Any:
    """What was sent: *shown* with a difference applied."""
    if change is None:
        return shown
    if "=" in change:
        return change["="]
    if "text" in change:
        return _text(shown)
    if "each" in change:
        return [restored(*pair) for pair in zip(shown, change["each"], strict=True)]
    left_out, changed = change.get("-", ()), change.get("~", {})
    kept = {name: restored(value, changed.get(name)) for name, value in shown.items() if name not in left_out}
    return {**kept, **change.get("+", {})}


def differences(shown: Sequence[Any], sent: Sequence[Any]) -> list[Difference] | None:
    """The difference of each of the items shown; None when what was sent does not go with them.

    The caller knows that both stand for one thread: they differ by reasoning that was not sent, and in form.
    """
    found: list[Difference] = []
    at = 0
    for item in shown:
        is_here = at < len(sent) and sent[at].get("type", "message") == item.get("type", "message")
        if is_here:
            found.append(difference(item, sent[at]))
            at += 1
        elif item.get("type") == "reasoning":
            found.append(LEFT_OUT)
        else:
            return None
    return found if at == len(sent) else None


def _of_objects(shown: Mapping[str, Any], sent: Mapping[str, Any]) -> Difference:
    left_out = [name for name in shown if name not in sent]
    added = {name: value for name, value in sent.items() if name not in shown}
    changes = {name: difference(shown[name], value) for name, value in sent.items() if name in shown}
    changed = {name: change for name, change in changes.items() if change is not None}
    return {mark: part for mark, part in (("-", left_out), ("+", added), ("~", changed)) if part}


def _text(shown: Any) -> str | None:
    if not isinstance(shown, list) or len(shown) != 1 or not isinstance(shown[0], Mapping):
        return None
    text = shown[0].get("text")
    return text if isinstance(text, str) else None


def _is_same(shown: Any, sent: Any) -> bool:
    # Python takes 1, 1.0 and True for equal; JSON does not.
    return bool(shown == sent) and jsontext.dumps_sorted(shown) == jsontext.dumps_sorted(sent)
