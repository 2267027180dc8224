"""Tests that it learns a response whose truth is known, and knows how far off it may be."""

import numpy as np
import pytest

import altercell as ac
from altercell.models import MeanShift

ASK = {"source": "control", "target": "stimulated"}
N_TYPES = 6


def simulated(seed: int, specific_share: float = 0.8):
    """Return cells of three lineages of two types, with what a type's control cells tell of its response."""
    data = ac.datasets.simulate_response(
        960, 100, N_TYPES, n_lineages=3, lineage_similarity=0.95, specific_share=specific_share, library_size=2_000,
        seed=seed,
    )  # fmt: skip
    return ac.data.normalize(data)


def truth(data, kind: str, condition: str, dense) -> np.ndarray:
    """Return the mean log cell under the true profile, drawn anew by the simulator's own law."""
    rng = np.random.default_rng(0)
    expected = ac.datasets.true_mean(data, kind, condition) / 1e4
    library = data.obs["library"].to_numpy()[:, None]
    alpha = data.var["dispersion"].to_numpy()
    rate = rng.gamma(1 / alpha, alpha, (data.n_obs, data.n_vars)) * library * expected
    counts = rng.poisson(rate)
    return np.log1p(counts / counts.sum(1, keepdims=True) * 1e4).mean(0)


def errors_of(seed: int, fit, dense, **arguments) -> dict[str, float]:
    """Return squared errors of a held-out type's mean, relative to those of no change."""
    data, held = simulated(seed), "type_5"
    train, _ = ac.data.hold_out(data, batch="stimulated", labels=held)
    real = truth(data, held, "stimulated", dense)
    table = fit(train.copy(), **arguments).get_mean(**ASK, label=held)
    MeanShift.setup_anndata(train, batch_key="condition", labels_key="cell_type")
    shift = MeanShift(train)
    shift.train()
    moved = dense(shift.predict(**ASK, labels=held).X).mean(0)
    still = ((table["source"] - real) ** 2).sum()
    return {"stack": ((table["mean"] - real) ** 2).sum() / still, "shift": ((moved - real) ** 2).sum() / still}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("members", [("kriging", "attention"), "similar"])
def test_where_alike_types_respond_alike_it_beats_the_mean_shift(fit, dense, seed, members):
    errors = errors_of(seed, fit, dense, members=members)
    assert errors["stack"] < 0.5
    assert errors["stack"] < 0.6 * errors["shift"]


def test_its_inner_error_foretells_that(fit):
    train, _ = ac.data.hold_out(simulated(1), batch="stimulated", labels="type_5")
    entry = fit(train).predict(**ASK, labels="type_5", cells="decoded").uns["altercell"]
    assert entry["inner_error"][0] < 0.7 * entry["mean_delta_error"][0]
    assert not any("no better" in doubt for doubt in entry["trust"])


def test_the_standard_error_covers_the_true_mean(fit, dense):
    inside = []
    for seed in range(3):
        data = simulated(seed)
        model = fit(data)
        for kind in range(N_TYPES):
            table = model.get_mean(**ASK, label=f"type_{kind}")
            off = np.abs(table["mean"] - truth(data, f"type_{kind}", "stimulated", dense))
            inside.append((off <= 1.645 * table["standard_error"]).mean())
    # The controls' own noise is not in it, and the inner types' noise is taken off.
    assert 0.8 < np.mean(inside) < 0.97
