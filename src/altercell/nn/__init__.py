"""Building blocks of the networks, beside those of ``scvi.nn``."""

from altercell.nn._blocks import hidden_blocks
from altercell.nn._decoders import ACTIVATIONS, CountDecoder, OutputActivation, ValueDecoder

__all__ = ["ACTIVATIONS", "CountDecoder", "OutputActivation", "ValueDecoder", "hidden_blocks"]
