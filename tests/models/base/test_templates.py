"""Tests of cells with their counts, of the scale of log data, and of the templates of a condition."""

import re

import numpy as np
import pytest
from scipy import sparse

from altercell import NoChange
from altercell.data import normalize
from altercell.errors import DataError, KeyNotFoundError, NotTrainedError
from altercell.models.base._templates import THETA_RANGE, Counted, Templates, _dispersion, counted, find_templates

MISFIT = (
    r"the log data of the asked cells are not log1p of layers\['counts'\] scaled to one total a cell; make both by "
    r"altercell.data.normalize \(after a choice of genes, obs\['size_factor'\] holds the total over all genes\)"
)


@pytest.fixture
def of(fitted):
    """Return a function that makes data's cells with their counts, as a model of them sees them."""

    def of(adata, rows=None, **options) -> Counted:
        model = fitted(adata, NoChange, **options)
        return counted(model, model.cells(rows=rows), "the asked cells")

    return of


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_counts_and_totals_are_read(with_counts, of, form):
    adata = with_counts()
    y, n = adata.layers["counts"].copy(), adata.obs["size_factor"].to_numpy()
    adata.layers["counts"], adata.X = form(y), form(adata.X)
    rows = np.array([7, 3, 90, 4])
    for cells, where in ((of(adata), np.arange(120)), (of(adata, rows), rows)):
        assert len(cells) == len(where)
        for positions in (slice(1, 3), np.array([2, 0, 2])):
            counts, totals = cells.read(positions)
            assert counts.dtype == np.int64
            np.testing.assert_array_equal(counts, y[where[positions]])
            np.testing.assert_allclose(totals, n[where[positions], None] / 1e4, rtol=1e-6)
        np.testing.assert_allclose(cells.totals(), n[where] / 1e4, rtol=1e-6)


def test_blocks_are_the_cells_in_order(with_counts, of):
    adata = with_counts()
    cells = of(adata)
    assert [(part.start, part.stop) for part in cells.slices(50)] == [(0, 50), (50, 100), (100, 120)]
    positions, counts, totals = zip(*cells.blocks(50), strict=True)
    assert list(positions) == list(cells.slices(50))
    np.testing.assert_array_equal(np.concatenate(counts), adata.layers["counts"])
    np.testing.assert_allclose(np.concatenate(totals).ravel(), cells.totals(), rtol=1e-7)
    np.testing.assert_allclose(np.concatenate(list(cells.log_blocks())), adata.X, atol=1e-5)


def test_other_rows_of_the_same_data(with_counts, of):
    adata, rows = with_counts(), np.array([5, 100, 2])
    cells = of(adata, np.arange(10)).at(rows)
    np.testing.assert_array_equal(cells.read(slice(0, 3))[0], adata.layers["counts"][rows])
    # The scale stays as it was found, on other cells.
    assert cells.scale == of(adata, np.arange(10)).scale
    np.testing.assert_allclose(cells.totals(), of(adata).totals()[rows], rtol=1e-6)


@pytest.mark.parametrize("target_sum", [1e4, None, 777.0])
def test_the_scale_is_the_total_that_the_log_data_are_scaled_to(with_counts, of, target_sum):
    adata = with_counts(target_sum)
    n = adata.obs["size_factor"].to_numpy()
    want = np.median(n) if target_sum is None else target_sum
    assert of(adata).scale == pytest.approx(want, rel=1e-5)
    np.testing.assert_allclose(np.concatenate(list(of(adata).log_blocks())), adata.X, atol=1e-4)


@pytest.mark.parametrize("key", [None, "depth"])
def test_totals_are_of_the_named_column_or_of_the_counts(with_counts, fitted, key):
    adata = with_counts()
    n = adata.obs.pop("size_factor").to_numpy()
    adata.obs["depth"] = n
    model = fitted(adata, NoChange, size_factor_key=key)
    cells = counted(model, model.cells(), "the asked cells")
    assert cells.cells.schema.size_factor_key == key
    assert cells.scale == pytest.approx(1e4, rel=1e-5)
    np.testing.assert_allclose(cells.totals(), n / 1e4, rtol=1e-6)


