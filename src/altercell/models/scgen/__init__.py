"""scGen :cite:p:`Lotfollahi2019`."""

from altercell.models.scgen._model import ScGen
from altercell.models.scgen._module import ScGenModule

__all__ = ["ScGen", "ScGenModule"]
