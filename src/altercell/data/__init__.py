"""Data before a model: held-out cells, the choice of genes, normalisation, the space of values."""

from __future__ import annotations

from altercell._space import get_space
from altercell.data._checks import check_column
from altercell.data._genes import select_genes
from altercell.data._hold_out import hold_out, hold_out_groups, take_cells
from altercell.data._normalize import normalize

__all__ = ["check_column", "get_space", "hold_out", "hold_out_groups", "normalize", "select_genes", "take_cells"]
