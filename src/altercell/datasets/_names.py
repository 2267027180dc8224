"""Names of what is simulated."""

from __future__ import annotations

import numpy as np


def numbered(kind: str, n: int) -> np.ndarray:
    """Name things of a kind by their number: ``gene_0``, ``gene_1``, ...

    Parameters
    ----------
    kind
        What they are.
    n
        How many there are.

    Returns
    -------
    Text, shape `(n,)`.

    Examples
    --------
    >>> list(numbered("batch", 2))
    ['batch_0', 'batch_1']
    """
    return np.array([f"{kind}_{i}" for i in range(n)], dtype=object)
