"""Play one day again: `python -m tests.days SEED [--part hours]` prints each event of it, and what it breaks."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.days.judge import Broken
from tests.days.script import Script
from tests.days.world import World, dump


def play(seed: int, every: str, part: str) -> tuple[int, list[str], str]:
    """The number of events of one day, its lines, and what broke it: whole, or empty."""
    with TemporaryDirectory() as folder:
        world = World(Script(seed, every, part), Path(folder))
        why = ""
        try:
            world.play()
        except Broken as exc:
            why = str(exc)
        finally:
            world.end()
        return world.events, [*world.log, *dump(world.store.path)], why


def main() -> int:
    ask = argparse.ArgumentParser(prog="python -m tests.days")
    ask.add_argument("seed", type=int)
    ask.add_argument("--every", default="", help="how often the feed is checked, such as 30s")
    ask.add_argument(
        "--part", choices=("day", "hours"), default="day", help="the whole day, or its densest hours alone"
    )
    ask.add_argument("--days", type=int, default=1, help="so many seeds from SEED on; only what breaks is printed")
    wanted = ask.parse_args()
    logging.disable(logging.CRITICAL)
    failed = total = 0
    for seed in range(wanted.seed, wanted.seed + wanted.days):
        events, lines, why = play(seed, wanted.every, wanted.part)
        total += events
        failed += bool(why)
        if wanted.days == 1:
            sys.stdout.write("\n".join(lines) + "\n")
        if why:
            sys.stdout.write(f"{why}\n")
    sys.stdout.write(f"{wanted.days} days, {total} events, {failed} broken\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
