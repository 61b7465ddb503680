"""`convstore db`: the schema of the database."""

import click

from convstore import bootstrap, config
from convstore.storage import migrations


@click.group()
def db() -> None:
    """Upgrade and check the database."""


@db.command()
@click.option("--revision", default="head", help="Stop at this revision.")
@click.pass_obj
def upgrade(config_path: str | None, revision: str) -> None:
    """Bring the database to this version's schema, creating it if need be."""
    with bootstrap.database(config.load(config_path)) as database:
        before = migrations.current(database)
        migrations.upgrade(database, revision)
        after = migrations.current(database)
    click.echo(f"schema {after}: nothing to do" if before == after else f"schema {before or 'none'} -> {after}")


@db.command()
@click.argument("revision")
@click.confirmation_option(prompt="This deletes whatever the older schema cannot hold. Go on?")
@click.pass_obj
def downgrade(config_path: str | None, revision: str) -> None:
    """Take the database back to REVISION ("base" empties it)."""
    with bootstrap.database(config.load(config_path)) as database:
        migrations.downgrade(database, revision)
        click.echo(f"schema {migrations.current(database) or 'none'}")


@db.command()
@click.pass_obj
def check(config_path: str | None) -> None:
    """Say whether the database has this version's schema; exit code 1 if not."""
    with bootstrap.database(config.load(config_path)) as database:
        migrations.check(database)
        click.echo(f"schema {migrations.head()}: current")
