"""Every model holds what every model must hold: one test for each check of each model."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from altercell.testing import parametrize_with_checks

from .models import SUBJECTS, VARIANTS


@parametrize_with_checks(SUBJECTS)
def test_model(verify: Callable[[], None]) -> None:
    verify()


@pytest.mark.heavy
@parametrize_with_checks(VARIANTS, heavy=False)
def test_variant(verify: Callable[[], None]) -> None:
    verify()
