"""The table of the machine, as data and as documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook.feed.incident import move
from runbook.feed.table import TRANSITIONS, Cause, Mode
from tests.feed_world import World

DOC = Path(__file__).parent.parent / "docs" / "feed.md"


def documented() -> dict[tuple[str, str], str]:
    rows = [
        tuple(cell.strip() for cell in row.strip("|").split("|"))
        for row in DOC.read_text().splitlines()
        if row.startswith("|")
    ]
    ways = [r for r in rows if len(r) == 4 and r[0] in set(Mode)]
    assert len({(r[0], r[1]) for r in ways}) == len(ways), "a way is documented twice"
    return {(before, cause): after for before, cause, after, _ in ways}


def test_the_documented_table_is_the_one_that_runs() -> None:
    assert documented() == {(str(m), str(c)): str(after) for (m, c), after in TRANSITIONS.items()}


def test_every_mode_can_be_entered_and_left() -> None:
    assert set(TRANSITIONS.values()) == set(Mode)
    assert {before for before, _ in TRANSITIONS} == set(Mode)


def test_every_cause_is_used() -> None:
    assert {cause for _, cause in TRANSITIONS} == set(Cause)


def test_only_a_suspicion_leads_to_rest_and_only_moving_ticks_lead_to_live() -> None:
    assert {m for (m, _), after in TRANSITIONS.items() if after is Mode.FALLBACK} == {
        Mode.SUSPECT,
        Mode.BLIND,
        Mode.MARKET_SILENT,
        Mode.PROBATION,
    }
    assert {c for (_, c), after in TRANSITIONS.items() if after is Mode.LIVE} == {Cause.MOVING, Cause.HELD}


def test_a_cause_without_a_way_is_a_bug_of_ours() -> None:
    with pytest.raises(KeyError):
        move(World().state, Cause.HELD, 0.0, "nothing was held")
