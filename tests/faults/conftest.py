"""Inputs of all trials, made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from commands import Trials, make_trials


@pytest.fixture(scope="session")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    """The inputs, and what every command makes of them undisturbed."""
    found = make_trials(tmp_path_factory.mktemp("made"))
    yield found
    found.zygote.close()
