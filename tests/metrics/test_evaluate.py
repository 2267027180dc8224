import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData, read_h5ad
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist
from scipy.stats import pearsonr
from sklearn.metrics import r2_score

from altercell import metrics as acm
from altercell.errors import DataError, GeneMismatchError, KeyNotFoundError, SpaceMismatchError
from altercell.metrics import evaluate, metric_names

FAST = {"n_top": 20, "n_trees": 10}
NAMES = [
    "pearson_r2", "pearson_r2_top20", "r2", "r2_top20", "mse", "mse_top20", "pearson_delta", "pearson_delta_top20",
    "direction_top20", "top_overlap", "variance_log_ratio", "variance_pearson_r2", "variance_pearson_r2_top20",
    "edistance", "mmd", "wasserstein", "forest_auc", "genes_differ", "zeros_difference", "negative_share",
]  # fmt: skip


def dense(adata: AnnData) -> AnnData:
    adata = adata.copy()
    adata.X = adata.X.toarray() if sp.issparse(adata.X) else adata.X
    return adata


def test_form_of_the_table(arms):
    table = evaluate(*arms, **FAST)
    assert list(table.index) == NAMES == metric_names(20)
    assert table.index.name == "metric"
    assert list(table.columns) == ["value", "genes", "better"]
    assert table["value"].dtype == np.float64
    assert np.isfinite(table["value"]).all()
    assert set(table["better"]) == {"higher", "lower", "zero"}
    assert set(table["genes"]) == {"all", "top 20"}


def test_values_against_independent_statements(arms):
    value = evaluate(*arms, n_cells=None, **FAST)["value"]
    x, y = (np.asarray(dense(adata).X, dtype=np.float64) for adata in arms[:2])
    top = [int(name[1:]) for name in acm.de_genes(arms.real, arms.control, n=20)]
    assert value["pearson_r2"] == pytest.approx(pearsonr(x.mean(0), y.mean(0)).statistic ** 2)
    assert value["r2_top20"] == pytest.approx(r2_score(y.mean(0)[top], x.mean(0)[top]))
    assert value["mse_top20"] == pytest.approx(np.mean((x.mean(0) - y.mean(0))[top] ** 2), abs=1e-12)
    assert value["variance_pearson_r2_top20"] == pytest.approx(pearsonr(x.var(0)[top], y.var(0)[top]).statistic ** 2)
    assert value["zeros_difference"] == pytest.approx((x == 0).mean() - (y == 0).mean())
    assert value["negative_share"] == pytest.approx((x < 0).mean())
    # Of 100 of the 120 predicted cells, so not the same to the last digit.
    assert abs(value["edistance"] - (2 * cdist(x, y).mean() - pdist(x).mean() - pdist(y).mean())) < 0.2


def test_table_agrees_with_the_functions_of_the_same_names(arms):
    pred = arms.pred[:100]
    value = evaluate(pred, arms.real, arms.control, **FAST)["value"]
    x, y = pred.X, arms.real.X
    assert value["edistance"] == pytest.approx(acm.edistance(x, y))
    assert value["wasserstein"] == pytest.approx(acm.wasserstein_pcs(x, y), rel=1e-6)
    assert value["forest_auc"] == pytest.approx(acm.forest_auc(x, y, n_trees=10))
    assert value["genes_differ"] == acm.genes_differ(pred, arms.real)


def test_a_true_shift_beats_no_change_on_means_and_has_no_zeros(arms):
    shift = evaluate(*arms, **FAST)["value"]
    none = evaluate(arms.control, arms.real, arms.control, **FAST)["value"]
    for name in ("pearson_r2", "r2", "pearson_delta", "direction_top20", "top_overlap"):
        assert shift[name] > none[name]
    for name in ("mse", "edistance", "mmd", "wasserstein"):
        assert shift[name] < none[name]
    assert none[["pearson_delta", "direction_top20", "top_overlap"]].tolist() == [0, 0, 0]
    assert shift["zeros_difference"] < -0.2
    assert none["negative_share"] == 0 < shift["negative_share"]


def test_no_change_is_none_whatever_the_format(arms):
    value = evaluate(dense(arms.control), arms.real, arms.control, metrics=["pearson_delta", "top_overlap"], n_top=20)
    assert value["value"].tolist() == [0, 0]


