"""What every book of the ledger is: some tables, within one transaction."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

Answers = dict[Any, Any]
_Asked = ParamSpec("_Asked")
_Found = TypeVar("_Found")
_Book = TypeVar("_Book", bound="Book")


class Book:
    """A part of the ledger within one transaction. `answers` is given where nothing changes: there `once` keeps its own."""

    def __init__(self, connection: Connection, answers: Answers | None = None) -> None:
        self._c = connection
        self.answers = answers

    def _insert(self, table: Table) -> Any:
        """An INSERT that can say what becomes of a row that is there already: each database has its own."""
        dialect = postgresql if self._c.dialect.name == "postgresql" else sqlite
        return dialect.insert(table)


def once(read: Callable[Concatenate[_Book, _Asked], _Found]) -> Callable[Concatenate[_Book, _Asked], _Found]:
    """A question that several parts of one turn ask: where nothing can have changed, the database is asked once.

    What it asks with must be hashable, and nobody may change what it gives.
    """

    @functools.wraps(read)
    def answered(book: _Book, /, *args: _Asked.args, **kwargs: _Asked.kwargs) -> _Found:
        if book.answers is None:
            return read(book, *args, **kwargs)
        asked = (read.__qualname__, args, tuple(kwargs.items()))
        if asked not in book.answers:
            book.answers[asked] = read(book, *args, **kwargs)
        found: _Found = book.answers[asked]
        return found

    return answered
