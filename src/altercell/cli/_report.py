"""The files of one held-out label: predicted cells, model, plots."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from altercell import pl
from altercell.benchmark import Piece
from altercell.cli._output import file_name


def write_piece(piece: Piece, folder: Path) -> None:
    """Write the predicted cells, the model and the plots of a trained model.

    Parameters
    ----------
    piece
        The model on one split.
    folder
        Where to; a folder of the label's name is made in it.
    """
    place = folder / file_name(piece.data.name)
    place.mkdir(parents=True, exist_ok=True)
    pred, model, asked = piece.answer.cells[0], piece.answer.model, piece.data.questions[0]
    pred.write_h5ad(place / "predicted.h5ad")
    model.save(place / "model", overwrite=True)
    figures = {
        "gene_means": lambda: pl.gene_means(pred, asked.real, control=asked.control),
        "gene_variances": lambda: pl.gene_variances(pred, asked.real, control=asked.control),
        "training": lambda: pl.training(model),
    }
    for name, draw in figures.items():
        axes = draw()
        figure = np.ravel(axes)[0].get_figure(root=True)
        figure.savefig(place / f"{name}.png", dpi=150, bbox_inches="tight")
        plt.close(figure)
