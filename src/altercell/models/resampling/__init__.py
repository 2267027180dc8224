"""What a generator has to beat: cells that are resampled, or drawn of plain distributions, without a network."""

from altercell.models.resampling._base import TrainingCells
from altercell.models.resampling._bootstrap import NeighbourBootstrap
from altercell.models.resampling._gaussians import GaussianCells
from altercell.models.resampling._resampled import ResampledCells

__all__ = ["GaussianCells", "NeighbourBootstrap", "ResampledCells", "TrainingCells"]
