"""How long a block takes and how much memory its process holds meanwhile."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

import psutil


class Measure:
    """Time a block and watch the resident memory of its process.

    Memory is read some times a second by a thread of its own, so that a peak of a few milliseconds may be missed.

    Parameters
    ----------
    interval
        Seconds between two readings.

    Attributes
    ----------
    seconds
        How long the block took.
    peak_memory_mb
        The largest resident memory of the process, of everything in it, in units of 10^6 bytes.
    """

    def __init__(self, interval: float = 0.05) -> None:
        self.interval, self.seconds, self.peak_memory_mb = interval, 0.0, 0.0
        self._over = threading.Event()
        self._process = psutil.Process()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._start = time.perf_counter()
        self._read()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._read()
        self.seconds = time.perf_counter() - self._start

    def _read(self) -> None:
        self.peak_memory_mb = max(self.peak_memory_mb, self._process.memory_info().rss / 1e6)

    def _watch(self) -> None:
        while not self._over.wait(self.interval):
            self._read()