def test_after_a_choice_of_genes_totals_are_over_all_of_them(with_counts, of):
    adata = with_counts()
    few = adata[:, ::2].copy()
    cells = of(few)
    assert cells.scale == pytest.approx(1e4, rel=1e-5)
    np.testing.assert_allclose(np.concatenate(list(cells.log_blocks())), adata.X[:, ::2], atol=1e-5)
    del few.obs["size_factor"]  # then the total is that of the genes that are left, and no scale fits
    with pytest.raises(DataError, match=MISFIT):
        of(few)


def test_genes_in_another_order_are_the_models(with_counts, fitted):
    adata = with_counts()
    model, other = fitted(adata, NoChange), adata[:, ::-1].copy()
    cells = counted(model, model.cells(other), "the asked cells")
    np.testing.assert_array_equal(cells.read(slice(0, 120))[0], adata.layers["counts"])


def test_without_a_layer_of_counts_it_says_what_to_do(with_counts, of):
    adata = with_counts()
    del adata.layers["counts"]
    message = (
        "cells='transport' moves measured counts, and the asked cells have none: layers['counts'] is missing. "
        "altercell.data.normalize keeps them there; for log data alone ask for cells='residual'"
    )
    with pytest.raises(KeyNotFoundError, match=re.escape(message)):
        of(adata)


def spoilt(adata, how: str) -> None:
    rng, y = np.random.default_rng(0), adata.layers["counts"]
    if how == "other cells' counts":
        adata.layers["counts"], adata.obs["size_factor"] = y[::-1].copy(), adata.obs["size_factor"].to_numpy()[::-1]
    elif how == "another base":
        adata.X = adata.X / np.float32(np.log(2))
    elif how == "other totals":
        adata.obs["size_factor"] *= rng.choice([1, 1.5], 120)
    elif how == "positive where none was counted":
        row, column = np.argwhere(y == 0)[0]
        adata.X[row, column] = 0.5
    elif how == "nothing counted":
        adata.layers["counts"] = np.zeros_like(y)
    else:
        hit = np.argwhere(y > 0)
        row, column = hit[rng.choice(len(hit), int(float(how) * len(hit)), replace=False)].T
        adata.X[row, column] += 0.1


@pytest.mark.parametrize(
    "how",
    [
        "other cells' counts",
        "another base",
        "other totals",
        "positive where none was counted",
        "nothing counted",
        "0.02",
    ],
)
def test_log_data_that_are_not_those_of_the_counts_are_refused(with_counts, fitted, how):
    adata = with_counts()
    model = fitted(adata, NoChange)
    spoilt(adata, how)
    with pytest.raises(DataError, match=MISFIT):
        counted(model, model.cells(), "the asked cells")


def test_a_few_values_that_do_not_fit_are_borne(with_counts, fitted):
    adata = with_counts()
    model = fitted(adata, NoChange)
    spoilt(adata, "0.005")
    assert counted(model, model.cells(), "the asked cells").scale == pytest.approx(1e4, rel=1e-5)


def test_a_model_of_counts_reads_what_it_is_set_up_on(counts, fitted):
    model = fitted(counts, NoChange)
    cells = counted(model, model.cells(), "the asked cells")
    np.testing.assert_array_equal(cells.read(slice(0, 120))[0], counts.X)
    assert cells.scale == 1e4
    np.testing.assert_allclose(cells.totals(), counts.X.sum(1) / 1e4, rtol=1e-6)


def test_a_cell_without_counts_is_named(with_counts, fitted):
    adata = with_counts()
    model = fitted(adata, NoChange)
    adata.X[4], adata.layers["counts"][4] = 0, 0
    del adata.obs["size_factor"]
    with pytest.raises(DataError, match=f"no count in cell '{adata.obs_names[4]}' among the model's genes"):
        counted(model, model.cells(), "the asked cells")


def test_templates_are_the_target_cells_by_type_in_order_of_their_totals(response, templates, as_dense):
    adata, x = response[0], as_dense(response[0].X)
    totals = templates.cells.totals()
    obs = adata.obs.iloc[templates.cells.cells.rows]
    assert (obs["condition"] == "stimulated").all()
    assert len(obs) == (adata.obs["condition"] == "stimulated").sum()
    for kind, pool in enumerate(templates.pools):
        assert sorted(pool) == np.flatnonzero(obs["cell_type"] == f"type_{kind}").tolist()
        assert (np.diff(totals[pool]) >= 0).all()
    assert [len(pool) for pool in templates.pools] == [80, 80, 0]
    for condition, profiles in (("control", templates.source), ("stimulated", templates.target)):
        for kind in range(3):
            mine = x[(adata.obs["condition"] == condition) & (adata.obs["cell_type"] == f"type_{kind}")]
            assert profiles.sizes[kind] == len(mine)
            np.testing.assert_allclose(profiles.means[kind], mine.mean(0) if len(mine) else 0, atol=1e-4)
            assert profiles.noise[kind].any() == bool(len(mine))


