"""Randomness that leaves the caller's generators as they were."""

from __future__ import annotations

import contextlib
import random
import secrets
from collections.abc import Iterator

import numpy as np
import torch


def fresh_seed(seed: int | None) -> int:
    """Return `seed`, or a new one from the operating system where it is None.

    Parameters
    ----------
    seed
        A seed that the caller chose, or None.
    """
    return secrets.randbits(31) if seed is None else int(seed)


@contextlib.contextmanager
def isolated_rng(seed: int | None = None) -> Iterator[int]:
    """Seed Python's, NumPy's and torch's global generators inside the block and restore them after it.

    Parameters
    ----------
    seed
        Seed of all generators inside the block. None draws one from the operating system, without
        touching any global generator.

    Yields
    ------
    The seed in use, so that it can be recorded.

    Examples
    --------
    >>> with isolated_rng(0) as seed:
    ...     first = float(torch.rand(()))
    >>> with isolated_rng(seed):
    ...     first == float(torch.rand(()))
    True
    """
    used = fresh_seed(seed)
    # NumPy's legacy global generator is what is being protected.
    numpy_state = np.random.get_state()  # noqa: NPY002
    python_state, torch_state = random.getstate(), torch.get_rng_state()
    cuda_states = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    random.seed(used)
    np.random.seed(used % 2**32)  # noqa: NPY002
    torch.manual_seed(used)
    try:
        yield used
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_rng_state(torch_state)
        if cuda_states is not None:
            torch.cuda.set_rng_state_all(cuda_states)
