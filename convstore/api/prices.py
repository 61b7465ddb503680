"""`/v1/prices`: the price book."""

from flask import Response, request
from flask_smorest import Blueprint

from convstore.api import paging
from convstore.api.requests import body, deps, guard, json, principal, query
from convstore.domain import jsontext
from convstore.schemas.prices import CreatePrice, FindPrice, ListPrices, asked_price, wanted_prices
from convstore.services import prices
from convstore.services.principal import Right

blueprint = Blueprint("prices", __name__, url_prefix="/v1/prices", description="What models cost, and from when on.")


@blueprint.route("", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": ListPrices}])
@blueprint.response(200, description="A page of prices.")
@guard(Right.READ)
def index() -> Response:
    """List the project's own prices and the installation's, oldest first."""
    asked = query(ListPrices)
    only = {name: asked[name] for name in ("price_set", "model") if name in asked}
    found = prices.listed(deps(), principal().project_id, paging.page({**asked, "order": "asc"}), **only)
    return json(paging.written(found))


@blueprint.route("", methods=["POST"])
@blueprint.doc(requestBody={"required": True, "content": {"application/json": {"schema": CreatePrice}}})
@blueprint.response(200, description="A list of the prices that were named.")
@guard(Right.WRITE)
def create() -> Response:
    """Name a price for the project, or several: all of them or none."""
    made = prices.create(deps(), principal().project_id, wanted_prices(body()))
    return json(jsontext.dumps({"object": "list", "data": [prices.as_dict(each) for each in made]}))


@blueprint.route("/find", methods=["GET"])
@blueprint.doc(parameters=[{"in": "query", "schema": FindPrice}])
@blueprint.response(200, description="The price, or null, and where it comes from.")
@guard(Right.READ)
def find() -> Response:
    """Say which price applies to a model: the price book's, or the price library's."""
    return json(prices.find(deps(), principal().project_id, asked_price(request.args)))


@blueprint.route("/<price_id>", methods=["DELETE"])
@blueprint.response(200, description="Deleted.")
@guard(Right.WRITE)
def delete(price_id: str) -> Response:
    """Forget a price of the project. What was stored by it keeps its cost."""
    prices.delete(deps(), principal().project_id, price_id)
    return json(jsontext.dumps({"id": price_id, "object": "price", "deleted": True}))
