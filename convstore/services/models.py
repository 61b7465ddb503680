"""The models that can be named: the union of what the upstreams serve."""

from typing import Any

from convstore.errors import NotFound
from convstore.services.deps import Deps


class ModelUnknown(NotFound):
    """No upstream lists this model."""

    code = "model_not_found"
    param = "model"


def listed(deps: Deps) -> list[dict[str, Any]]:
    """All models, by id. Raises UpstreamError when no upstream answers."""
    return deps.upstreams.models()


def get(deps: Deps, model_id: str) -> dict[str, Any]:
    """One model. Raises ModelUnknown, UpstreamError."""
    for model in deps.upstreams.models():
        if model["id"] == model_id:
            return model
    raise ModelUnknown(f"The model '{model_id}' does not exist or you do not have access to it.")
