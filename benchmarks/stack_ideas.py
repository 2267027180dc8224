"""What might make ResponseStack's mean better, tried: ``python -m benchmarks.stack_ideas data.h5ad FOLDER``.

Each type is held out in turn; a row a type and idea, with the error of the mean (times 1,000), the correlation of
deltas and the error over the types whose response is known. The ideas change one thing of the default:

distance     between types: of correlation, with genes scaled by their spread over types, of the square root, with genes
             weighted by how much they respond
modules      the grid's weights, which all genes share, shared within modules of genes that respond alike
rank         the responses of the training types cut to a low rank, so that genes inform each other

The options are those of `benchmarks.stack`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

import altercell as ac
from altercell.models.stack._attention import CellAttention
from altercell.models.stack._evidence import Evidence
from altercell.models.stack._kriging import Grid, Kriging, _responsibilities, posteriors
from altercell.models.stack._member import Member
from altercell.models.stack._solve import solve
from benchmarks.stack import command_line, fitted, splits


class ModuleKriging(Kriging):
    """Kriging whose weights of the grid are shared within modules of genes.

    Parameters
    ----------
    n_modules
        Number of modules, by k-means of the genes' responses and levels.
    """

    def __init__(self, n_modules: int) -> None:
        self.n_modules = n_modules

    def solve(self, evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
        """See :meth:`Kriging.solve`.

        Parameters
        ----------
        evidence
            What is known.
        """
        posterior = posteriors(evidence, Grid.usual())
        means, variances = (np.empty(posterior.mean.shape[:2]) for _ in range(2))
        for fold, known in enumerate(evidence.folds):
            before = evidence.source.means[known.types]
            features = np.c_[(evidence.target.means[known.types] - before).T, before.mean(0)]
            features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 0.05)
            module = KMeans(self.n_modules, n_init=1, random_state=0).fit_predict(features)
            for number in np.unique(module):
                genes = module == number
                weight = _responsibilities(posterior.log_likelihood[fold][genes])
                mean = posterior.mean[fold][genes]
                means[fold, genes] = (weight * mean).sum(1)
                second = (weight * (posterior.variance[fold][genes] + mean**2)).sum(1)
                variances[fold, genes] = second - means[fold, genes] ** 2
        return evidence.bases + means, np.maximum(variances, 0)


def apart(points: np.ndarray) -> np.ndarray:
    """Return squared distances of types.

    Parameters
    ----------
    points
        Shape ``(n_types, n_features)``.
    """
    return ((points[:, None] - points[None]) ** 2).sum(-1)


def scaled(evidence: Evidence) -> np.ndarray:
    """Return distances of genes scaled by their spread over the types, at least the median one.

    Parameters
    ----------
    evidence
        What is known.
    """
    means = evidence.source.means
    spread = means[evidence.types].std(0)
    return apart(means[:, spread > 0] / np.maximum(spread, np.median(spread[spread > 0]))[spread > 0])


def weighted(evidence: Evidence) -> np.ndarray:
    """Return distances of genes weighted by the mean size of their responses.

    Parameters
    ----------
    evidence
        What is known.
    """
    size = np.abs(evidence.responses).mean(0)
    return apart(evidence.source.means * size / size.max())


DISTANCES: dict[str, Callable[[Evidence], np.ndarray]] = {
    "correlation": lambda evidence: 1 - np.corrcoef(evidence.source.means),
    "scaled genes": scaled,
    "square root": lambda evidence: np.sqrt(evidence.distances),
    "weighted by response": weighted,
}


def low_rank(evidence: Evidence, rank: int) -> Evidence:
    """Return evidence with the responses of its types cut to a rank.

    Parameters
    ----------
    evidence
        What is known.
    rank
        The rank.
    """
    left, values, right = np.linalg.svd(evidence.responses, full_matrices=False)
    values[rank:] = 0
    means = evidence.target.means.copy()
    means[evidence.types] = evidence.source.means[evidence.types] + (left * values) @ right
    return replace(evidence, target=replace(evidence.target, means=means))


def usual() -> list[Member]:
    """Return the default's members."""
    kriging = Kriging()
    return [kriging, CellAttention(kriging)]


def evidence_of(model: Any, args: argparse.Namespace, label: str) -> Evidence:
    """Return what a trained stack knows of a question.

    Parameters
    ----------
    model, args, label
        The stack, the command line's, and the type.
    """
    source, (target,) = model._asked_codes(args.source, [args.target])
    asked = np.array([model.schema.label_code(label, "label")])
    with model._inference():
        found: Evidence = model._evidence(source, target, asked, np.array([], dtype=int), None)
    return found


def tried(model: Any, args: argparse.Namespace, label: str) -> dict[str, tuple[Evidence, list[Member]]]:
    """Return every idea's evidence and members.

    Parameters
    ----------
    model, args, label
        The stack, the command line's, and the type.
    """
    usual_evidence = evidence_of(model, args, label)
    found = {"default": (usual_evidence, usual())}
    for name, distance in DISTANCES.items():
        evidence = evidence_of(model, args, label)
        vars(evidence)["distances"] = distance(evidence)  # in place of the cached property
        found[f"distance: {name}"] = (evidence, usual())
    for number in (5, 20):
        kriging = ModuleKriging(number)
        found[f"{number} modules"] = (usual_evidence, [kriging, CellAttention(kriging)])
    for rank in (2, 3):
        found[f"rank {rank}"] = (low_rank(usual_evidence, rank), usual())
    return found


def main() -> None:
    """Try all, and print the means."""
    args = command_line(__doc__ or "")
    rows = []
    for label, train, real in splits(args):
        model = fitted(ac.ResponseStack, train, args)
        truth = np.asarray(real[:, train.var_names].X.mean(axis=0)).ravel()
        for name, (evidence, members) in tried(model, args, label).items():
            (found,) = solve(evidence, members)
            r = np.corrcoef(found.mean - found.source, truth - found.source)[0, 1]
            error = 1e3 * float(((found.mean - truth) ** 2).mean())
            rows.append({"label": label, "idea": name, "mse": error, "r": r, "inner_error": found.inner_error})
        print(label, flush=True)
    table = pd.DataFrame(rows)
    if args.csv is not None:
        table.to_csv(args.csv, index=False, float_format="%.6g")
    print(table.drop(columns="label").groupby("idea", sort=False).mean().round(3).to_string())


if __name__ == "__main__":
    main()
