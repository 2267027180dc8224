"""trVAE :cite:p:`Lotfollahi2020`, and the networks that its paper compares with."""

from altercell.models.trvae._model import TrVAE
from altercell.models.trvae._module import TrVAEModule
from altercell.models.trvae._presets import CVAE, MMDCVAE, MMDAutoencoder

__all__ = ["CVAE", "MMDCVAE", "MMDAutoencoder", "TrVAE", "TrVAEModule"]
