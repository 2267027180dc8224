"""A Wasserstein GAN whose cells are points in the latent space of a variational autoencoder of counts."""

from altercell.models.latent_gan._count_vae import CountVAE
from altercell.models.latent_gan._model import LatentGAN
from altercell.models.latent_gan._module import LatentGANModule

__all__ = ["CountVAE", "LatentGAN", "LatentGANModule"]
