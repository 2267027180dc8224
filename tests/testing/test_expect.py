"""The statements that checks make: they hold where they should, and say what is wrong where they do not."""

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse

from altercell.errors import DataError, GroupError, ModelFileError
from altercell.testing._expect import (
    answers_or_refuses,
    differ,
    finite,
    parts,
    refuses,
    same,
    says,
    weights_same,
)


def _adata(values=((1.0, 2.0), (3.0, 4.0)), names=("a", "b")):
    return AnnData(
        np.array(values, dtype=np.float32),
        obs=pd.DataFrame(index=list(names)),
        var=pd.DataFrame(index=["g", "h"]),
        obsm={"m": np.ones((2, 1))},
    )


def _raise(error):
    raise error


def test_parts_of_every_kind_of_answer():
    assert set(parts(_adata())) == {"X", "obs_names", "var_names", "obsm['m']"}
    assert set(parts(pd.DataFrame({"score": [1.0], "name": ["x"]}))) == {"column 'score'", "column 'name'"}
    assert parts(3.0)["values"].shape == ()
    assert set(parts((np.ones(2), np.zeros(3)))) == {"0: values", "1: values"}


def test_sparse_answers_are_compared_by_value():
    answer = _adata()
    answer.X = sparse.csr_matrix(answer.X)
    same(answer, _adata(), "sparse and dense", tolerance=0)


def test_equal_answers_are_the_same():
    same(_adata(), _adata(), "twice", tolerance=0)
    same(np.array([1.0, np.nan]), np.array([1.0, np.nan]), "with NaN", tolerance=0)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (_adata(((1.0, 2.0), (3.0, 4.5))), r"X differ in 25.0% of the values, by up to 0.5"),
        (_adata(((1.0, 2.0), (3.0, np.nan))), r"X differ in 25.0%"),
        (_adata(names=("a", "c")), "obs_names differ, for example"),
        (_adata()[:1].copy(), r"X has shape \(2, 2\) and \(1, 2\)"),
        (np.ones(2), "one answer has 'X', .*, the other 'values'"),
    ],
)
def test_other_answers_are_not(second, message):
    with pytest.raises(AssertionError, match=f"the thing: {message}"):
        same(_adata(), second, "the thing")


def test_the_tolerance_is_absolute_and_relative():
    same(np.array([1e6]), np.array([1e6 + 1]), "large", tolerance=1e-6)
    same(np.array([0.0]), np.array([1e-6]), "small", tolerance=1e-6)
    with pytest.raises(AssertionError, match="values differ"):
        same(np.array([0.0]), np.array([1e-6]), "small", tolerance=1e-7)
    with pytest.raises(AssertionError, match="values differ"):
        same(np.array([1.0]), np.nextafter(np.array([1.0]), 2), "bits", tolerance=0)


def test_different_answers_differ():
    differ(np.array([1.0]), np.nextafter(np.array([1.0]), 2), "bits")
    differ(np.ones(2), np.ones(3), "shapes")
    with pytest.raises(AssertionError, match="twice: the answers are the same"):
        differ(_adata(), _adata(), "twice")


class _Model:
    def __init__(self, **tensors):
        self.module = torch.nn.Module()
        for name, value in tensors.items():
            self.module.register_buffer(name, value)


def test_weights_are_compared_bit_by_bit():
    weights_same(_Model(a=torch.ones(2)), _Model(a=torch.ones(2)), "two")
    with pytest.raises(AssertionError, match="two: 'a' differs by up to 0.25"):
        weights_same(_Model(a=torch.ones(2)), _Model(a=torch.tensor([1.0, 1.25])), "two")
    with pytest.raises(AssertionError, match="the models have different tensors"):
        weights_same(_Model(a=torch.ones(2)), _Model(b=torch.ones(2)), "two")


def test_empty_tensors_are_the_same():
    weights_same(_Model(a=torch.ones(0)), _Model(a=torch.ones(0)), "empty")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_finite_numbers(bad):
    finite(_adata(), "an answer")
    finite(np.array(["text"]), "text")
    with pytest.raises(AssertionError, match="an answer: X holds NaN or infinite values"):
        finite(_adata(((bad, 1), (1, 1))), "an answer")


def test_an_error_says_names():
    says(DataError("gene 'x' of cell 7"), "odd data", "x", 7)
    with pytest.raises(AssertionError, match="odd data: the error does not name 'y': gene 'x'"):
        says(DataError("gene 'x'"), "odd data", "x", "y")


def test_a_clear_error_is_a_refusal():
    refuses(lambda: _raise(GroupError("no condition 'x'")), "odd", "x")
    refuses(lambda: _raise(ModelFileError("'x' is damaged")), "odd", "x", kind=ModelFileError)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: None, "odd: went through without an error"),
        (lambda: _raise(GroupError("no")), "odd: the error does not name 'x': no"),
        (lambda: _raise(KeyError("x")), "odd: raised KeyError, which is no AltercellError and says: 'x'"),
        (lambda: _raise(AssertionError("a statement inside")), "^a statement inside"),
    ],
)
def test_anything_else_is_none(call, message):
    with pytest.raises(AssertionError, match=message):
        refuses(call, "odd", "x")


def test_another_error_of_ours_is_no_refusal_where_one_is_asked_for():
    with pytest.raises(AssertionError, match="raised GroupError, which is no ModelFileError"):
        refuses(lambda: _raise(GroupError("x")), "odd", kind=ModelFileError)


def test_an_answer_or_a_refusal():
    assert answers_or_refuses(lambda: 3.0, "odd", "x") == 3.0
    assert answers_or_refuses(lambda: _raise(DataError("gene x")), "odd", "x") is None
    with pytest.raises(AssertionError, match="odd: values holds NaN"):
        answers_or_refuses(lambda: np.nan, "odd", "x")
    with pytest.raises(AssertionError, match="odd: the error does not name 'x'"):
        answers_or_refuses(lambda: _raise(DataError("no")), "odd", "x")
    with pytest.raises(RuntimeError, match="not ours"):
        answers_or_refuses(lambda: _raise(RuntimeError("not ours")), "odd", "x")
