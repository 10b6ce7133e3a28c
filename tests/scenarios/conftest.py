"""Days are played once for a module, ahead of its tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scenarios.played import Played, Players


@pytest.fixture(scope="module")
def players(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Players]:
    """The days that the chosen tests of this module ask for."""
    names = [
        item.callspec.params["day"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec") and "day" in item.callspec.params
    ]
    playing = Players(tmp_path_factory.mktemp("days"), names)
    yield playing
    playing.close()


@pytest.fixture
def day(request: pytest.FixtureRequest, players: Players) -> Played:
    """The played day that the test names by parametrising `day`."""
    return players[request.param]
