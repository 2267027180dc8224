"""ResponseStack measured: ``python -m benchmarks.stack STUDY data.h5ad FOLDER --csv results.csv``.

table        the stack beside every baseline, each type held out in turn (``--seeds 0 1 2 3 4``)
protocol     the stack by the protocol of its prototype: the same controls on both sides of the correlation of deltas,
             the forest on 50 components of all real cells, 200 cells an arm
networks     the stack without and with a network as a member, trained for every type that is left out
members      each member alone, all, and all but one; and each way to make cells of the mean
ways         networks trained once, their cells made in every way; scGen also with deltas weighted by likeness, and on
             counts with ``--target-sum 10000``
nested       the members chosen anew for every held-out type, by the error over its other types alone
error        how often the standard error's bands hold the truth, and what the warning catches
sensitivity  fewer training types, fewer cells, more and fewer genes: errors of the mean, beside the mean delta's
speed        seconds and the process's peak memory so far, beside ScGen's training, and on simulated cells (``--cells``)

Log data are log1p of counts scaled to the median total of the control cells (``--target-sum`` for another), which are
never held out. Pieces that are in the folder already are not run again.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import torch
from scipy.stats import norm

import altercell as ac
from altercell.benchmark import Candidate, Piece, candidate
from altercell.models.stack._solve import CLOSED_FORMS

SHORT = {"max_epochs": 50, "batch_size": 128}
QUICK = {"n_trees": 200, "n_cells": 200}


def stack(name: str = "ResponseStack", *members: str, **predict: object) -> Candidate:
    """Return the stack with some members.

    Parameters
    ----------
    name
        Of the row.
    *members
        Names of the members; none for the default.
    **predict
        Of its ``predict``.
    """
    chosen = {"members": members} if members else {}
    return candidate(ac.ResponseStack, name, predict=predict, **chosen)


def members() -> list[Candidate]:
    """Return the stack with every member alone, with all, and with all but one; and the ways to make cells."""
    alone = [stack(name, name) for name in CLOSED_FORMS]
    without = [stack(f"without {name}", *(other for other in CLOSED_FORMS if other != name)) for name in CLOSED_FORMS]
    ways = [stack(f"cells: {way}", cells=way) for way in ("decoded", "residual", "transport")]
    return [*alone, stack("all", *CLOSED_FORMS), *without, *ways]


def networks(args: argparse.Namespace) -> pd.DataFrame:
    """Run the stack without and with the member that is a network.

    Parameters
    ----------
    args
        The command line's.
    """
    members, train = ("kriging", "attention", "scgen"), {"network": {"max_epochs": 30, "batch_size": 128}}
    with_it = candidate(ac.ResponseStack, ", ".join(members), members=members, control=args.source, train=train)
    return holdout(args, [stack(), with_it], "networks", add_baselines=False)


def holdout(args: argparse.Namespace, models: list[Candidate], folder: str, **options: object) -> pd.DataFrame:
    """Run what is missing of a table.

    Parameters
    ----------
    args
        The command line's.
    models
        The models; baselines come on top.
    folder
        Name of the folder within that of the command line.
    **options
        Further arguments of :func:`altercell.benchmark.holdout`.
    """
    return ac.benchmark.holdout(
        data(args),
        models,
        **{
            **keys(args),
            "hold_out": args.labels or "each",
            "seeds": args.seeds,
            "n_genes": args.n_genes,
            "path": args.folder / folder,
            "on_step": lambda step: print(step, flush=True),
            **QUICK,
            **options,
        },
    )


def data(args: argparse.Namespace) -> ad.AnnData:
    """Return the cells, as log data with their counts.

    Parameters
    ----------
    args
        The command line's.
    """
    cells = ad.read_h5ad(args.data)
    controls = cells.X[(cells.obs[args.batch_key] == args.source).to_numpy()]
    median = float(np.median(np.asarray(controls.sum(axis=1)).ravel()))
    return ac.data.normalize(cells, target_sum=args.target_sum or median)


def keys(args: argparse.Namespace) -> dict[str, str]:
    """Return columns and conditions.

    Parameters
    ----------
    args
        The command line's.
    """
    return {name: getattr(args, name) for name in ("batch_key", "labels_key", "source", "target")}


def ways(args: argparse.Namespace) -> pd.DataFrame:
    """Train each network once a type, and score its cells made in every way.

    Parameters
    ----------
    args
        The command line's.
    """
    rows: list[pd.DataFrame] = []
    store = args.folder / "ways.csv"
    if store.exists():
        rows.append(pd.read_csv(store))

    def score(piece: Piece) -> None:
        model, question = piece.answer.model, piece.data.questions[0]
        usual = {name: value for name, value in piece.candidate.predict.items() if name != "cells"}
        asked: list[tuple[str, dict[str, object]]] = [(way, {"cells": way}) for way in getattr(model, "cell_ways", ())]
        if isinstance(model, ac.ScGen | ac.ScPerb):
            more = {"weights": "similarity"}
            asked += [(f"similarity, {way}", {"cells": way, **more}) for way in model.cell_ways]
        for way, options in asked:
            cells = model.predict(
                source=args.source,
                target=args.target,
                labels=question.label,
                seed=piece.seed,
                **{**usual, **options},
            )
            found = ac.metrics.evaluate(cells, question.real, question.control, seed=piece.seed, **QUICK)
            table = found.reset_index(names="metric")
            rows.append(table.assign(model=piece.candidate.name, way=way, label=str(question.label), seed=piece.seed))
        pd.concat(rows).to_csv(store, index=False)

    networks = [
        candidate(ac.ScGen, train={"max_epochs": 100, "batch_size": 128}),
        candidate(ac.CVAE, train=SHORT),
        candidate(ac.TrVAE, train=SHORT),
        candidate(ac.ScPerb, control=args.source, train=SHORT),
    ]
    if args.target_sum == 10_000:  # as a model of counts answers
        how = {"max_epochs": 100, "batch_size": 128}
        networks.append(candidate(ac.ScGen, "ScGen, counts", gene_likelihood="nb", train=how))
    holdout(args, networks, "ways", on_piece=score, add_baselines=False)
    return pd.concat(rows)


def fitted(model: type, cells: ad.AnnData, args: argparse.Namespace, **arguments: object) -> Any:
    """Return a trained closed form.

    Parameters
    ----------
    model
        Its class.
    cells
        Training cells.
    args
        The command line's.
    **arguments
        Of the constructor.
    """
    model.setup_anndata(cells, batch_key=args.batch_key, labels_key=args.labels_key)  # type: ignore[attr-defined]
    made = model(cells, **arguments)
    made.train()
    return made


def held_out(args: argparse.Namespace, cells: ad.AnnData, label: str) -> tuple[ad.AnnData, ad.AnnData]:
    """Hold a type out under the target condition.

    Parameters
    ----------
    args
        The command line's.
    cells
        All cells.
    label
        The type.
    """
    columns = {"batch_key": args.batch_key, "labels_key": args.labels_key}
    return ac.data.hold_out(cells, batch=args.target, labels=label, **columns)


def large_types(args: argparse.Namespace, cells: ad.AnnData, least: int = 20) -> list[str]:
    """Return the types with enough cells in both conditions, or those that the command line names.

    Parameters
    ----------
    args
        The command line's.
    cells
        All cells.
    least
        Least number of cells.
    """
    sizes = pd.crosstab(cells.obs[args.labels_key], cells.obs[args.batch_key])[[args.source, args.target]].min(axis=1)
    return list(args.labels or sizes.index[sizes >= least])


def means(
    args: argparse.Namespace, train: ad.AnnData, real: ad.AnnData, label: str, **arguments: object
) -> dict[str, float]:
    """Score the predicted mean of a held-out type, beside the mean delta and no change.

    Parameters
    ----------
    args
        The command line's.
    train, real
        Training cells with the genes chosen, and the held-out ones.
    label
        The type.
    **arguments
        Of the stack.
    """
    model = fitted(ac.ResponseStack, train, args, **arguments)
    with np.errstate(all="ignore"):
        table = model.get_mean(args.source, args.target, label)
    plain = fitted(ac.MeanShift, train, args).predict(source=args.source, target=args.target, labels=label)
    truth = real[:, train.var_names].X
    truth = truth.toarray() if hasattr(truth, "toarray") else np.asarray(truth)
    noise = truth.var(axis=0, ddof=1) / len(truth)
    truth = truth.mean(axis=0)
    control, mean = table["source"].to_numpy(), table["mean"].to_numpy()
    other = np.asarray(plain.X.mean(axis=0)).ravel()
    wrong = (truth - mean) / np.sqrt(table["standard_error"].to_numpy() ** 2 + noise)
    pred = model.predict(source=args.source, target=args.target, labels=label, cells="residual", seed=0)
    account = pred.uns["altercell"]
    return {
        "mse": float(((mean - truth) ** 2).mean()),
        "mse_of_mean_delta": float(((other - truth) ** 2).mean()),
        "mse_of_no_change": float(((control - truth) ** 2).mean()),
        **{f"in_{band:.0%}_band": float((np.abs(wrong) <= norm.ppf((1 + band) / 2)).mean()) for band in (0.5, 0.9)},
        **{name: float(account[name][0]) for name in ("effective_pairs", "inner_error", "mean_delta_error")},
        "warned": float(len(account["trust"]) > 0),
    }


def error(args: argparse.Namespace) -> pd.DataFrame:
    """Return the errors of the mean and what was said of them, a row a type.

    Parameters
    ----------
    args
        The command line's.
    """
    return pd.DataFrame([{"label": label, **means(args, train, real, label)} for label, train, real in splits(args)])


def nested(args: argparse.Namespace) -> pd.DataFrame:
    """Return the errors of the mean with members that were chosen without the held-out type, beside the default's.

    Every set of the closed forms is tried; ``chosen`` has the least error over the types whose response is known, each
    predicted from the others.

    Parameters
    ----------
    args
        The command line's.
    """
    sets = [some for size in range(1, len(CLOSED_FORMS) + 1) for some in combinations(CLOSED_FORMS, size)]
    rows = []
    for label, train, real in splits(args):
        tried = [{"members": ", ".join(some), **means(args, train, real, label, members=some)} for some in sets]
        table = pd.DataFrame(tried).assign(label=label)
        table["chosen"] = table.index == table["inner_error"].idxmin()
        rows.append(table)
        print(table.loc[table["chosen"], ["label", "members", "mse"]].to_string(header=False), flush=True)
    table = pd.concat(rows)
    by = table.groupby("members")["mse"].mean()
    print(f"chosen anew for every type: {table.loc[table['chosen'], 'mse'].mean():.6g}")
    print(by.sort_values().to_string())
    return table


def splits(args: argparse.Namespace) -> Iterator[tuple[str, ad.AnnData, ad.AnnData]]:
    """Yield each type with the training cells, their variable genes chosen, and the real cells.

    Parameters
    ----------
    args
        The command line's.
    """
    cells = data(args)
    for label in large_types(args, cells):
        train, real = held_out(args, cells, label)
        yield label, ac.data.select_genes(train, args.n_genes), real


def sensitivity(args: argparse.Namespace) -> pd.DataFrame:
    """Return the errors of the mean with fewer training types, fewer cells, and other numbers of genes.

    Parameters
    ----------
    args
        The command line's.
    """
    cells, rows = data(args), []
    for label in large_types(args, cells):
        train, real = held_out(args, cells, label)
        others = [name for name in cells.obs[args.labels_key].cat.categories if name != label]
        for seed in args.seeds:
            rng = np.random.default_rng(seed)
            for n_types in range(2, len(others) + 1):
                kept = [label, *rng.choice(others, n_types, replace=False)]
                part = train[train.obs[args.labels_key].isin(kept)].copy()
                part.obs[args.labels_key] = part.obs[args.labels_key].cat.remove_unused_categories()
                rows.append(one(args, part, real, label, seed, types=n_types))
            for share in (0.1, 0.2, 0.5, 1.0):
                some = rng.permutation(train.n_obs)[: round(share * train.n_obs)]
                rows.append(one(args, train[np.sort(some)].copy(), real, label, seed, cells=share))
        for n_genes in (500, 1_000, 2_000, 5_000, 9_000):
            if n_genes <= cells.n_vars:
                rows.append(one(args, train, real, label, 0, n_genes=n_genes, genes=n_genes))
        print(label, flush=True)
    return pd.DataFrame(rows)


def one(
    args: argparse.Namespace,
    train: ad.AnnData,
    real: ad.AnnData,
    label: str,
    seed: int,
    n_genes: int | None = None,
    **changed: float,
) -> dict[str, object]:
    """Return a row of the study of sensitivity; a question that cannot be asked has its error in place of scores.

    Parameters
    ----------
    args
        The command line's.
    train, real, label, seed
        The question.
    n_genes
        Number of genes; None for that of the command line.
    **changed
        What was changed.
    """
    (name, value), *_ = changed.items()
    row: dict[str, object] = {"label": label, "seed": seed, "changed": name, "value": value}
    try:
        chosen = ac.data.select_genes(train, n_genes or args.n_genes)
        return {**row, **means(args, chosen, real, label)}
    except ac.errors.AltercellError as problem:
        return {**row, "error": str(problem)}


def speed(args: argparse.Namespace) -> pd.DataFrame:
    """Return seconds and peak memory of the stack, of ScGen's training, and of the stack on simulated cells.

    Parameters
    ----------
    args
        The command line's.
    """
    cells = data(args)
    label = large_types(args, cells)[0]
    train = ac.data.select_genes(held_out(args, cells, label)[0], args.n_genes)
    rows = [timed("ResponseStack", lambda: asked(fitted(ac.ResponseStack, train.copy(), args), args, label))]

    def scgen() -> None:
        copy = train.copy()
        ac.ScGen.setup_anndata(copy, batch_key=args.batch_key, labels_key=args.labels_key)
        model = ac.ScGen(copy)
        model.train(max_epochs=100, batch_size=128, accelerator="cpu", enable_progress_bar=False)
        asked(model, args, label)

    rows.append(timed("ScGen, at most 100 epochs", scgen))
    if args.cells:
        simulated = ac.data.normalize(
            ac.datasets.simulate_response(
                n_cells=args.cells, n_genes=args.genes, n_types=args.types, marker_share=0.3 / args.types, seed=0
            )
        )
        usual = argparse.Namespace(
            batch_key="condition", labels_key="cell_type", source="control", target="stimulated", labels=None
        )
        part, _ = held_out(usual, simulated, "type_1")
        del simulated
        size = f"{args.cells:,} x {args.genes:,}, {args.types} types"
        rows.append(
            timed(f"ResponseStack, {size}", lambda: asked(fitted(ac.ResponseStack, part, usual), usual, "type_1"))
        )
    return pd.DataFrame(rows)


def asked(model: Any, args: argparse.Namespace, label: str) -> None:
    """Ask a model for the cells of a type.

    Parameters
    ----------
    model, args, label
        The model, the command line's, and the type.
    """
    model.predict(source=args.source, target=args.target, labels=label, seed=0)


def timed(name: str, work: Callable[[], object]) -> dict[str, object]:
    """Return the seconds that something takes, and the process's peak memory after it.

    Parameters
    ----------
    name
        Of the row.
    work
        The something.
    """
    start = time.perf_counter()
    work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"what": name, "seconds": time.perf_counter() - start, "peak_memory_so_far_mb": peak}


def protocol(args: argparse.Namespace) -> pd.DataFrame:
    """Return the scores of the stack by the protocol of its prototype, a row a type and way to make cells.

    Parameters
    ----------
    args
        The command line's.
    """
    rows = []
    for label, train, real in splits(args):
        model, real = fitted(ac.ResponseStack, train, args), real[:, train.var_names].copy()
        chosen = (train.obs[args.batch_key] == args.source) & (train.obs[args.labels_key] == label)
        control, everything = train[chosen].copy(), ad.concat([train, real])
        for way in model.cell_ways:
            pred = model.predict(source=args.source, target=args.target, labels=label, cells=way, seed=args.seeds[0])
            same = {"truth_control": control, "basis": everything, "seed": args.seeds[0]}
            found = ac.metrics.evaluate(pred, real, control, **same, **QUICK)
            rows.append({"label": label, "cells": way, **found["value"][found["genes"] == "all"].to_dict()})
    table = pd.DataFrame(rows)
    print(table.drop(columns="label").groupby("cells").mean())
    return table


STUDIES: dict[str, Callable[[argparse.Namespace], pd.DataFrame]] = {
    "table": lambda args: holdout(args, [stack()], "table"),
    "members": lambda args: holdout(args, members(), "members"),
    "networks": networks,
    "protocol": protocol,
    "ways": ways,
    "error": error,
    "nested": nested,
    "sensitivity": sensitivity,
    "speed": speed,
}


def command_line(doc: str, studies: Sequence[str] = ()) -> argparse.Namespace:
    """Read the command line, and make the folder.

    Parameters
    ----------
    doc
        What it says of itself.
    studies
        Names of the studies to choose from; none where there is one.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if studies:
        parser.add_argument("study", choices=sorted(studies))
    parser.add_argument("data", type=Path, help="h5ad of raw counts")
    parser.add_argument("folder", type=Path, help="folder to write to and to go on from")
    parser.add_argument("--csv", type=Path, help="where to write the table")
    parser.add_argument("--batch-key", default="condition")
    parser.add_argument("--labels-key", default="cell_type")
    parser.add_argument("--source", default="control")
    parser.add_argument("--target", default="stimulated")
    parser.add_argument("--labels", nargs="*", help="types to hold out; all with enough cells by default")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--n-genes", type=int, default=2_000)
    parser.add_argument("--target-sum", type=float, help="total to scale cells to; the median by default")
    parser.add_argument("--cells", type=int, default=0, help="simulated cells, for the study of speed")
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--types", type=int, default=30)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.folder.mkdir(parents=True, exist_ok=True)
    return args


def main() -> None:
    """Run the command line."""
    args = command_line(__doc__ or "", list(STUDIES))
    table = STUDIES[args.study](args)
    if args.csv is not None:
        table.to_csv(args.csv, index=False, float_format="%.6g")
    with pd.option_context("display.width", 250, "display.max_columns", 40, "display.max_rows", 400):
        print(ac.benchmark.summary(table) if "better" in table and "split" in table else table)


if __name__ == "__main__":
    main()
