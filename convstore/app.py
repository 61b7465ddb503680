"""The application: dependencies and doors, nothing else."""

from contextlib import suppress

from flask import Flask

from convstore import api, bootstrap, config
from convstore.config import Settings
from convstore.errors import StorageUnavailable
from convstore.services.deps import Deps
from convstore.storage import migrations


def create_app(settings: Settings | None = None, deps: Deps | None = None) -> Flask:
    """The WSGI application. Raises Misconfigured; SchemaOutdated when the database needs `convstore db upgrade`."""
    settings = settings or config.load()
    deps = deps or bootstrap.deps(settings)
    # A database that is away for a moment does not keep a worker from starting; /readyz looks again.
    with suppress(StorageUnavailable):
        migrations.check(deps.database)
    app = Flask("convstore", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    api.register(app, deps, max_body_bytes=settings.max_body_bytes, strict_parameters=settings.strict_parameters)
    return app
