"""What all models share: the verbs, the data as a model reads them, safe files, latent arithmetic."""

from altercell.models.base._answer import answer
from altercell.models.base._arithmetic import Along, LatentArithmetic, Types, Weighting
from altercell.models.base._cells import Cells
from altercell.models.base._conditional import ConditionalDecoding
from altercell.models.base._draws import CountDraws
from altercell.models.base._generative import GenerativeModel
from altercell.models.base._latent import INFERENCE_BATCH, LatentModel
from altercell.models.base._likelihood import (
    GeneLikelihood,
    LikelihoodModel,
    LikelihoodModule,
    Output,
)
from altercell.models.base._model import AltercellModel
from altercell.models.base._response import Request, ResponseModel
from altercell.models.base._schema import Schema
from altercell.models.base._training import TrainingMixin

__all__ = [
    "INFERENCE_BATCH",
    "Along",
    "AltercellModel",
    "Cells",
    "ConditionalDecoding",
    "CountDraws",
    "GeneLikelihood",
    "GenerativeModel",
    "LatentArithmetic",
    "LatentModel",
    "LikelihoodModel",
    "LikelihoodModule",
    "Output",
    "Request",
    "ResponseModel",
    "Schema",
    "TrainingMixin",
    "Types",
    "Weighting",
    "answer",
]
