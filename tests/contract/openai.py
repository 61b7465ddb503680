"""Validators of OpenAI's OpenAPI document.

openai.check("Response", body)       raises AssertionError with every difference
openai.check_event(event)            the same, against the one schema that the event's type names
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

_PATH = Path(__file__).parent / "openai.json"
_URI = "urn:openai"


def _relaxed(document: dict[str, Any]) -> dict[str, Any]:
    """The document where it is older than the SDKs and the recordings, as narrowly as possible."""
    schemas = document["components"]["schemas"]
    # Recordings carry `"user": null` when no user was given (docs/api.md, the Response object).
    user = schemas["ModelResponseProperties"]["properties"]["user"]
    assert user["type"] == "string"
    user["type"] = ["string", "null"]
    # It is null until the response has ended, and when it failed (docs/api.md, the Response object).
    described = next(part for part in schemas["Response"]["allOf"] if "usage" in part.get("properties", {}))
    described["properties"]["usage"] = {"anyOf": [described["properties"]["usage"], {"type": "null"}]}
    # Recordings of structured output repeat a description that was not given as null.
    description = schemas["TextResponseFormatJsonSchema"]["properties"]["description"]
    assert description["type"] == "string"
    description["type"] = ["string", "null"]
    # The SDKs' type has no `name` here, and no recording has one (docs/api.md, event table).
    required = schemas["ResponseFunctionCallArgumentsDoneEvent"]["required"]
    required.remove("name")
    # An empty page has no first and no last item; both SDKs accept null (docs/api.md, pagination).
    for listed in ("ResponseItemList", "ConversationItemList"):
        for name in ("first_id", "last_id"):
            schemas[listed]["properties"][name]["type"] = ["string", "null"]
    return document


@lru_cache(maxsize=1)
def _registry() -> Registry[Any]:
    document = _relaxed(json.loads(_PATH.read_text(encoding="utf-8")))
    return Registry().with_resource(_URI, Resource(document, DRAFT202012))


@lru_cache(maxsize=256)
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"{_URI}#/components/schemas/{name}"}, registry=_registry())


@lru_cache(maxsize=1)
def event_schemas() -> dict[str, str]:
    """Event type → the name of its schema."""
    schemas = _registry()[_URI].contents["components"]["schemas"]
    found = {}
    for reference in schemas["ResponseStreamEvent"]["anyOf"]:
        name = reference["$ref"].rpartition("/")[2]
        for kind in schemas[name]["properties"]["type"]["enum"]:
            found[kind] = name
    return found


def check(name: str, body: Any) -> None:
    """Hold *body* against a component of the document."""
    wrong = [_said(error) for error in _validator(name).iter_errors(body)]
    assert not wrong, f"{name}: " + "\n".join(wrong)


def check_event(event: dict[str, Any]) -> None:
    """Hold an event against the schema of its type. An event that the API does not have is wrong."""
    kind = event.get("type")
    assert kind in event_schemas(), f"the API has no event {kind!r}"
    check(event_schemas()[kind], event)


def _said(error: ValidationError) -> str:
    deepest = best_match([error]) or error
    path = "/".join(map(str, deepest.absolute_path))
    return f"{path}: {deepest.message[:300]}"
