"""The prices of this process: the price book, and behind it the price library."""

from collections.abc import Sequence
from datetime import datetime

from convstore.domain.pricing import library
from convstore.domain.pricing.book import Book
from convstore.domain.pricing.rule import Rule
from convstore.services.believed import Believed
from convstore.upstream.registry import Registry


class PriceList:
    """Which price applies to an answer."""

    def __init__(self, books: Believed[Book], upstreams: Registry) -> None:
        self.books = books
        self._upstreams = upstreams

    def rule(
        self, project_id: str, upstream: str, models: Sequence[str], service_tier: str | None, at: datetime
    ) -> Rule | None:
        """The price of an answer; None when nobody named one.

        upstream: the name of the one that was asked. models: the names of the model, the best known first. at: when it
        was asked. Raises StorageUnavailable where the book was never read.
        """
        return self.by(self.books.of(project_id), upstream, models, service_tier, at)

    def by(
        self, book: Book, upstream: str, models: Sequence[str], service_tier: str | None, at: datetime
    ) -> Rule | None:
        """The same by another book."""
        named = book.rule(upstream, models, service_tier, at)
        url = None if named else self._upstreams.url_of(upstream)
        for model in models if url else ():
            known = library.rule(url or "", model, service_tier, at)
            if known is not None:
                return known
        return named
