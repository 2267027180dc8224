"""Statements that many checks make: the same answer, a clear error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from altercell.errors import AltercellError, listing
from altercell.testing._data import dense

TOLERANCE = 1e-6


def parts(answer: Any) -> dict[str, np.ndarray]:
    """Take an answer apart into named arrays.

    Parameters
    ----------
    answer
        AnnData, DataFrame, array, number, or a tuple of these.
    """
    if isinstance(answer, AnnData):
        named = {"obs_names": np.asarray(answer.obs_names), "var_names": np.asarray(answer.var_names)}
        tables = {f"obsm[{key!r}]": np.asarray(answer.obsm[key]) for key in answer.obsm}
        return {"X": dense(answer.X), **named, **tables}
    if isinstance(answer, pd.DataFrame):
        return {f"column '{name}'": answer[name].to_numpy() for name in answer}
    if isinstance(answer, tuple):
        return {f"{number}: {key}": value for number, item in enumerate(answer) for key, value in parts(item).items()}
    return {"values": np.asarray(answer)}


def same(first: Any, second: Any, what: str, tolerance: float = TOLERANCE) -> None:
    """Assert that two answers are the same.

    Parameters
    ----------
    first, second
        Answers of a verb; see :func:`parts`.
    what
        What they are, for the message.
    tolerance
        Absolute, and relative to the value; 0 asks for the same bits.

    Raises
    ------
    AssertionError
        They differ; the message says where and by how much.
    """
    one, two = parts(first), parts(second)
    assert one.keys() == two.keys(), f"{what}: one answer has {listing(one)}, the other {listing(two)}"
    for name, value in one.items():
        other = two[name]
        assert value.shape == other.shape, f"{what}: {name} has shape {value.shape} and {other.shape}"
        if value.dtype.kind not in "fc":
            assert (value == other).all(), f"{what}: {name} differ, for example {value[value != other][:3]}"
            continue
        excess = np.abs(value - other) > tolerance * (1 + np.abs(other))
        both_nan = np.isnan(value) & np.isnan(other)
        bad = (excess | (np.isnan(value) != np.isnan(other))) & ~both_nan
        largest = np.nanmax(np.abs(value - other), initial=0) if bad.any() else 0
        assert not bad.any(), f"{what}: {name} differ in {bad.mean():.1%} of the values, by up to {largest:.3g}"


def differ(first: Any, second: Any, what: str) -> None:
    """Assert that two answers are not the same bits.

    Parameters
    ----------
    first, second, what
        As in :func:`same`.

    Raises
    ------
    AssertionError
        They are the same.
    """
    one, two = parts(first), parts(second)
    equal = one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)
    assert not equal, f"{what}: the answers are the same"


def weights_same(first: Any, second: Any, what: str) -> None:
    """Assert that two models have the same weights and buffers, bit for bit.

    Parameters
    ----------
    first, second
        Models.
    what
        What they are, for the message.

    Raises
    ------
    AssertionError
        They differ; the message names the first tensor and its largest difference.
    """
    one, two = first.module.state_dict(), second.module.state_dict()
    assert one.keys() == two.keys(), f"{what}: the models have different tensors"
    for name, value in one.items():
        other = two[name]
        gap = float((value.double() - other.double()).abs().max()) if value.numel() else 0.0
        assert gap == 0, f"{what}: '{name}' differs by up to {gap:.3g}"


def finite(answer: Any, what: str) -> None:
    """Assert that an answer's numbers are finite.

    Parameters
    ----------
    answer
        See :func:`parts`.
    what
        What it is, for the message.

    Raises
    ------
    AssertionError
        Some are NaN or infinite.
    """
    for name, value in parts(answer).items():
        if value.dtype.kind == "f":
            assert np.isfinite(value).all(), f"{what}: {name} holds NaN or infinite values"


def says(error: Exception, what: str, *names: object) -> None:
    """Assert that the text of an error names things.

    Parameters
    ----------
    error
        The error.
    what
        What was wrong, for the message.
    *names
        What the text must name.

    Raises
    ------
    AssertionError
        It does not.
    """
    missing = [name for name in names if str(name) not in str(error)]
    assert not missing, f"{what}: the error does not name {listing(missing)}: {error}"


def refuses(call: Callable[[], Any], what: str, *names: object, kind: type[Exception] = AltercellError) -> None:
    """Assert that a call raises a clear error.

    Parameters
    ----------
    call
        What to call.
    what
        What is wrong with it, for the message.
    *names
        What the error's text must name: keys, cells, genes, groups.
    kind
        Class of the error.

    Raises
    ------
    AssertionError
        No error, an error of another family, or a text that does not name them.
    """
    try:
        call()
    except kind as error:
        says(error, what, *names)
        return
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(
            f"{what}: raised {type(error).__name__}, which is no {kind.__name__} and says: {error}"
        ) from error
    raise AssertionError(f"{what}: went through without an error")


def answers_or_refuses(call: Callable[[], Any], what: str, *names: object) -> Any:
    """Assert that a call gives finite numbers, or raises a clear error.

    Parameters
    ----------
    call, what, *names
        As in :func:`refuses`.

    Returns
    -------
    The answer; None where it was refused.

    Raises
    ------
    AssertionError
        The answer is not finite, or the error is not clear.
    """
    try:
        answer = call()
    except AltercellError as error:
        says(error, what, *names)
        return None
    finite(answer, what)
    return answer