def test_templates_need_the_training_cells(shift, tmp_path):
    shift.save(tmp_path / "model")
    alone = type(shift).load(tmp_path / "model")
    with pytest.raises(
        NotTrainedError, match="this model has none: load it with adata=, or save it with save_anndata=True"
    ):
        find_templates(alone, 0, 1)


def thetas(y: np.ndarray, n: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Solve Var(r) = mu E[1/n] + mu^2 / theta of r = y / n over types, cell by cell."""
    signal, noise = np.zeros(y.shape[1]), np.zeros(y.shape[1])
    for kind in np.unique(kinds):
        mine = kinds == kind
        rate = y[mine] / n[mine, None]
        mean = rate.mean(0)
        signal += len(rate) * mean**2
        noise += ((rate - mean) ** 2).sum(0) - mean * (1 / n[mine]).sum()
    theta = np.array([s / v if v > 0 else np.inf for s, v in zip(signal, noise, strict=True)])
    return np.clip(np.where(signal > 0, theta, 1), 0.05, 50)


def test_the_dispersion_is_that_of_the_equation(response, templates):
    cells = templates.cells
    kinds = response[0].obs["cell_type"].cat.codes.to_numpy()[cells.cells.rows]
    y, n = cells.read(slice(0, len(cells)))
    np.testing.assert_allclose(templates.theta(np.unique(kinds)), thetas(y, n.ravel(), kinds), rtol=1e-6)
    assert templates.theta(np.unique(kinds)).shape == (120,)


def test_a_known_dispersion_is_found(make_cells, fitted):
    # Two types of different means and 1,200 cells each, totals over a range of four: within a fifth of the truth.
    rng = np.random.default_rng(0)
    theta = np.array([0.3, 0.7, 2.0, 6.0, 0.01, np.inf, 1.0])
    mean = np.array([[4.0, 0.5, 8, 30, 2, 9, 0], [1, 2, 20, 10, 2, 9, 0]])
    adata = make_cells(counts=True, sizes={("B", "other"): 1200, ("T", "other"): 1200, ("B", "control"): 5}, n_genes=8)
    kinds = (adata.obs["cell_type"] == "T").to_numpy().astype(int)
    depth = rng.uniform(0.5, 2, adata.n_obs)
    expected = mean[kinds] * depth[:, None]
    finite = np.where(np.isinf(theta), 1e9, theta)
    y = rng.poisson(rng.gamma(finite, expected / finite))
    # The last gene fills the cell up, so that its total is a multiple of its depth.
    rest = np.round(depth * 5_000)[:, None] - y.sum(1, keepdims=True)
    assert (rest > 0).all()
    adata.X = np.hstack([y, rest]).astype(np.float32)
    adata = normalize(adata)
    model = fitted(adata, NoChange)
    rows = np.flatnonzero(adata.obs["condition"] == "other")
    codes = model.schema.cell_label_codes(adata)
    cells = counted(model, model.cells(rows=rows), "the cells")
    n_types = len(model.schema.labels)

    def found_theta(some, of, number):
        return Templates(some, [], None, None, *_dispersion(some, of, number)).theta(np.arange(number))

    found = found_theta(cells, codes[rows], n_types)
    np.testing.assert_allclose(found[:4], theta[:4], rtol=0.2)
    assert found[4] == THETA_RANGE[0]  # .01, below the range
    assert found[5] > 25  # Poisson: no dispersion beyond noise
    assert found[6] == 1  # never seen
    assert ((found >= THETA_RANGE[0]) & (found <= THETA_RANGE[1])).all()
    # Cells of one type alone, and codes with gaps, are no trouble.
    one = rows[codes[rows] == codes[rows].max()]
    np.testing.assert_allclose(found_theta(cells.at(one), codes[one], 7)[:4], theta[:4], rtol=0.3)
