"""The models: one room a method, all with the same verbs."""

from altercell.models.baselines import MeanShift, NoChange, PCAShift, RandomStimulated, RidgeShift, StimulatedMean
from altercell.models.scgen import ScGen

__all__ = ["MeanShift", "NoChange", "PCAShift", "RandomStimulated", "RidgeShift", "ScGen", "StimulatedMean"]
