"""scPerb :cite:p:`Tang2024`."""

from altercell.models.scperb._model import ScPerb
from altercell.models.scperb._module import ScPerbModule
from altercell.models.scperb._style import LatentStyleEncoder, StyleEncoder

__all__ = ["LatentStyleEncoder", "ScPerb", "ScPerbModule", "StyleEncoder"]
