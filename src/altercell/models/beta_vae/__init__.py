"""The beta-VAE and the beta-TCVAE: variational autoencoders whose latent dimensions each tend to mean one thing."""

from altercell.models.beta_vae._model import BetaTCVAE, BetaVAE
from altercell.models.beta_vae._module import BetaTCVAEModule

__all__ = ["BetaTCVAE", "BetaTCVAEModule", "BetaVAE"]
