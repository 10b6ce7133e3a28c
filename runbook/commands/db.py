"""`runbook db`: a look at the database, a copy of it, and the way back from one."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from runbook import app
from runbook.clock import SystemClock
from runbook.session import INDIA
from runbook.upkeep import health_json, megabytes, render_health

if TYPE_CHECKING:
    from runbook.adapters.store import Proof


def check(args: argparse.Namespace) -> int:
    """Read all of the database: 0 whole and of this version, 1 not."""
    health = app.examine(app.load_config(args.site))
    print(json.dumps(health_json(health), indent=1) if args.json else render_health(health, INDIA))
    return 1 if health.trouble else 0


def backup(args: argparse.Namespace) -> int:
    """Copy the database now, beside a daemon that runs or without one."""
    proof = app.back_up_now(app.load_config(args.site), args.file, SystemClock().now())
    print(f"{proof.file}: {megabytes(proof.size)}, {proof.total} rows, read back whole")
    return 0


def restore(args: argparse.Namespace) -> int:
    """Put a copy in the place of the database, which is kept under another name."""
    config = app.load_config(args.site)
    agreed = False

    def ask(proof: Proof, lost: Mapping[str, int] | None) -> bool:
        nonlocal agreed
        print(f"{proof.file}: {megabytes(proof.size)}, {proof.total} rows, read whole; last written {_when(proof)}")
        print(_lost(lost))
        agreed = args.yes or _agreed()
        return agreed

    aside = app.restore(config, args.file, SystemClock().now(), ask)
    if not agreed:
        return 1
    print(f"restored into {config.database_path}")
    if aside is not None:
        print(f"the database of before is {aside.name}, beside it")
    print("`runbook serve` goes on from there; what should have run since is then told as missed")
    return 0


def _when(proof: Proof) -> str:
    return f"{proof.newest.astimezone(INDIA):%Y-%m-%d %H:%M:%S %Z}" if proof.newest else "never"


def _lost(lost: Mapping[str, int] | None) -> str:
    if lost is None:
        return "lost: not known, since the present database cannot be read"
    if not lost:
        return "lost: nothing; the present database has no row that is newer"
    return "lost, since it was written after that: " + ", ".join(f"{n} rows of {table}" for table, n in lost.items())


def _agreed() -> bool:
    """Ask; without a terminal the answer is no."""
    if not sys.stdin.isatty():
        print("nothing was restored (--yes does it without asking)", file=sys.stderr)
        return False
    if input("put it in the place of the database? y/N ").strip().casefold() not in ("y", "yes"):
        print("nothing was restored")
        return False
    return True
