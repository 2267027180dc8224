"""What all models share: the verbs, the data as a model reads them, safe files, latent arithmetic."""

from altercell.models.base._answer import answer
from altercell.models.base._arithmetic import Along, LatentArithmetic, Types, Weights
from altercell.models.base._augment import Augmentation
from altercell.models.base._autoencoder import Autoencoder, AutoencoderModule
from altercell.models.base._cells import Cells, as_dense
from altercell.models.base._classes import ClassedGeneration, Classes
from altercell.models.base._closed_form import ClosedFormModel, ProfileWeights
from altercell.models.base._conditional import ConditionalDecoding
from altercell.models.base._count_head import ClassCounts, CountHead
from altercell.models.base._draws import CountDraws
from altercell.models.base._fitted import FittedModel
from altercell.models.base._generative import GenerativeModel
from altercell.models.base._keyed_draws import KeyedDraws, hashed, uniform_by_name
from altercell.models.base._latent import INFERENCE_BATCH, Encoding, LatentModel
from altercell.models.base._latent_generation import LatentGeneration
from altercell.models.base._likelihood import (
    LOG_SPACE,
    GeneLikelihood,
    LikelihoodModel,
    LikelihoodModule,
    Output,
)
from altercell.models.base._model import AltercellModel
from altercell.models.base._moments import group_sums, leading_eigenvectors, sums_and_squares
from altercell.models.base._profiles import Profiles, moments, similarity_weights, typical_distance
from altercell.models.base._request import Request, Way
from altercell.models.base._response import ResponseModel
from altercell.models.base._schema import Schema
from altercell.models.base._similarity import REACH, kinds_and_others, type_similarity
from altercell.models.base._training import TrainingMixin
from altercell.models.base._ways import Kinds

__all__ = [
    "INFERENCE_BATCH",
    "LOG_SPACE",
    "REACH",
    "Along",
    "AltercellModel",
    "Augmentation",
    "Autoencoder",
    "AutoencoderModule",
    "Cells",
    "ClassCounts",
    "ClassedGeneration",
    "Classes",
    "ClosedFormModel",
    "ConditionalDecoding",
    "CountDraws",
    "CountHead",
    "Encoding",
    "FittedModel",
    "GeneLikelihood",
    "GenerativeModel",
    "KeyedDraws",
    "Kinds",
    "LatentArithmetic",
    "LatentGeneration",
    "LatentModel",
    "LikelihoodModel",
    "LikelihoodModule",
    "Output",
    "ProfileWeights",
    "Profiles",
    "Request",
    "ResponseModel",
    "Schema",
    "TrainingMixin",
    "Types",
    "Way",
    "Weights",
    "answer",
    "as_dense",
    "group_sums",
    "hashed",
    "kinds_and_others",
    "leading_eigenvectors",
    "moments",
    "similarity_weights",
    "sums_and_squares",
    "type_similarity",
    "typical_distance",
    "uniform_by_name",
]
