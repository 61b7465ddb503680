"""`/v1/models`: what can be named as `model`."""

from flask import Response
from flask_smorest import Blueprint

from convstore.api.requests import deps, guard, json
from convstore.domain import jsontext
from convstore.services import models
from convstore.services.principal import Right

blueprint = Blueprint("models", __name__, url_prefix="/v1/models", description="The models of all upstreams.")


@blueprint.route("", methods=["GET"])
@blueprint.response(200, description="All models.")
@guard(Right.READ)
def listed() -> Response:
    """List the models that can be asked."""
    return json(jsontext.dumps({"object": "list", "data": models.listed(deps())}))


@blueprint.route("/<path:model>", methods=["GET"])
@blueprint.response(200, description="One model.")
@guard(Right.READ)
def get(model: str) -> Response:
    """Return one model."""
    return json(jsontext.dumps(models.get(deps(), model)))
