from __future__ import annotations

import itertools
import random

from runbook.recon.pairing import _least_cost, pair
from runbook.recon.ranges import Tolerances
from tests.recon_world import leg


def test_the_assignment_costs_no_more_than_the_best_of_all_orders():
    dice = random.Random(11)
    for rows, columns in itertools.product(range(1, 6), range(1, 6)):
        for _ in range(6):
            matrix = [[dice.randint(0, 30) for _ in range(columns)] for _ in range(rows)]
            chosen = _least_cost(matrix)
            flat = matrix if rows <= columns else [list(column) for column in zip(*matrix, strict=True)]
            orders = itertools.permutations(range(len(flat[0])), len(flat))
            best = min(sum(line[at] for line, at in zip(flat, order, strict=True)) for order in orders)
            assert sum(matrix[row][column] for row, column in chosen) == best
            assert len({row for row, _ in chosen}) == len({column for _, column in chosen}) == min(rows, columns)


def test_as_many_pairs_as_can_be_come_before_cheap_ones():
    # The middle pair alone would be free; two pairs of a second each leave nobody alone.
    ours = [leg(when="10:00:00"), leg(when="10:00:01")]
    theirs = [leg(when="10:00:01"), leg(when="10:00:02")]
    found = pair(ours, theirs, Tolerances())
    assert len(found.pairs) == 2
    assert found.bot_only == found.gateway_only == ()


def test_legs_without_a_time_pair_by_their_figures_but_never_with_one_that_differs():
    found = pair([leg(when=None)], [leg(when="10:00:00")], Tolerances())
    assert len(found.pairs) == 1
    apart = pair([leg(when=None, quantity=150)], [leg(when="10:00:00")], Tolerances())
    assert apart.pairs == ()


def test_two_hundred_legs_of_one_symbol_within_one_window_are_paired_in_time():
    ours = [leg(when="10:00:00", price=f"{100 + n / 20:.2f}") for n in range(200)]
    found = pair(ours, list(reversed(ours)), Tolerances())
    assert all(p.prices[0] == p.prices[1] for p in found.pairs)
    assert len(found.pairs) == 200
