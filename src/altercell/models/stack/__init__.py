"""ResponseStack: altercell's own model of a response."""

from altercell.models.stack._attention import CellAttention
from altercell.models.stack._evidence import Evidence, Fold
from altercell.models.stack._kriging import Kriging
from altercell.models.stack._mean_delta import MeanDelta
from altercell.models.stack._member import Member
from altercell.models.stack._model import ResponseStack
from altercell.models.stack._network import NetworkMember
from altercell.models.stack._similar_types import SimilarTypes

__all__ = [
    "CellAttention",
    "Evidence",
    "Fold",
    "Kriging",
    "MeanDelta",
    "Member",
    "NetworkMember",
    "ResponseStack",
    "SimilarTypes",
]
