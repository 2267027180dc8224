import subprocess
import sys

from altercell import metrics


def test_public_names_are_there_and_documented():
    for name in metrics.__all__:
        assert (getattr(metrics, name).__doc__ or "").strip(), name


def test_import_does_not_wait_for_heavy_packages():
    code = (
        "import sys, altercell.metrics; print([m for m in ('scvi', 'scanpy', 'sklearn', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
