"""A comparison as a page of its own: it asks nobody for anything, runs nothing, and everything said is text in it."""

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from convstore.domain.comparison import Comparison
from convstore.render import wording
from convstore.render.characters import visible

_STYLE = (files("convstore.render") / "templates" / "comparison.css").read_text("utf-8")
_DIGEST = b64encode(sha256(_STYLE.encode()).digest()).decode()

# What a browser may do with the page: show it in our style. Were anything to get through, it could do nothing.
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "sandbox"
)

_pages = Environment(
    loader=PackageLoader("convstore.render"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_pages.filters["visible"] = visible
_pages.globals.update(wording=wording)


def comparison(compared: Comparison) -> str:
    """The whole page. Send it with POLICY."""
    return _pages.get_template("comparison.html").render(compared=compared, totals=compared.totals(), style=_STYLE)
