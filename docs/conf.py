"""Configuration of the documentation: Sphinx with MyST, built with warnings as errors and without a network."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

HERE = Path(__file__).parent

# -- Project ---------------------------------------------------------------------------------------

info = metadata("altercell")
project = info["Name"]
author = "the altercell developers"
copyright = f"2026, {author}"
version = release = info["Version"]

# -- Extensions ------------------------------------------------------------------------------------

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
]

# Links into other projects' documentation need the network, so they are asked for: the gate builds without one.
if os.environ.get("ALTERCELL_DOCS_INTERSPHINX") or os.environ.get("READTHEDOCS") == "True":
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "anndata": ("https://anndata.readthedocs.io/en/stable", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "pandas": ("https://pandas.pydata.org/docs", None),
        "scanpy": ("https://scanpy.readthedocs.io/en/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "scvi": ("https://docs.scvi-tools.org/en/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
    }

# autosummary writes its stubs, which are reStructuredText, with the first suffix.
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build", "**.ipynb_checkpoints", "Thumbs.db", ".DS_Store"]
templates_path = ["_templates"]
needs_sphinx = "8.0"

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
# The notebooks are executed by .ci/run and kept in the repository with their outputs.
nb_execution_mode = "off"
nb_output_stderr = "remove"
nb_merge_streams = True

autosummary_generate = True
# The rooms list what is public in __all__, and define it in private files.
autosummary_ignore_module_all = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
# Docstrings of scvi-tools carry roles that only its own documentation knows; ours document what they override.
autodoc_inherit_docstrings = False
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_rtype = False
default_role = "literal"

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

# -- Look ------------------------------------------------------------------------------------------

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["altercell.css"]


def copy_tutorials(app: Sphinx) -> None:
    """Bring the notebooks of tutorials/ and tutorials/long/ under docs/, where Sphinx sees them; drop stale copies."""
    target, source = HERE / "tutorials", HERE.parent / "tutorials"
    notebooks = {path.name: path for path in (*source.glob("*.ipynb"), *source.glob("long/*.ipynb"))}
    for stale in target.glob("*.ipynb"):
        if stale.name not in notebooks:
            stale.unlink()
    for name, path in notebooks.items():
        copy = target / name
        # An unchanged copy keeps its time, so that Sphinx does not read it again.
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            shutil.copyfile(path, copy)


def skip_foreign(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what a class inherits from another package, whose roles and labels are unknown here."""
    module = getattr(getattr(obj, "fget", obj), "__module__", None)
    return True if isinstance(module, str) and not module.startswith("altercell") else None


def setup(app: Sphinx) -> None:
    """Connect the hooks of this project."""
    app.connect("builder-inited", copy_tutorials)
    app.connect("autodoc-skip-member", skip_foreign)
