"""Drafts of what is said in content parts: messages and reasoning."""

from typing import Any

from convstore.upstream.chat import items
from convstore.upstream.chat.draft import Draft
from convstore.upstream.chat.parts import Json

# A part's type -> the stem of its events, and the field that holds its text.
_STEMS = {
    "output_text": ("response.output_text", "text"),
    "refusal": ("response.refusal", "refusal"),
    "reasoning_text": ("response.reasoning_text", "text"),
}
_CITATION = "citation"


class Spoken(Draft):
    """An item of content parts, one part after another."""

    def __init__(self) -> None:
        super().__init__()
        self.latest = ""  # The type of the part that was spoken last, told to the client or not.
        self._heard: list[tuple[str, Any, list[Json]]] = []
        self._parts: list[Json] = []
        self._begin("")

    def say(self, part: str, text: str, logprobs: list[Json]) -> None:
        """Take in a piece of text for a part of type *part*."""
        self.latest = part
        self._heard.append((part, text, logprobs))

    def cite(self, annotation: Json) -> None:
        """Take in a citation of the output_text said last."""
        self._heard.append((_CITATION, annotation, []))

    def flush(self, events: list[Json]) -> None:
        for part, told, logprobs in self._heard:
            if part != self._part:
                if part == _CITATION:
                    self._annotate(told, events)
                    continue
                self._turn_to(part, events)
            self._texts.append(told)
            event = {
                "type": self._delta,
                "item_id": self.item_id,
                "output_index": self.index,
                "content_index": len(self._parts),
                "delta": told,
            }
            if part == "output_text":
                event["logprobs"] = logprobs
                self._logprobs += logprobs
            events.append(event)
        self._heard.clear()

    def end(self, events: list[Json]) -> None:
        if not self._part:
            return
        part, (stem, field) = self._open_part(), _STEMS[self._part]
        place = len(self._parts)
        done = self.event(f"{stem}.done", content_index=place, **{field: part[field]})
        if self._part == "output_text":
            done["logprobs"] = part["logprobs"]
        events.append(done)
        events.append(self.event("response.content_part.done", content_index=place, part=part))
        self._parts.append(part)
        self._begin("")

    def content(self) -> list[Json]:
        """The parts so far, the open one included."""
        return [*self._parts, self._open_part()] if self._part else self._parts

    def _begin(self, part: str) -> None:
        self._part = part
        self._delta = f"{_STEMS[part][0]}.delta" if part else ""
        self._texts: list[str] = []
        self._annotations: list[Json] = []
        self._logprobs: list[Json] = []

    def _turn_to(self, part: str, events: list[Json]) -> None:
        self.end(events)
        self._begin(part)
        place = len(self._parts)
        events.append(self.event("response.content_part.added", content_index=place, part=self._open_part()))

    def _open_part(self) -> Json:
        text = "".join(self._texts)
        if self._part == "output_text":
            return items.text_part(text, self._annotations, self._logprobs)
        return items.refusal_part(text) if self._part == "refusal" else items.reasoning_part(text)

    def _annotate(self, annotation: Json, events: list[Json]) -> None:
        place = {"content_index": len(self._parts), "annotation_index": len(self._annotations)}
        events.append(self.event("response.output_text.annotation.added", **place, annotation=annotation))
        self._annotations.append(annotation)


class Reasoning(Spoken):
    """The model's thoughts, as one part of reasoning_text."""

    kind = "reasoning"

    def blank(self) -> Json:
        return items.reasoning_item(self.index, "in_progress", [])

    def item(self, status: str) -> Json:
        return items.reasoning_item(self.index, status, self.content())


class Message(Spoken):
    """The assistant's words: parts of output_text and refusal."""

    kind = "message"

    def blank(self) -> Json:
        return items.message_item(self.index, "in_progress", [])

    def item(self, status: str) -> Json:
        return items.message_item(self.index, status, self.content())
