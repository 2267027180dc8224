"""The models: one room a method, all with the same verbs."""

from altercell.models.baselines import MeanShift, NoChange, PCAShift, RandomStimulated, RidgeShift, StimulatedMean
from altercell.models.beta_vae import BetaTCVAE, BetaVAE
from altercell.models.latent_gan import LatentGAN
from altercell.models.samplers import GaussianCells, NeighbourBootstrap, ResampledCells, SimulatedCells, Sugar
from altercell.models.scgan import WGAN, CscGAN, ScGAN
from altercell.models.scgen import ScGen
from altercell.models.scperb import ScPerb
from altercell.models.scvi import SCVI
from altercell.models.stack import ResponseStack
from altercell.models.style_transfer import StyleTransferGAN
from altercell.models.trvae import CVAE, MMDCVAE, MMDAutoencoder, TrVAE

__all__ = [
    "CVAE",
    "MMDCVAE",
    "SCVI",
    "WGAN",
    "BetaTCVAE",
    "BetaVAE",
    "CscGAN",
    "GaussianCells",
    "LatentGAN",
    "MMDAutoencoder",
    "MeanShift",
    "NeighbourBootstrap",
    "NoChange",
    "PCAShift",
    "RandomStimulated",
    "ResampledCells",
    "ResponseStack",
    "RidgeShift",
    "ScGAN",
    "ScGen",
    "ScPerb",
    "SimulatedCells",
    "StimulatedMean",
    "StyleTransferGAN",
    "Sugar",
    "TrVAE",
]
