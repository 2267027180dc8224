"""Losses over the epochs of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from altercell.errors import DataError, KeyNotFoundError, NotTrainedError, listing
from altercell.pl._style import CYCLE, LINE, REAL, new_row


def training(history: Any, *, terms: str | Sequence[str] = "loss", ax: Axes | Sequence[Axes] | None = None) -> Any:
    """Draw a loss, or several terms of it, over the epochs: training and validation cells.

    Parameters
    ----------
    history
        A trained model, or its ``history_``: a table with one column, indexed by epoch, for each quantity.
    terms
        ``"loss"``, or a term that the model logs, such as ``"reconstruction_loss"``; several make a panel each.
    ax
        Axes to draw on, as many as terms; None makes a figure.

    Returns
    -------
    The axes; an array of them (n_terms,) where `terms` is a sequence. In the panel of the loss a line marks the epoch
    of the lowest validation loss, whose weights early stopping keeps.

    Raises
    ------
    NotTrainedError
        If there is no history.
    KeyNotFoundError
        If a term was not logged; the message lists those that were.
    DataError
        If the number of axes is not the number of terms.
    """
    records = history if isinstance(history, Mapping) else getattr(history, "history_", None)
    if not records:
        raise NotTrainedError("there is no history to draw: call model.train() first")
    names = [terms] if isinstance(terms, str) else list(terms)
    unknown = [name for name in names if not set(_keys(name)) & set(records)]
    if unknown or not names:
        raise KeyNotFoundError(f"no term {listing(unknown)} in the history; there are {listing(_terms(records))}")
    given: Any = ax
    axes = np.ravel(new_row(len(names), (0.4 + 4.2 * len(names), 3.4)) if given is None else given)
    if len(axes) != len(names):
        raise DataError(f"{len(names)} terms need as many axes; {len(axes)} were given")
    for panel, name in zip(axes, names, strict=True):
        _draw(panel, name, records)
    return axes[0] if isinstance(terms, str) else axes


def _keys(term: str) -> tuple[str, str]:
    """Return the names of a term on training and on validation cells, as scvi-tools logs them."""
    return ("train_loss", "validation_loss") if term == "loss" else (f"{term}_train", f"{term}_validation")


def _terms(records: Mapping[str, pd.DataFrame]) -> list[str]:
    others = [key.removesuffix("_train") for key in records if key.endswith("_train")]
    return (["loss"] if "train_loss" in records else []) + others


def _draw(ax: Axes, term: str, records: Mapping[str, pd.DataFrame]) -> None:
    for key, cells, colour in zip(_keys(term), ("training cells", "validation cells"), (REAL, CYCLE[0]), strict=True):
        if key not in records:
            continue
        values = records[key].iloc[:, 0].astype(float).dropna()
        ax.plot(values.index, values, color=colour, linewidth=1.6, marker="o", markersize=3, label=cells)
    validation = records.get("validation_loss")
    if term == "loss" and validation is not None and validation.iloc[:, 0].notna().any():
        best = int(validation.iloc[:, 0].astype(float).idxmin())
        ax.axvline(best, color=LINE, linewidth=0.8, linestyle="--", label=f"lowest: epoch {best}")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="epoch", ylabel=term.replace("_", " "))
    ax.legend(fontsize="small", frameon=False)
