"""Durations and shares as a person reads them."""

import pytest

from runbook.spans import ago, ahead, share, span, took


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.4, "under 1s"), (45, "45s"), (59.6, "1m00s"), (184, "3m04s"), (22500, "6h15m"), (266400, "3d2h")],
)
def test_a_span_is_told_in_its_two_largest_units(seconds, text):
    assert span(seconds) == text


def test_what_is_due_or_just_was_says_so():
    assert (ago(4), ago(-3), ahead(19560), ahead(0)) == ("4s ago", "just now", "in 5h26m", "due now")


def test_a_run_below_ten_seconds_is_told_in_tenths():
    assert (took(0.01), took(1.23), took(9.99), took(75)) == ("<0.1s", "1.2s", "10s", "1m15s")


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (1, 1, "100%"),
        (0.9999, 1, "99.9%"),
        (0, 1, "0%"),
        (0.0001, 1, "under 0.1%"),
        (1, 0, "no data"),
        (0.989, 1, "98.9%"),
    ],
)
def test_a_share_is_never_rounded_up_to_all_nor_down_to_none(part, whole, text):
    assert share(part, whole) == text
