"""The API described by itself: `/openapi.json`, and `/docs` to read it and try it, with assets of our own."""

from collections.abc import Sequence
from typing import Any

from flask import Flask
from flask_smorest import Api
from flask_smorest import Blueprint as Described
from flask_swagger_ui import get_swaggerui_blueprint

from convstore import __version__
from convstore.api.requests import json
from convstore.domain import jsontext
from convstore.schemas.fields import describe

_OPTIONS = {
    "API_TITLE": "convstore",
    "API_VERSION": __version__,
    "OPENAPI_VERSION": "3.1.0",
    "API_SPEC_OPTIONS": {
        "info": {
            "description": "The OpenAI Responses API, with a memory: every answer is kept, and linked to its parent."
        },
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{"key": []}],
    },
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


class _Api(Api):
    """flask-smorest's registry of described routes; errors are answered in api/errors.py."""

    def _register_error_handlers(self) -> None:
        """Ours are registered for the whole app."""


def register(app: Flask, blueprints: Sequence[Described]) -> None:
    """Hang the described doors and their description."""
    app.config.update(_OPTIONS)
    api = _Api(app)
    api.ma_plugin.converter.add_attribute_function(lambda _self, field, **kwargs: describe(field, **kwargs))
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
    written = jsontext.dumps(_complete(api.spec.to_dict()))
    app.add_url_rule("/openapi.json", "openapi", lambda: json(written))
    app.register_blueprint(
        get_swaggerui_blueprint("/docs", "/openapi.json", config={"app_name": "convstore", "validatorUrl": None})
    )


def _complete(spec: dict[str, Any]) -> dict[str, Any]:
    """Every operation may fail, and says how."""
    spec["components"].setdefault("schemas", {})["Error"] = _ERROR
    failure = {
        "description": "An error.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    for path in spec["paths"].values():
        for method, operation in path.items():
            if method != "parameters":
                operation.setdefault("responses", {})["default"] = failure
    return spec
