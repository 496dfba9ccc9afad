"""A standalone cluster for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .standalone import StandaloneCluster


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneCluster]:
    """A master and two workers of one core, as separate processes that share no folder."""
    with StandaloneCluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running
    assert not running.processes()  # nothing outlives it
