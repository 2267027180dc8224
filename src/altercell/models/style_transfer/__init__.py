"""The style transfer GAN, a baseline of scGen :cite:p:`Lotfollahi2019` and trVAE :cite:p:`Lotfollahi2020`."""

from altercell.models.style_transfer._model import StyleTransferGAN
from altercell.models.style_transfer._module import StyleTransferModule

__all__ = ["StyleTransferGAN", "StyleTransferModule"]
