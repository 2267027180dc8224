"""Fixtures of all tests; threads are set before torch is imported, so that parallel workers do not fight."""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
if "numba" not in sys.modules:
    # numba would otherwise raise the number of threads of the OpenMP that torch shares with it; once it is imported, by
    # a plugin of pytest, it refuses a change.
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data sets; the test is skipped where there is none."""
    folder = os.environ.get("ALTERCELL_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real data are not here: set ALTERCELL_TEST_DATA to their folder")
    return Path(folder)
