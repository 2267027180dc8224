"""Training: plan, batches, callbacks, resume."""

from altercell.train._callbacks import BestWeights
from altercell.train._loader import CellDataModule, EpochBatches, split_cells
from altercell.train._plan import TrainingPlan, epoch_seed
from altercell.train._resume import ResumeFile

__all__ = ["BestWeights", "CellDataModule", "EpochBatches", "ResumeFile", "TrainingPlan", "epoch_seed", "split_cells"]
