"""What a generator has to beat: cells that are resampled, or drawn of plain distributions, without a network."""

from altercell.models.samplers._base import CellSampler, TrainingCellSampler
from altercell.models.samplers._gaussian_cells import GaussianCells
from altercell.models.samplers._neighbour_bootstrap import NeighbourBootstrap
from altercell.models.samplers._resampled_cells import ResampledCells
from altercell.models.samplers._simulated_cells import SimulatedCells
from altercell.models.samplers._sugar import Sugar

__all__ = [
    "CellSampler",
    "GaussianCells",
    "NeighbourBootstrap",
    "ResampledCells",
    "SimulatedCells",
    "Sugar",
    "TrainingCellSampler",
]
