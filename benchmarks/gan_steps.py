"""Speed of ScGAN's training beside a bare PyTorch loop of the same networks: ``python -m benchmarks.gan_steps``.

Epochs of ``train`` and of the bare loop in turn, so that the machine's drift touches both. An epoch is one move of the
critic a batch, and one of the generator for every five of these.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import torch
from scipy import sparse

import altercell as ac
from altercell.models.scgan import ScGANModule
from benchmarks.speed import EpochClock

N_CRITIC = 5


def counts(n_cells: int, n_genes: int, density: float, seed: int = 0) -> ad.AnnData:
    """Return sparse counts of four types.

    Parameters
    ----------
    n_cells, n_genes, density, seed
        Size, share of values that are not zero, and seed of the draws.
    """
    rng = np.random.default_rng(seed)
    values = sparse.random(n_cells, n_genes, density=density, format="csr", dtype=np.float32, random_state=rng)
    values.data = np.ceil(values.data * 20).astype(np.float32)
    obs = pd.DataFrame({"cell_type": rng.choice(list("abcd"), n_cells)}, index=[f"cell_{n}" for n in range(n_cells)])
    return ad.AnnData(values, obs=obs)


def bare_epoch(
    module: ScGANModule,
    critic: torch.optim.Optimizer,
    generator: torch.optim.Optimizer,
    values: sparse.csr_matrix,
    classes: torch.Tensor,
    batch_size: int,
    rng: np.random.Generator,
) -> None:
    """Train one epoch with nothing but PyTorch and the two networks.

    Parameters
    ----------
    module
        Holds the networks, in training mode.
    critic, generator
        Their optimisers.
    values, classes
        Cells, shape (n_cells, n_genes), and their classes.
    batch_size
        Cells a move.
    rng
        Of the order.
    """
    order = rng.permutation(values.shape[0])
    for number, start in enumerate(range(0, len(order), batch_size)):
        rows = order[start : start + batch_size]
        x, c = torch.from_numpy(values[rows].toarray()), classes[rows]
        x = x * (20_000 / x.sum(1, keepdim=True))
        with torch.no_grad():
            fake = module.generator(torch.randn(len(x), module.n_latent), c, keep=False)
        scores = module.critic(torch.cat([x, fake]), torch.cat([c, c]))
        epsilon = torch.rand(len(x), 1)
        between = (epsilon * x + (1 - epsilon) * fake).requires_grad_(True)
        (slope,) = torch.autograd.grad(module.critic(between, c).sum(), between, create_graph=True)
        loss = scores[len(x) :].mean() - scores[: len(x)].mean() + 10 * (slope.norm(dim=1) - 1).square().mean()
        critic.zero_grad()
        loss.backward()
        critic.step()
        if number % N_CRITIC == N_CRITIC - 1:
            made = module.generator(torch.randn(len(x), module.n_latent), c)
            generator.zero_grad()
            (-module.critic(made, c).mean()).backward()
            generator.step()


def ratio(Model: type, adata: ad.AnnData, batch_size: int, rounds: int) -> dict[str, object]:
    """Time epochs of ``train`` and of the bare loop in turn.

    Parameters
    ----------
    Model
        ``ScGAN`` or ``CscGAN``, with its default networks.
    adata
        The cells.
    batch_size
        Cells a move.
    rounds
        How many epochs of each are timed.
    """
    Model.setup_anndata(adata, labels_key="cell_type")
    model, twin = Model(adata), Model(adata)
    module = twin.module.train()
    optimizers = [
        torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.5, 0.9), amsgrad=True)
        for network in (module.critic, module.generator)
    ]
    codes = torch.from_numpy(pd.Categorical(adata.obs["cell_type"]).codes.astype(np.int64))
    classes = codes if module.n_classes > 1 else torch.zeros_like(codes)
    rng, ours, bare, clock = np.random.default_rng(0), [], [], EpochClock()
    for number in range(rounds + 1):
        model.train(2, batch_size=batch_size, accelerator="cpu", enable_progress_bar=False, callbacks=[clock])
        start = time.perf_counter()
        bare_epoch(module, *optimizers, adata.X, classes, batch_size, rng)
        if number:  # the first round warms both up
            ours.append(clock.seconds[-1])
            bare.append(time.perf_counter() - start)
    ratios = [a / b for a, b in zip(ours, bare, strict=True)]
    moves = int(np.ceil(adata.n_obs / batch_size))
    return {
        "model": Model.__name__,
        "cells": adata.n_obs,
        "genes": adata.n_vars,
        "batch_size": batch_size,
        "critic_moves_per_second": moves / statistics.median(ours),
        "critic_moves_per_second_bare": moves / statistics.median(bare),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=3_200)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--density", type=float, default=0.08)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    adata = counts(args.cells, args.genes, args.density)
    found = [ratio(Model, adata.copy(), args.batch_size, args.rounds) for Model in (ac.ScGAN, ac.CscGAN)]
    answer = {
        "altercell": ac.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": args.threads,
        "training": found,
    }
    print(json.dumps(answer, indent=1))
    if args.json is not None:
        args.json.write_text(json.dumps(answer, indent=1) + "\n")


if __name__ == "__main__":
    main()
