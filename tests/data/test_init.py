"""What the room offers."""

import subprocess
import sys

import altercell.data


def test_public_names():
    names = {"get_space", "hold_out", "hold_out_groups", "normalize", "select_genes"}
    assert names <= set(altercell.data.__all__)
    assert all(callable(getattr(altercell.data, name)) for name in names)


def test_import_is_cheap():
    code = "import sys, altercell.data; print({'scvi', 'scanpy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
