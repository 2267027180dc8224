"""Response baselines: closed forms with the verbs of every model, so that a table is never without them."""

from altercell.models.baselines._group_means import GroupMeanModel
from altercell.models.baselines._mean_shift import MeanShift
from altercell.models.baselines._no_change import NoChange
from altercell.models.baselines._pca_shift import PCAShift
from altercell.models.baselines._random_stimulated import RandomStimulated
from altercell.models.baselines._ridge_shift import RidgeShift
from altercell.models.baselines._shift import ShiftModel
from altercell.models.baselines._stimulated_mean import StimulatedMean

__all__ = [
    "GroupMeanModel",
    "MeanShift",
    "NoChange",
    "PCAShift",
    "RandomStimulated",
    "RidgeShift",
    "ShiftModel",
    "StimulatedMean",
]
