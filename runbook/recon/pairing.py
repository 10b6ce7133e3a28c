"""The passes that find, for each leg of one side, its counterpart on the other; the same pairs whatever the row order.

Pass 1 pairs by order id, where one order may have several fills. Pass 2 pairs one to one, at least cost, legs of one
symbol and side that agree in quantity, time and price; then, of what is left, legs that differ in exactly one of
side, quantity and price, so that a mistyped figure is one break and not two missing legs. What remains is unmatched.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from runbook.recon.leg import PRICE_STEP, Leg
from runbook.recon.ranges import Tolerances

_NEVER = 1 << 100  # the cost of a pair that may not be: beyond the sum of all real ones
_FAR = timedelta(days=1)  # how far apart stamps are taken to be when one of them is unknown


@dataclass(frozen=True, slots=True)
class Pair:
    """A counterpart found: usually one leg a side; several where one order was filled, or logged, in parts."""

    bot: tuple[Leg, ...]
    gateway: tuple[Leg, ...]
    by_id: bool

    @property
    def quantities(self) -> tuple[int, int]:
        return sum(leg.quantity for leg in self.bot), sum(leg.quantity for leg in self.gateway)

    @property
    def prices(self) -> tuple[Decimal, Decimal]:
        """The price of each side; of several fills their mean, weighted by quantity."""
        return _mean(self.bot), _mean(self.gateway)


@dataclass(frozen=True, slots=True)
class Pairing:
    """What the passes found: pairs, legs told twice by one side, and legs without a counterpart."""

    pairs: tuple[Pair, ...]
    repeated: tuple[Leg, ...]
    bot_only: tuple[Leg, ...]
    gateway_only: tuple[Leg, ...]


def in_order(legs: Iterable[Leg]) -> list[Leg]:
    """The legs by time, then symbol, side, quantity, price, id: the row they were read from decides nothing."""
    return sorted(legs, key=lambda leg: (leg.at.timestamp() if leg.at else -1.0, leg.identity))


def once(legs: Iterable[Leg]) -> tuple[list[Leg], list[Leg]]:
    """(each leg once, its repeats). A repeat has the order id, the trade id, the stamp and all values of another leg."""
    seen: set[object] = set()
    kept: list[Leg] = []
    repeats: list[Leg] = []
    for leg in in_order(legs):
        mark = (leg.identity, leg.trade_id)
        (repeats if leg.order_id and mark in seen else kept).append(leg)
        seen.add(mark)
    return kept, repeats


def pair(bot: Iterable[Leg], gateway: Iterable[Leg], tolerances: Tolerances) -> Pairing:
    """Run the passes."""
    pairs: list[Pair] = []
    repeated: list[Leg] = []
    left, right = _by_order_id(bot, gateway, pairs, repeated)
    ids_are_shared = bool(pairs)

    def may_pair(ours: Leg, theirs: Leg) -> bool:
        # Once one id was found on both sides, both write the same ids, and two legs with different ids are two orders.
        return not (ids_are_shared and ours.order_id and theirs.order_id)

    for rule in (_agrees, _differs_once):

        def cost(ours: Leg, theirs: Leg, rule: _Rule = rule) -> int | None:
            return rule(ours, theirs, tolerances) if may_pair(ours, theirs) else None

        left, right = _assign(left, right, cost, pairs)
    left = _set_repeats_aside(left, [leg for p in pairs for leg in p.bot], repeated)
    right = _set_repeats_aside(right, [leg for p in pairs for leg in p.gateway], repeated)
    return Pairing(tuple(pairs), tuple(repeated), tuple(left), tuple(right))


def _by_order_id(
    bot: Iterable[Leg], gateway: Iterable[Leg], pairs: list[Pair], repeated: list[Leg]
) -> tuple[list[Leg], list[Leg]]:
    """Pass 1. Equal rows of one id are repeats, unless their sum is what the other side says: then they are its parts."""
    sides: list[dict[str, list[Leg]]] = []
    left: list[list[Leg]] = []
    for legs in (bot, gateway):
        groups: dict[str, list[Leg]] = defaultdict(list)
        rest = []
        for leg in in_order(legs):
            if leg.order_id:
                groups[leg.order_id].append(leg)
            else:
                rest.append(leg)
        sides.append(groups)
        left.append(rest)
    ours, theirs = sides
    for order_id in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(order_id, []), theirs.get(order_id, [])
        if not (mine and other and _total(mine) == _total(other)):
            (mine, again), (other, told) = once(mine), once(other)
            repeated += again + told
        if mine and other:
            pairs.append(Pair(tuple(mine), tuple(other), by_id=True))
        else:
            left[0] += mine
            left[1] += other
    return in_order(left[0]), in_order(left[1])


_Rule = Callable[[Leg, Leg, Tolerances], int | None]


def _agrees(ours: Leg, theirs: Leg, tolerances: Tolerances) -> int | None:
    """The cost of a pair in which nothing differs beyond the tolerance, else None."""
    apart = _apart(ours, theirs, tolerances)
    if apart is None or _differing(ours, theirs, tolerances):
        return None
    return _cost(apart, ours, theirs)


def _differs_once(ours: Leg, theirs: Leg, tolerances: Tolerances) -> int | None:
    """The cost of a pair in which exactly one of side, quantity and price differs, else None.

    Without a stamp on both sides two legs that differ are two legs.
    """
    apart = _apart(ours, theirs, tolerances)
    if apart is None or apart == _FAR or _differing(ours, theirs, tolerances) != 1:
        return None
    return _cost(apart, ours, theirs)


def _differing(ours: Leg, theirs: Leg, tolerances: Tolerances) -> int:
    allowed = tolerances.price(theirs.instrument, theirs.price)
    return (
        (ours.side is not theirs.side) + (ours.quantity != theirs.quantity) + (abs(ours.price - theirs.price) > allowed)
    )


def _apart(ours: Leg, theirs: Leg, tolerances: Tolerances) -> timedelta | None:
    """How far apart two legs of one symbol are in time; None when they cannot be the same trade."""
    if ours.instrument != theirs.instrument:
        return None
    window = tolerances.apart(ours, theirs)
    if window is None or ours.at is None or theirs.at is None:
        return _FAR
    apart = abs(ours.at - theirs.at)
    return apart if apart <= window else None


def _cost(apart: timedelta, ours: Leg, theirs: Leg) -> int:
    """Time first, then price: one millisecond weighs more than any difference of price."""
    return int(apart / timedelta(milliseconds=1)) * 10**12 + int(abs(ours.price - theirs.price) / PRICE_STEP)


def _assign(
    ours: Sequence[Leg], theirs: Sequence[Leg], cost: Callable[[Leg, Leg], int | None], pairs: list[Pair]
) -> tuple[list[Leg], list[Leg]]:
    """Pair one to one: as many pairs as can be, and of those ways the cheapest. Returns what stays alone."""
    edges = {(i, j): c for i, a in enumerate(ours) for j, b in enumerate(theirs) if (c := cost(a, b)) is not None}
    taken: dict[int, int] = {}
    for rows, columns in _islands(edges):
        matrix = [[edges.get((i, j), _NEVER) for j in columns] for i in rows]
        for row, column in _least_cost(matrix):
            if matrix[row][column] < _NEVER:
                taken[rows[row]] = columns[column]
    pairs += [Pair((ours[i],), (theirs[j],), by_id=False) for i, j in sorted(taken.items())]
    used = set(taken.values())
    return [a for i, a in enumerate(ours) if i not in taken], [b for j, b in enumerate(theirs) if j not in used]


def _islands(edges: Iterable[tuple[int, int]]) -> list[tuple[list[int], list[int]]]:
    """Groups of rows and columns that no possible pair joins: each is small, and is solved by itself."""
    neighbours: dict[tuple[str, int], list[tuple[str, int]]] = defaultdict(list)
    for i, j in edges:
        neighbours["row", i].append(("column", j))
        neighbours["column", j].append(("row", i))
    out = []
    seen: set[tuple[str, int]] = set()
    for start in sorted(neighbours):
        if start in seen:
            continue
        seen.add(start)
        island, ahead = [start], [start]
        while ahead:
            fresh = [node for node in neighbours[ahead.pop()] if node not in seen]
            for node in fresh:
                if node not in seen:
                    seen.add(node)
                    island.append(node)
                    ahead.append(node)
        out.append(
            (sorted(n for kind, n in island if kind == "row"), sorted(n for kind, n in island if kind == "column"))
        )
    return out


def _least_cost(matrix: list[list[int]]) -> list[tuple[int, int]]:
    """The assignment of least total cost of every row or column, whichever are fewer (the Hungarian method).

    Rows are added one by one along the cheapest augmenting path; `over` and `under` are the potentials of rows and
    columns that keep every reduced cost from falling below zero. Integers throughout, so that ties are exact.
    """
    if len(matrix) > len(matrix[0]):
        return [(row, column) for column, row in _least_cost([list(c) for c in zip(*matrix, strict=True)])]
    rows, columns = len(matrix), len(matrix[0])
    over, under = [0] * (rows + 1), [0] * (columns + 1)
    owner = [0] * (columns + 1)  # which row a column belongs to; 0 is none, and column 0 stands for the row being added
    for row in range(1, rows + 1):
        owner[0] = row
        column = 0
        slack = [1 << 120] * (columns + 1)
        came = [0] * (columns + 1)
        done = [False] * (columns + 1)
        while owner[column]:
            done[column] = True
            at, step, nearest = owner[column], 1 << 120, 0
            for j in range(1, columns + 1):
                if done[j]:
                    continue
                reduced = matrix[at - 1][j - 1] - over[at] - under[j]
                if reduced < slack[j]:
                    slack[j], came[j] = reduced, column
                if slack[j] < step:
                    step, nearest = slack[j], j
            for j in range(columns + 1):
                if done[j]:
                    over[owner[j]] += step
                    under[j] -= step
                else:
                    slack[j] -= step
            column = nearest
        while column:
            owner[column] = owner[came[column]]
            column = came[column]
    return [(owner[j] - 1, j - 1) for j in range(1, columns + 1) if owner[j]]


def _set_repeats_aside(left: Sequence[Leg], paired: Sequence[Leg], repeated: list[Leg]) -> list[Leg]:
    """Of the legs left over, those that tell again what a paired leg of the same side tells are repeats."""
    known = Counter((leg.identity, leg.trade_id) for leg in paired)
    again = [leg for leg in left if known[leg.identity, leg.trade_id]]
    repeated += again
    return [leg for leg in left if not known[leg.identity, leg.trade_id]]


def _total(legs: Sequence[Leg]) -> int:
    return sum(leg.quantity for leg in legs)


def _mean(legs: Sequence[Leg]) -> Decimal:
    if len({leg.price for leg in legs}) == 1:
        return legs[0].price
    return (sum((leg.price * leg.quantity for leg in legs), Decimal(0)) / _total(legs)).quantize(PRICE_STEP)
