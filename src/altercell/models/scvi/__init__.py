"""scVI through scvi-tools, as a baseline: the same latent point, decoded under another condition."""

from altercell.models.scvi._model import SCVI
from altercell.models.scvi._module import ScviModule

__all__ = ["SCVI", "ScviModule"]
