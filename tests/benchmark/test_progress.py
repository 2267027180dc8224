"""The time left, and what is measured of a piece."""

import time

import numpy as np
import pandas as pd
import pytest

from altercell.benchmark._measure import Measure
from altercell.benchmark._progress import Display, in_minutes, time_left
from altercell.benchmark._store import Key, Store


def test_each_piece_is_expected_to_take_as_long_as_its_model_did() -> None:
    seconds = {"slow": [100.0, 120.0], "quick": [1.0]}
    missing = [Key("slow", "B", 0), Key("quick", "B", 0), Key("new", "B", 0)]
    assert time_left(missing, seconds) == pytest.approx(110 + 1 + (110 + 1) / 2)
    assert time_left(missing, seconds, workers=2) == pytest.approx(166.5 / 2)
    assert time_left(missing, {}) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.2, "about 1 s left"),
        (89, "about 89 s left"),
        (600, "about 10 min left"),
        (9_000, "about 2.5 h left"),
    ],
)
def test_time_in_words(seconds: float | None, text: str) -> None:
    assert in_minutes(seconds) == text


def test_the_bar_counts_what_is_done() -> None:
    order = [Key("model", "B", seed) for seed in range(3)]
    rows = pd.DataFrame({"seconds": [30.0], "score_seconds": [10.0]})
    store = Store()
    store.pieces[order[0]] = rows
    with Display(order, order[1:], store, shown=False) as display:
        display.begins("model: B, seed 1")
        display.ends(order[1], rows)
    (task,) = display.progress.tasks
    assert (task.completed, task.total) == (2, 3)
    assert task.fields["left"].endswith(" s left")


def test_seconds_and_memory_of_a_block_are_measured() -> None:
    with Measure(interval=0.005) as small:
        time.sleep(0.02)
    with Measure(interval=0.005) as large:
        block = np.ones(30_000_000)
        time.sleep(0.05)
        del block
    assert 0.02 <= small.seconds < 5
    assert large.peak_memory_mb > small.peak_memory_mb + 150
