"""C6, the values at registration: bad ones give the right answer, or a clear error before training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from anndata import AnnData
from scipy import sparse

from altercell.errors import AltercellError
from altercell.testing._data import BATCH_KEY, SOURCE, TARGET, set_totals
from altercell.testing._expect import answers_or_refuses, finite, refuses
from altercell.testing._registry import check
from altercell.testing._subject import Subject
from altercell.testing._verbs import queries_of

GENE, CELL = 3, 5


def _with(subject: Subject, value: float, dtype: type = np.float32) -> AnnData:
    """Return training cells with one other value."""
    adata = subject.adata()
    adata.X = adata.X.astype(dtype)
    adata.X[CELL, GENE] = value
    return adata


def _refused(subject: Subject, adata: AnnData, what: str, *names: object) -> None:
    refuses(lambda: subject.make(adata), what, *names)


def _place(adata: AnnData) -> tuple[str, str]:
    return adata.var_names[GENE], adata.obs_names[CELL]


def _counts_as_x(subject: Subject, change: Callable[[np.ndarray], np.ndarray]) -> AnnData:
    """Return training cells with changed counts in X, and nothing on record about them."""
    adata = subject.adata()
    adata.X = change(adata.layers["counts"].toarray())
    adata.uns.pop("altercell")
    return adata


@check("C6")
def nan(subject: Subject) -> None:
    """NaN in the values is refused before training, naming the gene and the cell."""
    adata = _with(subject, np.nan)
    _refused(subject, adata, "NaN in X", "NaN", *_place(adata))


@check("C6")
def nan_sparse(subject: Subject) -> None:
    """NaN in sparse values is refused before training, naming the gene and the cell."""
    adata = _with(subject, np.nan)
    adata.X = sparse.csr_matrix(adata.X)
    _refused(subject, adata, "NaN in a CSR X", "NaN", *_place(adata))


@check("C6")
def infinite(subject: Subject) -> None:
    """An infinite value is refused before training, naming the gene and the cell."""
    adata = _with(subject, np.inf)
    _refused(subject, adata, "an infinite value in X", "infinite", *_place(adata))


@check("C6", data="counts")
def negative(subject: Subject) -> None:
    """A negative value is refused where counts are needed."""
    _refused(subject, _with(subject, -1), "a negative count", "negative")


@check("C6", data="counts")
def fractions(subject: Subject) -> None:
    """Values that are not whole are refused where counts are needed."""
    _refused(subject, _with(subject, 0.5), "half a count", "not whole")


@check("C6", data="counts")
def log_for_counts(subject: Subject) -> None:
    """Log data are refused where counts are needed."""
    _refused(subject, _counts_as_x(subject, np.log1p), "log data for a count model", "counts")


@check("C6", data="log")
def counts_for_log(subject: Subject) -> None:
    """Counts are refused where log data are needed, saying how to normalise; else they are answered as counts."""
    adata = _counts_as_x(subject, np.copy)
    try:
        space = subject.make(adata).space
    except AltercellError:
        _refused(subject, adata, "counts for a log model", "counts", "normalize_total", "log1p")
    else:
        assert space == "counts", f"counts are taken for '{space}'"


@check("C6")
def overflow(subject: Subject) -> None:
    """Values that 32-bit floats cannot hold are refused before training."""
    _refused(subject, _with(subject, 1e300, np.float64), "1e300 in X", "1e+300")


@check("C6", data="counts")
def integer_overflow(subject: Subject) -> None:
    """Whole numbers beyond those that 32-bit floats hold exactly are refused."""
    _refused(subject, _with(subject, 2**24 + 1, np.int64), "a count of 2**24 + 1", "32-bit")


@check("C6")
def no_numbers(subject: Subject) -> None:
    """Complex values are refused."""
    _refused(subject, _with(subject, 1, np.complex64), "complex values in X", "complex64")


@check("C6")
def no_values(subject: Subject) -> None:
    """An AnnData without X is refused."""
    adata = subject.adata()
    adata.X = None
    _refused(subject, adata, "an AnnData without X", "X")


@check("C6")
def empty_cell(subject: Subject) -> None:
    """Cells whose values are all zero, one of each condition, give finite answers, or are refused by name."""
    adata = subject.adata()
    rows = [int(np.flatnonzero(adata.obs[BATCH_KEY] == name)[0]) for name in (SOURCE, TARGET)]
    adata.X[rows] = 0
    lives_or_refuses(subject, adata, "a cell of zeros", *adata.obs_names[rows])


@check("C6")
def empty_gene(subject: Subject) -> None:
    """A gene that is zero in every cell gives finite answers, or is refused by name."""
    adata = subject.adata()
    adata.X[:, GENE] = 0
    lives_or_refuses(subject, adata, "a gene of zeros", adata.var_names[GENE])


@check("C6")
def constant_gene(subject: Subject) -> None:
    """A gene with the same value in every cell gives finite answers, or is refused by name."""
    adata = subject.adata()
    adata.X[:, GENE] = 1
    set_totals(adata, subject.data)
    lives_or_refuses(subject, adata, "a constant gene", adata.var_names[GENE])


@check("C6")
def one_gene(subject: Subject) -> None:
    """A single gene gives finite answers, or is refused."""
    adata = subject.adata()[:, :1].copy()
    lives_or_refuses(subject, adata[adata.X[:, 0] > 0].copy(), "a single gene", "gene")


def lives_or_refuses(subject: Subject, adata: AnnData, what: str, *names: object) -> None:
    """Assert that a model can be trained on data and answers with finite numbers, or that the data are refused.

    Parameters
    ----------
    subject
        The model under test.
    adata
        The data.
    what
        What is odd about them, for the message.
    *names
        What the error's text must name.

    Raises
    ------
    AssertionError
        A weight or an answer is not finite, or the error is not clear.
    """

    def _life() -> tuple[np.ndarray, ...]:
        model = subject.fit(adata, 1)
        for name, query in queries_of(subject, needed=False).items():
            finite(query(model, None), f"{name} with {what}")
        return tuple(value.cpu().numpy() for value in model.module.state_dict().values())

    answers_or_refuses(_life, what, *names)