def test_real_cells_as_their_own_prediction(arms):
    value = evaluate(arms.real, arms.real, arms.control, **FAST)["value"]
    assert value[["pearson_r2", "r2", "direction_top20"]].tolist() == pytest.approx([1, 1, 1], abs=0.06)
    assert value[["mse", "variance_log_ratio", "wasserstein", "genes_differ", "zeros_difference"]].abs().max() == 0
    assert value["edistance"] < 0
    # The control of the truth is not that of the prediction, so even the truth does not reach 1.
    assert 0.9 < value["pearson_delta"] < 1


def test_giving_the_control_twice_raises_the_score_of_delta(arms):
    few = arms.control[:12]
    split = evaluate(arms.real, arms.real, few, metrics="pearson_delta")["value"].item()
    shared = evaluate(arms.real, arms.real, few, truth_control=few, metrics="pearson_delta")["value"].item()
    assert shared == pytest.approx(1)
    assert split < 0.95


def test_names_of_cells_decide_how_the_prediction_is_split(arms):
    renamed = arms.pred.copy()
    renamed.obs_names = [f"new-{i}" for i in range(renamed.n_obs)]
    paired, unpaired = (
        evaluate(pred, arms.real, arms.control, metrics=["pearson_delta"])["value"].item()
        for pred in (arms.pred, renamed)
    )
    assert paired != pytest.approx(unpaired, abs=1e-6)


def test_genes_are_matched_by_name(arms):
    expected = evaluate(*arms, **FAST)["value"]
    order = np.random.default_rng(0).permutation(arms.real.n_vars)
    reordered = evaluate(arms.pred, arms.real[:, order], arms.control[:, ::-1], **FAST)["value"]
    pd.testing.assert_series_equal(reordered, expected)
    half = evaluate(arms.pred[:, :80], arms.real, arms.control, **FAST)["value"]
    alone = evaluate(*(adata[:, :80] for adata in arms), **FAST)["value"]
    pd.testing.assert_series_equal(half, alone)
    with pytest.raises(GeneMismatchError, match="real lacks 2 of the 150 genes of the prediction: 'g0', 'g1'"):
        evaluate(arms.pred, arms.real[:, 2:], arms.control)
    with pytest.raises(GeneMismatchError, match="control lacks 1 of the 150"):
        evaluate(arms.pred, arms.real, arms.control[:, 1:])


def test_sparse_and_dense_cells_score_alike(arms):
    expected = evaluate(*arms, **FAST)["value"].drop("forest_auc")
    value = evaluate(*(dense(adata) for adata in arms), **FAST)["value"].drop("forest_auc")
    pd.testing.assert_series_equal(value, expected, rtol=1e-4)


def test_two_spaces_are_refused(arms):
    whole = arms.real.X.astype(bool).astype(np.float32)
    counts = AnnData(whole, obs=arms.real.obs, var=arms.real.var, uns={"altercell": {"space": "counts"}})
    with pytest.raises(SpaceMismatchError, match="pred is 'log1p of counts per median' but real is 'counts'"):
        evaluate(arms.pred, counts, arms.control)
    with pytest.raises(SpaceMismatchError, match="but control is 'counts'"):
        evaluate(arms.pred, arms.real, counts)


def test_metrics_can_be_chosen(arms):
    assert list(evaluate(*arms, metrics=["mse", "pearson_r2"]).index) == ["mse", "pearson_r2"]
    assert list(evaluate(*arms, metrics="mse_top100").index) == ["mse_top100"]
    with pytest.raises(KeyNotFoundError, match=r"no such metric: 'R2'; there are 'pearson_r2', .*'negative_share'"):
        evaluate(*arms, metrics=["R2"])
    with pytest.raises(KeyNotFoundError, match=r"'mse_top100'; there are .*'mse_top20'"):
        evaluate(*arms, metrics=["mse_top100"], n_top=20)


def test_chosen_metrics_compute_no_more_than_they_need(arms, monkeypatch):
    monkeypatch.setattr("altercell.metrics._comparison.rank_genes", None)
    monkeypatch.setattr("altercell.metrics._comparison.project_on_pcs", None)
    assert evaluate(*arms, metrics=["mse", "edistance", "pearson_delta"])["value"].notna().all()


def test_shared_parts_are_computed_once(arms, monkeypatch):
    calls = []
    for name in ("rank_genes", "project_on_pcs"):
        original = getattr(acm._comparison, name)
        monkeypatch.setattr(acm._comparison, name, lambda *a, f=original, n=name, **k: (calls.append(n), f(*a, **k))[1])
    evaluate(*arms, **FAST)
    assert sorted(calls) == ["project_on_pcs", "rank_genes"]


