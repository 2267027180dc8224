"""Building blocks of the networks, beside those of ``scvi.nn``."""

from altercell.nn._decoders import ACTIVATIONS, CountDecoder, OutputActivation, ValueDecoder

__all__ = ["ACTIVATIONS", "CountDecoder", "OutputActivation", "ValueDecoder"]
