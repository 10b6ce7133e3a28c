"""The fence: what a daemon writes after another has taken its lease must change nothing.

A process that was stopped (SIGSTOP, a suspended host) does not know how long. So each write that only the holder of the
lease may make asks the lease's row in its own transaction, and the numbers decide, not the clocks.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, bindparam, func, or_, select

from runbook.adapters.store.schema import lease

DAEMON = "daemon"  # the name of the one lease there is


def newest() -> ColumnElement[Any]:
    """The epoch of whoever took the lease last; 0 when nobody ever did."""
    held = select(lease.c.epoch).where(lease.c.name == DAEMON).scalar_subquery()
    return func.coalesce(held, 0)


def standing() -> ColumnElement[bool]:
    """True while nobody has taken the lease after the epoch `mine`; None is a writer that no lease holds back."""
    mine = bindparam("mine", type_=BigInteger)
    return or_(mine.is_(None), newest() <= mine)