def test_inputs_and_generators_are_left_as_they_were(arms):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    before = [adata.copy() for adata in arms]
    first, second = (evaluate(*arms, seed=3, **FAST) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    for old, new in zip(before, arms, strict=True):
        np.testing.assert_array_equal(dense(old).X, dense(new).X)
        assert list(old.obs.columns) == list(new.obs.columns)
        assert old.uns == new.uns


def test_another_basis_of_components(arms):
    chosen = {"metrics": ["wasserstein", "mmd"], "n_top": 20}
    assert not np.allclose(
        evaluate(*arms, **chosen)["value"], evaluate(*arms, basis=arms.control, **chosen)["value"], rtol=1e-3
    )


def test_few_genes_leave_no_top_to_find(arms):
    few = [adata[:, :15] for adata in arms]
    value = evaluate(*few, **FAST)["value"]
    assert np.isnan(value["top_overlap"])
    assert value["mse_top20"] == pytest.approx(value["mse"])


def test_two_cells_an_arm_are_the_least(arms):
    value = evaluate(*(adata[:2] for adata in arms), **FAST)["value"]
    assert np.isfinite(value["mse"])
    with pytest.raises(DataError, match="real has 1 cells and 150 genes"):
        evaluate(arms.pred, arms.real[:1], arms.control)
    with pytest.raises(DataError, match="pred has 120 cells and 0 genes"):
        evaluate(arms.pred[:, :0], arms.real, arms.control)


def test_nan_is_refused_by_name(arms):
    broken = arms.pred.copy()
    broken.X[3, 4] = np.nan
    with pytest.raises(DataError, match="pred holds NaN or infinite values, in 1 of 120 cells"):
        evaluate(broken, arms.real, arms.control)


@pytest.mark.real
def test_real_data_put_trivial_predictions_and_the_ceiling_in_order(real_data):
    """No change, control + the mean delta of the other types, and the ceiling stand in their order."""
    import scanpy as sc
    from anndata import read_h5ad

    adata = read_h5ad(real_data / "kang_pbmc.h5ad")
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    of_type = (adata.obs["cell_type"] == "CD4 T cells").to_numpy()
    stimulated = (adata.obs["condition"] == "stimulated").to_numpy()
    sc.pp.highly_variable_genes(adata, n_top_genes=2_000)
    adata = adata[:, adata.var["highly_variable"]].copy()
    control, real = adata[of_type & ~stimulated].copy(), adata[of_type & stimulated].copy()
    deltas = []
    for label in set(adata.obs["cell_type"]) - {"CD4 T cells"}:
        other = (adata.obs["cell_type"] == label).to_numpy()
        arms = (adata.X[other & stimulated], adata.X[other & ~stimulated])
        deltas.append(np.subtract(*(np.asarray(arm.mean(axis=0)).ravel() for arm in arms)))
    pred = control.copy()
    pred.X = (control.X.toarray() + np.mean(deltas, axis=0)).astype(np.float32)
    chosen = ["pearson_r2", "pearson_delta", "edistance", "zeros_difference"]
    shift = evaluate(pred, real, control, metrics=chosen)["value"]
    none = evaluate(control, real, control, metrics=chosen)["value"]
    best = acm.ceiling(real, control, metrics=chosen)["value"]
    assert none["pearson_r2"] + 0.03 < shift["pearson_r2"] < best["pearson_r2"] - 0.03
    assert 0.7 < shift["pearson_delta"] < best["pearson_delta"]
    assert abs(best["edistance"]) < 0.1 < shift["edistance"] < none["edistance"]
    assert shift["zeros_difference"] < -0.5


def mixture(arms, share: float) -> AnnData:
    """Cells of which a share is real and the rest is control: the smaller the share, the worse the prediction."""
    n_real = round(share * arms.real.n_obs)
    mixed = arms.real.copy()
    mixed.X = sp.vstack([arms.real.X[:n_real], arms.control.X[: arms.real.n_obs - n_real]]).tocsr()
    return mixed


def test_every_score_of_agreement_worsens_in_its_stated_direction(arms):
    tables = [evaluate(mixture(arms, share), arms.real, arms.control, **FAST) for share in (1.0, 0.6, 0.2)]
    # The spread of a mixture, its zeros and the correlation of its deltas need not be monotonic.
    graded = [
        "pearson_r2", "pearson_r2_top20", "r2", "r2_top20", "mse", "mse_top20", "variance_pearson_r2_top20",
        "edistance", "mmd", "wasserstein", "forest_auc",
    ]  # fmt: skip
    for name in graded:
        sign = {"higher": -1, "lower": 1}[tables[0]["better"][name]]
        scores = [sign * table["value"][name] for table in tables]
        assert scores[0] < scores[1] < scores[2], name


def test_a_collapsed_prediction_has_too_little_variance(arms):
    collapsed = dense(arms.pred)
    collapsed.X = np.repeat(collapsed.X.mean(axis=0, keepdims=True), collapsed.n_obs, axis=0)
    value = evaluate(collapsed, arms.real, arms.control, **FAST)["value"]
    assert value["variance_log_ratio"] < -2
    assert np.isnan(value["variance_pearson_r2"])
    assert value["pearson_r2"] == pytest.approx(1, abs=1e-6)
    assert value["forest_auc"] > 0.99


def test_score_of_delta_by_hand(arms):
    """With 2 control cells the halves are the cells themselves, whatever the seed."""
    control, real = arms.control[:2].copy(), arms.real
    pred = arms.pred[:2].copy()
    p, r, c = (np.asarray(dense(adata).X, dtype=np.float64) for adata in (pred, real, control))
    expected = [pearsonr(p[i] - c[i], r.mean(0) - c[1 - i]).statistic for i in (0, 1)]
    for seed in range(3):
        value = evaluate(pred, real, control, metrics=["pearson_delta"], seed=seed)["value"].item()
        assert value == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("wrap", [sp.csc_matrix, sp.csr_array, np.asfortranarray])
def test_any_format_and_views(arms, wrap):
    chosen = {"metrics": ["mse", "edistance", "zeros_difference", "pearson_delta"]}
    expected = evaluate(*arms, **chosen)["value"]
    others = []
    for adata in arms:
        other = dense(adata)
        other.X = wrap(other.X)
        others.append(other[:, :])
    pd.testing.assert_series_equal(evaluate(*others, **chosen)["value"], expected, rtol=1e-6)


def test_cells_on_disk(arms, tmp_path):
    chosen = {"metrics": ["mse", "edistance", "pearson_delta"]}
    backed = []
    for name, adata in zip(("pred", "real", "control"), arms, strict=True):
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
        backed.append(read_h5ad(tmp_path / f"{name}.h5ad", backed="r"))
    try:
        pd.testing.assert_frame_equal(evaluate(*backed, **chosen), evaluate(*arms, **chosen))
    finally:
        for adata in backed:
            adata.file.close()


def test_counts_are_scored_as_counts(arms):
    counts = []
    for adata in (arms.control, arms.real, arms.control):
        count = AnnData(adata.X.expm1().rint().astype(np.int64), obs=adata.obs, var=adata.var)
        counts.append(count)
    value = evaluate(*counts, metrics=["mse", "negative_share", "zeros_difference"])["value"]
    x, y = (count.X.toarray() for count in counts[:2])
    assert value["mse"] == pytest.approx(np.mean((x.mean(0) - y.mean(0)) ** 2))
    assert value["zeros_difference"] == pytest.approx((x == 0).mean() - (y == 0).mean())


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1_000))
def test_the_order_of_cells_does_not_matter(arms, seed):
    rng = np.random.default_rng(seed)
    shuffled = [adata[rng.permutation(adata.n_obs)] for adata in (arms.pred[:100], arms.real, arms.control)]
    chosen = {"metrics": [name for name in NAMES if name != "forest_auc"], "n_top": 20}
    expected = evaluate(arms.pred[:100], arms.real, arms.control, **chosen)["value"]
    pd.testing.assert_series_equal(evaluate(*shuffled, **chosen)["value"], expected, rtol=1e-5, atol=1e-9)


def test_the_cap_on_cells_leaves_the_means(arms):
    capped, full = (evaluate(*arms, n_cells=n_cells, **FAST)["value"] for n_cells in (30, None))
    of_all = ["pearson_r2", "mse", "variance_log_ratio", "zeros_difference", "negative_share", "pearson_delta"]
    assert capped[of_all].tolist() == full[of_all].tolist()
    assert capped["edistance"] != full["edistance"]
    assert capped["genes_differ"] < full["genes_differ"]  # fewer cells find fewer differences
