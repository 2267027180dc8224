"""A bar with the time left, estimated from the pieces that are done."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

import numpy as np
import pandas as pd
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from altercell.benchmark._store import Key, Store


def time_left(missing: Iterable[Key], seconds: dict[str, list[float]], workers: float = 1.0) -> float | None:
    """Estimate the seconds that pieces will take: each as long as its model took on average, or as all did.

    Parameters
    ----------
    missing
        Pieces to come.
    seconds
        Seconds of the pieces that are done, by model.
    workers
        How many run at a time.

    Returns
    -------
    Seconds, or None where nothing is done yet.
    """
    done = {model: float(np.mean(values)) for model, values in seconds.items() if values}
    if not done:
        return None
    unknown = float(np.mean(list(done.values())))
    return sum(done.get(key.model, unknown) for key in missing) / workers


def in_minutes(seconds: float | None) -> str:
    """Write a time left roughly.

    Parameters
    ----------
    seconds
        The time; None where it is not known.
    """
    if seconds is None:
        return ""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s left"
    return f"about {round(seconds / 60)} min left" if seconds < 5_400 else f"about {seconds / 3_600:.1f} h left"


class Display:
    """The bar.

    Parameters
    ----------
    order, missing
        All pieces, and those to come.
    store
        The pieces that are done.
    shown
        Whether to show anything.
    """

    def __init__(self, order: Sequence[Key], missing: Sequence[Key], store: Store, *, shown: bool) -> None:
        self.missing = set(missing)
        self.seconds: dict[str, list[float]] = {}
        for key in order:
            if key in store.pieces:
                self._note(key, store.pieces[key])
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, TextColumn("{task.fields[left]}"), transient=True, disable=not shown)
        done = len(order) - len(missing)
        self.bar = self.progress.add_task("benchmark", total=len(order), completed=done, left="")
        self.start, self.spent = 0.0, 0.0

    def __enter__(self) -> Self:
        self.start = time.perf_counter()
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def begins(self, text: str) -> None:
        """Show what is done next.

        Parameters
        ----------
        text
            Its name.
        """
        self.progress.update(self.bar, description=text)

    def ends(self, key: Key, rows: pd.DataFrame) -> None:
        """Move the bar by a piece.

        Parameters
        ----------
        key, rows
            The piece.
        """
        self.missing.discard(key)
        self.spent += self._note(key, rows)
        # With workers, more seconds of work are done than have gone by.
        workers = max(1.0, self.spent / max(1e-9, time.perf_counter() - self.start))
        left = in_minutes(time_left(self.missing, self.seconds, workers))
        self.progress.update(self.bar, advance=1, left=left)

    def _note(self, key: Key, rows: pd.DataFrame) -> float:
        taken = float(rows["seconds"].fillna(0).iloc[0] + rows["score_seconds"].fillna(0).iloc[0])
        self.seconds.setdefault(key.model, []).append(taken)
        return taken
