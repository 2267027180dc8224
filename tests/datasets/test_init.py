"""What the room offers."""

import subprocess
import sys

import altercell.datasets


def test_public_names():
    simulators = {"simulate_branches", "simulate_factors", "simulate_response"}
    assert set(altercell.datasets.__all__) == {"morpho_mnist", "true_mean"} | simulators
    assert all(callable(getattr(altercell.datasets, name)) for name in altercell.datasets.__all__)


def test_import_is_cheap():
    code = "import sys, altercell.datasets; print({'scvi', 'scanpy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
