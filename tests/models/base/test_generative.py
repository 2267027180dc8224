import numpy as np
import pytest
from anndata import AnnData

from altercell import ScGen
from altercell.models.base import GenerativeModel


def test_a_generator_must_generate():
    with pytest.raises(TypeError, match="abstract method '?generate'?"):
        GenerativeModel()


def test_scgen_is_one():
    assert issubclass(ScGen, GenerativeModel)


def test_a_generator_of_ones_own():
    class Noise(GenerativeModel):
        def generate(self, n, *, seed=None, **options):
            return AnnData(np.random.default_rng(seed).normal(size=(n, 3)))

    assert Noise().generate(4, seed=0).shape == (4, 3)
    np.testing.assert_array_equal(Noise().generate(4, seed=0).X, Noise().generate(4, seed=0).X)
