"""scGAN and cscGAN :cite:p:`Marouf2020`, and the Wasserstein GAN without their library-size layer."""

from altercell.models.scgan._base import WassersteinGAN
from altercell.models.scgan._model import CscGAN, ScGAN
from altercell.models.scgan._module import ScGANModule
from altercell.models.scgan._networks import Critic, Generator
from altercell.models.scgan._wgan import WGAN

__all__ = ["WGAN", "Critic", "CscGAN", "Generator", "ScGAN", "ScGANModule", "WassersteinGAN"]
