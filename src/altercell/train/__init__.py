"""Training: plan, batches, callbacks, resume."""

from altercell.train._adversarial import AdversarialPlan, scalar_losses
from altercell.train._callbacks import BestWeights
from altercell.train._generated_score import GeneratedScore
from altercell.train._held_out_score import HeldOutScore
from altercell.train._loader import CellDataModule, EpochBatches, split_cells
from altercell.train._pairs import Arms, Balance, PairedBatches, find_arms, pair_within
from altercell.train._plan import TrainingPlan, epoch_seed
from altercell.train._resume import ResumeFile
from altercell.train._score_callback import ScoreCallback
from altercell.train._stratified import StratifiedBatches
from altercell.train._transport import transport_arms
from altercell.train._wasserstein import WGANTrainingPlan

__all__ = [
    "AdversarialPlan",
    "Arms",
    "Balance",
    "BestWeights",
    "CellDataModule",
    "EpochBatches",
    "GeneratedScore",
    "HeldOutScore",
    "PairedBatches",
    "ResumeFile",
    "ScoreCallback",
    "StratifiedBatches",
    "TrainingPlan",
    "WGANTrainingPlan",
    "epoch_seed",
    "find_arms",
    "pair_within",
    "scalar_losses",
    "split_cells",
    "transport_arms",
]
