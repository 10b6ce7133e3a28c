"""More than a thousand seeded faults, and the hop that is named for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.casebook import FAULTS, told

SEEDS = 60  # of each fault


@pytest.mark.soak
def test_the_right_hop_is_named_for_99_of_100_faults_and_no_wrong_one_for_any(
    record_property: Callable[[str, object], None],
) -> None:
    named = Counter((fault.name, fault.hop, told(fault, seed)) for fault in FAULTS for seed in range(100, 100 + SEEDS))
    wrong = {key: n for key, n in named.items() if key[1] is not key[2] and key[2] is not None}
    missed = {key: n for key, n in named.items() if key[1] is not None and key[2] is None}
    record_property("figure", f"{named.total()} faults, {sum(missed.values())} unknown, {sum(wrong.values())} wrong")
    assert named.total() >= 1000
    assert wrong == {}
    assert sum(missed.values()) <= named.total() / 100, missed
