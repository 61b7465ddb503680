"""The bodies and query parameters of the price book's routes."""

from collections.abc import Mapping
from typing import Any

from marshmallow import EXCLUDE, INCLUDE, Schema, ValidationError

from convstore.domain.pricing.book import Sought, Wanted
from convstore.domain.pricing.rule import UNITS, LongContext, Rates
from convstore.errors import InvalidRequest, UnsupportedParameter
from convstore.schemas import problems
from convstore.schemas.bodies import read
from convstore.schemas.fields import Amount, Array, Boolean, Integer, Moment, Object, QueryInteger, QueryText, Text
from convstore.schemas.problems import invalid

# A million tokens of the dearest model cost less, in whatever currency.
DEAREST = 10**9
_MOST = 10_000


def _rate(what: str) -> Amount:
    return Amount(places=6, most=DEAREST, metadata={"description": what})


class _Rates(Schema):
    class Meta:
        unknown = INCLUDE

    input = _rate("A million input tokens.")
    cached_input = _rate("A million input tokens read from the cache; else they cost what others do.")
    cache_write = _rate("A million input tokens written to the cache; else they cost what others do.")
    output = _rate("A million output tokens.")
    reasoning = _rate("A million reasoning tokens; else they cost what other output does.")
    web_search = _rate("A thousand web searches.")
    file_search = _rate("A thousand file searches.")
    code_execution = _rate("A thousand runs of code.")
    request = _rate("A thousand requests.")


class LongContextRates(_Rates):
    """Other rates for requests with more input tokens than that."""

    above = Integer(least=1, metadata={"description": "Input tokens."})


class CreatePrice(_Rates):
    """`POST /v1/prices`: one, or an array of them."""

    model = Text(longest=255, shortest=1, metadata={"description": "The model's name; * stands for anything."})
    upstream = Text(longest=64, metadata={"description": "The name of the upstream; else of any."})
    service_tier = Text(longest=32, metadata={"description": "flex, priority, …; else any."})
    currency = Text(longest=16, metadata={"description": "An ISO 4217 code, or one of CONVSTORE_CURRENCIES."})
    long_context = Array(Object(LongContextRates), metadata={"description": "Dearer rates for long contexts."})
    effective_from = Moment(metadata={"description": "From when on; else from now on."})
    effective_to = Moment(metadata={"description": "Until when; else for ever."})
    price_set = Text(longest=64, metadata={"description": "A set that reports can be asked by; else it is in force."})
    replace = Boolean(metadata={"description": "true: the price that it overlaps ends where this one begins."})


class ListPrices(Schema):
    """Query parameters of `GET /v1/prices`."""

    limit = QueryInteger(least=1, most=1_000, metadata={"description": "Prices a page, 20 unless told."})
    after = QueryText(longest=255, metadata={"description": "The id of the page before's last price."})
    before = QueryText(longest=255, metadata={"description": "The id of the page after's first price."})
    price_set = QueryText(longest=64, metadata={"description": "Those of this set."})
    model = QueryText(longest=255, metadata={"description": "Those that match this model."})


class FindPrice(Schema):
    """Query parameters of `GET /v1/prices/find`."""

    class Meta:
        unknown = EXCLUDE

    model = QueryText(longest=255, metadata={"description": "As it is asked for."})
    upstream = QueryText(longest=64, metadata={"description": "Else the one that serves the model."})
    service_tier = QueryText(longest=32)
    at = Moment(allow_none=False, metadata={"description": "When; now unless told."})


def asked_price(given: Mapping[str, Any]) -> Sought:
    """What `GET /v1/prices/find` asks for. Raises InvalidRequest."""
    try:
        loaded = FindPrice().load(given)
    except ValidationError as error:
        raise problems.first(error) from error
    if not loaded.get("model"):
        raise problems.missing("model")
    return Sought(**loaded)


def wanted_prices(body: bytes) -> list[Wanted]:
    """The prices of a body: one, or several. Raises InvalidRequest, UnsupportedParameter."""
    if not body.lstrip().startswith(b"["):
        return [wanted_price({name: raw.value for name, raw in read(body).items()})]
    given = read(b'{"prices":' + body + b"}")["prices"].value
    if len(given) > _MOST:
        raise InvalidRequest(f"At most {_MOST} prices at a time.", param="prices", code="array_above_max_length")
    return [_nth(number, each) for number, each in enumerate(given)]


def wanted_price(given: Any, where: str = "") -> Wanted:
    """One price of parsed JSON. where: put before the names of its members, in errors."""
    if not isinstance(given, Mapping):
        raise InvalidRequest(f"Invalid '{where or 'price'}': expected an object.", param=where or None)
    try:
        loaded = {name: value for name, value in CreatePrice().load(given).items() if value is not None}
        tiers = [_tier(number, each) for number, each in enumerate(loaded.pop("long_context", ()))]
    except ValidationError as error:
        raise _at(where, problems.first(error)) from error
    unknown = [name for name in loaded if name not in CreatePrice._declared_fields]
    if unknown:
        raise _at(where, UnsupportedParameter(f"Unknown parameter: '{unknown[0]}'.", param=unknown[0]))
    for name in ("model", "currency"):
        if name not in loaded:
            raise _at(where, problems.missing(name))
    rates = {kind: loaded.pop(kind) for kind in UNITS if kind in loaded}
    if not rates:
        raise _at(where, problems.missing("input"))
    return Wanted(rates=rates, long_context=tuple(sorted(tiers, key=lambda tier: tier.above)), **loaded)


def _nth(number: int, given: Any) -> Wanted:
    return wanted_price(given, f"[{number}]")


def _tier(number: int, given: Mapping[str, Any]) -> LongContext:
    loaded = {name: value for name, value in LongContextRates().load(given).items() if value is not None}
    above = loaded.pop("above", None)
    rates: Rates = {kind: rate for kind, rate in loaded.items() if kind in UNITS}
    unknown = [name for name in loaded if name not in UNITS]
    if above is None or not rates or unknown:
        said = f"unknown member '{unknown[0]}'" if unknown else "expected 'above' and at least one rate"
        problem = invalid("invalid_value", f"Invalid '{{param}}': {said}.")
        raise ValidationError({"long_context": {number: problem.messages}})
    return LongContext(above, rates)


def _at(where: str, error: InvalidRequest) -> InvalidRequest:
    """The error, with the place of its object in front of the name."""
    if not where:
        return error
    param = f"{where}.{error.param}" if error.param else where
    named = error.message.replace(f"'{error.param}'", f"'{param}'") if error.param else error.message
    return type(error)(named, param=param, code=error.code)
