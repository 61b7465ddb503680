"""`convstore serve`: the service, under gunicorn with gevent workers.

The command replaces itself by a fresh gunicorn process: the workers must patch the sockets before anything imports
them, and this process has imported plenty.
"""

import os
import sys
import tempfile
from pathlib import Path

import click

from convstore import bootstrap, config
from convstore.errors import Misconfigured
from convstore.storage import migrations


@click.command()
@click.option("--host", help="Address to listen on (CONVSTORE_HOST).")
@click.option("--port", type=int, help="Port to listen on (CONVSTORE_PORT).")
@click.option("--workers", type=int, help="Worker processes (CONVSTORE_WORKERS).")
@click.pass_obj
def serve(config_path: str | None, host: str | None, port: int | None, workers: int | None) -> None:
    """Serve the API."""
    for name, value in (("HOST", host), ("PORT", port), ("WORKERS", workers), ("CONFIG", config_path)):
        if value is not None:
            os.environ[f"CONVSTORE_{name}"] = str(value)
    settings = config.load()
    if not settings.upstreams:
        raise Misconfigured(
            "CONVSTORE_UPSTREAM_URL: no upstream is configured. Name a provider, "
            "for example CONVSTORE_UPSTREAM_URL=https://api.openai.com/v1 CONVSTORE_UPSTREAM_KEY=sk-…"
        )
    with bootstrap.database(settings) as database:
        migrations.check(database)
    # Figures are shared between workers through files here; the master clears away what a killed one left.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="convstore-metrics-")
    sys.stdout.flush()
    sys.stderr.flush()
    # Not imported: it reads the settings, and a wrong one must not keep `convstore --help` from working.
    configuration = Path(__file__).parents[1] / "gunicorn_conf.py"
    command = [sys.executable, "-m", "gunicorn", "--config", str(configuration), "convstore.app:create_app()"]
    os.execv(sys.executable, command)
