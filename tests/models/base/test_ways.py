"""Tests of the ways from a prediction to cells: decoded, with the cell's residual, by transport, and sampled."""

import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from altercell import MeanShift, NoChange, ResponseStack, ScGen, StimulatedMean
from altercell.errors import DataError, GroupError, KeyNotFoundError, NotTrainedError
from altercell.models.base._templates import counted, find_templates
from altercell.models.base._transport import TemplateTransport
from altercell.models.base._ways import Kinds, _numbers_within

ASK = {"source": "control", "target": "stimulated"}
LOG = "log1p of counts per 10,000"
CLOSED = [MeanShift, NoChange, StimulatedMean]


@pytest.fixture(scope="module")
def three(with_counts, fitted) -> MeanShift:
    """A model of three conditions and types with counts, shared by the tests: look at it, do not change it."""
    return fitted(with_counts())


@pytest.fixture(scope="module")
def nb(nb_model) -> ScGen:
    return nb_model


def by_type(values: np.ndarray, obs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(values).groupby(obs["cell_type"].astype(str).to_numpy()).mean()


def counts_of(predicted: ad.AnnData, as_dense) -> np.ndarray:
    return as_dense(predicted.layers["counts"])


def residual(x: np.ndarray, moved: np.ndarray, obs: pd.DataFrame) -> np.ndarray:
    """Cut off what is negative, and bring every gene of a type to max(0, mean of what is not cut), cell by cell."""
    got = np.zeros_like(moved)
    for kind in obs["cell_type"].unique():
        mine = (obs["cell_type"] == kind).to_numpy()
        clipped = np.maximum(moved[mine], 0)
        for gene in range(x.shape[1]):
            raised, wanted = clipped[:, gene].mean(), max(0.0, moved[mine, gene].mean())
            got[mine, gene] = clipped[:, gene] * (wanted / raised if raised > 0 else 1)
    return got


def test_what_each_model_offers(three, with_counts, fitted, model, nb, counts):
    assert three.cell_ways == ("decoded", "residual", "transport")
    assert three.has_unshifted
    for cls in (NoChange, StimulatedMean):
        none = fitted(with_counts(), cls)
        assert none.cell_ways == ("decoded", "transport")
        assert not none.has_unshifted
    assert model.cell_ways == ("decoded", "residual", "transport")
    assert nb.cell_ways == ("decoded", "residual", "transport", "sampled")
    assert (nb.works_on_counts, model.works_on_counts, nb.log_scale) == (True, False, 1e4)
    plain = fitted(counts, NoChange)  # a closed form of counts does not say what they are on the log scale
    assert plain.cell_ways == ("decoded",)
    assert plain.works_on_counts


@pytest.mark.parametrize("way", ["sampled", "resampled", "Decoded", 3, ["residual"]])
def test_a_way_that_there_is_not(three, way):
    message = f"cells={way!r} is not among the ways that this MeanShift makes cells: 'decoded', 'residual', 'transport'"
    with pytest.raises(DataError, match=re.escape(message)):
        three.predict(**ASK, cells=way)


def test_a_way_that_the_model_does_not_have(with_counts, fitted):
    with pytest.raises(DataError, match="cells='residual' is not among .* StimulatedMean makes cells: 'decoded', 'tr"):
        fitted(with_counts(), StimulatedMean).predict(**ASK, cells="residual")


@pytest.mark.parametrize("way", [None, "decoded"])
def test_a_reference_is_for_two_of_the_ways(three, way):
    message = "reference= is for cells='residual' and cells='transport', not for cells='decoded'"
    with pytest.raises(DataError, match=message):
        three.predict(**ASK, cells=way, reference=three.adata)


def test_a_reference_has_every_type_that_is_asked(three):
    adata = three.adata
    some = adata[adata.obs["cell_type"] != "T"].copy()
    for way in ("residual", "transport"):
        with pytest.raises(GroupError, match=r"reference= has no cell of 'T'; give cells of every type that is asked"):
            three.predict(**ASK, cells=way, reference=some)
        assert three.predict(**ASK, labels=["B", "NK"], cells=way, reference=some).n_obs == 30
    with pytest.raises(GroupError, match="no cell has condition 'control'"):
        three.predict(**ASK, cells="residual", reference=some[some.obs["condition"] == "other"].copy())


def test_decoded_is_the_own_way(three, as_dense):
    for way in (None, "decoded"):
        predicted = three.predict(**ASK, cells=way)
        assert predicted.uns["altercell"]["cells"] == "decoded"
        assert "counts" not in predicted.layers
        np.testing.assert_array_equal(as_dense(predicted), as_dense(three.predict(**ASK)))


def test_the_residual_of_a_shift_is_the_shifted_cell_cut_and_recalibrated(three, as_dense):
    predicted = three.predict(**ASK, cells="residual", batch_size=11)
    moved = as_dense(three.predict(**ASK))
    x = as_dense(three.adata[predicted.obs_names].X)
    assert (moved < 0).any()
    got = as_dense(predicted)
    np.testing.assert_allclose(got, residual(x, moved, predicted.obs), atol=2e-5)
    assert got.min() == 0
    # The predicted mean is reached for every gene of every type, and is not by cutting alone.
    want = by_type(moved, predicted.obs).clip(lower=0)
    np.testing.assert_allclose(by_type(got, predicted.obs), want, atol=1e-5)
    assert (by_type(np.maximum(moved, 0), predicted.obs) - want).to_numpy().max() > 0.01
    account = predicted.uns["altercell"]
    assert (account["cells"], account["space"], "seed" in account) == ("residual", LOG, False)


def test_a_gene_predicted_below_zero_is_zero(three, as_dense):
    moved = three.predict(**ASK)
    low = by_type(as_dense(moved), moved.obs) < 0
    assert low.to_numpy().any()
    got = three.predict(**ASK, cells="residual")
    for kind, genes in low.iterrows():
        assert not as_dense(got)[(got.obs["cell_type"] == kind).to_numpy()][:, genes.to_numpy()].any()


def test_the_residual_of_a_network_cancels_its_error(model, oracle, as_dense):
    net = oracle(model.module)
    predicted = model.predict(**ASK, cells="residual", batch_size=13)
    x = as_dense(model.adata[predicted.obs_names].X)
    z, delta = net.encode(x)[0], model.get_delta(**ASK).astype(np.float64)
    moved = x + net.decode(z + delta) - net.decode(z)
    np.testing.assert_allclose(as_dense(predicted), residual(x, moved, predicted.obs), atol=2e-4)
    # It keeps the variance of the cells, which decoding loses.
    decoded = as_dense(model.predict(**ASK))
    assert np.median(as_dense(predicted).var(0) / x.var(0)) > 2 * np.median(decoded.var(0) / x.var(0))


def test_the_residual_of_a_model_of_counts_is_on_the_log_scale(nb, oracle, as_dense):
    net, log = oracle(nb.module), lambda y, n: np.log1p(y / n[:, None] * 1e4)
    predicted = nb.predict(**ASK, cells="residual")
    y = as_dense(nb.adata[predicted.obs_names].X)
    n = y.sum(1)
    z, delta = net.encode(y, n)[0], nb.get_delta(**ASK).astype(np.float64)
    x = log(y, n)
    moved = x + log(net.decode_counts(z + delta, n).mean, n) - log(net.decode_counts(z, n).mean, n)
    np.testing.assert_allclose(as_dense(predicted), residual(x, moved, predicted.obs), atol=5e-4)
    assert predicted.uns["altercell"]["space"] == LOG
    assert predicted.uns["altercell"]["cells"] == "residual"
    np.testing.assert_array_equal(as_dense(nb.predict(**ASK, cells="residual", output="log")), as_dense(predicted))


def test_counts_of_a_choice_of_genes_need_the_totals(counts):
    few = counts[:, :12].copy()
    few.uns["altercell"] = {"n_genes_total": 30}
    ScGen.setup_anndata(few, batch_key="condition", labels_key="cell_type")
    with pytest.warns(UserWarning, match="a cell's total is the sum over 12 of 30 genes"):
        model = ScGen(few, n_hidden=4, n_latent=2, gene_likelihood="nb")
    model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    for way in ("residual", "transport"):
        with pytest.raises(DataError, match="needs each cell's total over all genes, and this model was set up on a"):
            model.predict(**ASK, cells=way)


def test_transport_reaches_the_mean_that_is_predicted(shift, response, as_dense):
    predicted = shift.predict(**ASK, labels="type_2", cells="transport", seed=0)
    mean = np.maximum(as_dense(shift.predict(**ASK, labels="type_2")).mean(0), 0)
    error = as_dense(predicted).mean(0) - mean
    # As for a known mean (test_transport.py): a quarter of what the sampling of 80 cells leaves, .02.
    assert np.sqrt((error**2).mean()) < 0.02
    assert np.abs(error).max() < 0.12
    adata = response[0][predicted.obs_names]
    totals = adata.obs["size_factor"].to_numpy()[:, None]
    counts = counts_of(predicted, as_dense)
    np.testing.assert_array_equal(counts, np.round(counts))
    assert counts.min() == 0
    np.testing.assert_allclose(as_dense(predicted), np.log1p(counts / totals * 1e4), rtol=1e-4)
    assert predicted.X.dtype == predicted.layers["counts"].dtype == np.float32
    own = adata.obs[predicted.obs.columns].drop(columns="condition")
    pd.testing.assert_frame_equal(predicted.obs.drop(columns="condition"), own, check_categorical=False)
    account = predicted.uns["altercell"]
    assert {key: account[key] for key in ("cells", "seed", "space")} == {"cells": "transport", "seed": 0, "space": LOG}


def test_transport_is_that_of_each_types_control_cells(three, as_dense):
    predicted = three.predict(**ASK, cells="transport", seed=5, batch_size=10)
    adata, moved = three.adata, three.predict(**ASK)
    for own, kind in enumerate(three.schema.labels):
        rows = np.flatnonzero((adata.obs["condition"] == "control") & (adata.obs["cell_type"] == kind))
        cells, found = counted(three, three.cells(rows=rows), "the cells"), find_templates(three, 0, 2)
        # Its own target cells, where there are some, are no templates of this model.
        types = np.array([k for k in range(3) if k != own and found.target.sizes[k]])
        mean = np.maximum(as_dense(moved)[(moved.obs["cell_type"] == kind).to_numpy()].mean(0), 0)
        made = TemplateTransport(found, types, cells, found.source.at(own), mean, fixed=False, seed=5)
        counts, log = made.make(cells, slice(0, len(rows)), made.matched(adata.obs_names[rows], cells.totals()))
        mine = predicted[adata.obs_names[rows]]
        # Sums in another order are not the same to the last bit, and a draw at the edge may fall on the other side.
        assert (counts_of(mine, as_dense) != counts).mean() < 5e-3
        np.testing.assert_allclose(as_dense(mine.X).mean(0), log.mean(0), atol=0.02)


@pytest.mark.parametrize("cls", CLOSED)
def test_transport_of_any_closed_form(with_counts, fitted, cls, as_dense):
    model = fitted(with_counts(), cls)
    predicted, decoded = model.predict(**ASK, cells="transport", seed=0), model.predict(**ASK)
    want = by_type(as_dense(decoded), decoded.obs).clip(lower=0)
    error = (by_type(as_dense(predicted), predicted.obs) - want).to_numpy()
    # From 8 to 24 cells a type, of 30 genes with log values to 8.
    assert np.sqrt((error**2).mean()) < 0.25
    if cls is NoChange:
        same = counts_of(predicted, as_dense) == as_dense(model.adata[predicted.obs_names].layers["counts"])
        assert same.mean() > 0.999


def test_another_seed_gives_other_cells(three, as_dense):
    first, again, other = (as_dense(three.predict(**ASK, cells="transport", seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.1


@pytest.mark.parametrize("way", ["residual", "transport"])
def test_batches_order_of_cells_and_of_genes_do_not_matter(three, as_dense, way):
    adata = three.adata
    predicted = three.predict(**ASK, cells=way, seed=0)
    values = as_dense(predicted)
    tolerance = {"rtol": 0, "atol": 1e-5} if way == "residual" else {"rtol": 0, "atol": 0}
    np.testing.assert_allclose(as_dense(three.predict(**ASK, cells=way, seed=0, batch_size=7)), values, **tolerance)
    rng = np.random.default_rng(0)
    other = adata[rng.permutation(120), rng.permutation(30)].copy()
    got = three.predict(other, **ASK, cells=way, seed=0)
    assert got.var_names.tolist() == predicted.var_names.tolist()
    np.testing.assert_allclose(as_dense(got[predicted.obs_names].X), values, rtol=0, atol=1e-5)


@pytest.mark.parametrize("way", ["residual", "transport"])
def test_with_a_fixed_reference_some_get_what_they_got_among_all(three, as_dense, way):
    adata = three.adata
    options = {**ASK, "cells": way, "seed": 3, "reference": adata}
    every = three.predict(**options)
    for names in (every.obs_names[:1], every.obs_names[[40, 2, 17]], every.obs_names[::3]):
        got = three.predict(adata[names].copy(), **options)
        np.testing.assert_array_equal(as_dense(got), as_dense(every[names].X))
        if way == "transport":
            np.testing.assert_array_equal(counts_of(got, as_dense), counts_of(every[names], as_dense))
    # Without one, fewer cells are brought to their own mean.
    few = every.obs_names[::3]
    alone = three.predict(adata[few].copy(), **{**options, "reference": None})
    assert np.abs(as_dense(alone) - as_dense(every[few].X)).max() > 0.01


def test_the_reference_is_what_the_residual_is_calibrated_on(three, as_dense):
    adata = three.adata
    own = three.predict(**ASK, cells="residual")
    np.testing.assert_allclose(
        as_dense(three.predict(**ASK, cells="residual", reference=adata)), as_dense(own), atol=1e-6
    )
    # Of some cells the factor is that of all.
    moved = as_dense(three.predict(**ASK))
    factor = by_type(moved, own.obs).clip(lower=0) / by_type(np.maximum(moved, 0), own.obs)
    some = np.arange(0, own.n_obs, 5)
    got = three.predict(adata[own.obs_names[some]].copy(), **ASK, cells="residual", reference=adata)
    want = np.maximum(moved[some], 0) * factor.fillna(1).loc[own.obs["cell_type"].astype(str).iloc[some]].to_numpy()
    np.testing.assert_allclose(as_dense(got), want, atol=2e-5)


@pytest.mark.parametrize("way", ["residual", "transport"])
def test_types_of_the_reference_that_are_not_asked_do_not_matter(three, as_dense, way):
    adata = three.adata
    only = adata[adata.obs["cell_type"] == "T"].copy()
    ask = {**ASK, "labels": "T", "cells": way, "seed": 0}
    small, large = (as_dense(three.predict(**ask, reference=reference)) for reference in (only, adata))
    np.testing.assert_allclose(small, large, atol=1e-5)


def without_labels(with_counts, fitted):
    return fitted(with_counts(), labels_key=None)


@pytest.mark.parametrize("way", ["residual", "transport"])
def test_without_labels_all_cells_are_of_one_kind(with_counts, fitted, as_dense, way):
    model = without_labels(with_counts, fitted)
    predicted, moved = model.predict(**ASK, cells=way, seed=0), as_dense(model.predict(**ASK))
    want = np.maximum(moved.mean(0), 0)
    # 54 cells; of the residual the mean is exact.
    np.testing.assert_allclose(as_dense(predicted).mean(0), want, atol=1e-5 if way == "residual" else 0.3)


def test_a_reference_without_labels(with_counts, fitted, as_dense):
    model = without_labels(with_counts, fitted)
    got = model.predict(**ASK, cells="residual", reference=model.adata)
    np.testing.assert_allclose(as_dense(got), as_dense(model.predict(**ASK, cells="residual")), atol=1e-6)


@pytest.mark.parametrize("way", ["residual", "transport"])
def test_cells_of_a_new_type_and_without_a_column_of_types(three, as_dense, way):
    adata = three.adata
    other = adata[(adata.obs["condition"] == "control") & (adata.obs["cell_type"] == "B")].copy()
    other.obs["cell_type"] = np.where(np.arange(22) < 12, "new", "newer")
    got = three.predict(other, **ASK, cells=way, seed=0)
    want = three.predict(other, **ASK)
    # A kind of its own for each name.
    wanted = by_type(as_dense(want), want.obs).clip(lower=0)
    error = (by_type(as_dense(got), got.obs) - wanted).to_numpy()
    assert np.sqrt((error**2).mean()) < (1e-5 if way == "residual" else 0.3)
    del other.obs["cell_type"]
    got = as_dense(three.predict(other, **ASK, cells=way, seed=0)).mean(0)
    wanted = np.maximum(as_dense(three.predict(other, **ASK)).mean(0), 0)
    assert np.sqrt(((got - wanted) ** 2).mean()) < (1e-5 if way == "residual" else 0.3)


def test_the_cells_that_are_asked_stay_as_they_are(three, as_dense):
    other = three.adata.copy()
    before = other.copy()
    for way in ("residual", "transport"):
        three.predict(other, **ASK, cells=way, reference=other)
    np.testing.assert_array_equal(other.X, before.X)
    np.testing.assert_array_equal(other.layers["counts"], before.layers["counts"])
    pd.testing.assert_frame_equal(other.obs, before.obs)


@pytest.mark.parametrize("target", ["stimulated", ["stimulated", "other"]])
def test_counts_and_values_go_to_disk(three, as_dense, tmp_path, target):
    ask = {"source": "control", "target": target, "cells": "transport", "seed": 0}
    kept = three.predict(**ask)
    backed = three.predict(**ask, path=tmp_path / "a.h5ad", batch_size=9)
    assert backed.isbacked
    backed.file.close()
    read = ad.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(as_dense(read), as_dense(kept))
    np.testing.assert_array_equal(counts_of(read, as_dense), counts_of(kept, as_dense))
    assert read.layers["counts"].dtype == np.float32
    assert read.uns["altercell"]["cells"] == "transport"
    pd.testing.assert_frame_equal(read.obs.astype(str), kept.obs.astype(str), check_index_type=False)


@pytest.mark.parametrize("way", ["residual", "transport"])
def test_several_targets_are_what_each_is_alone(three, as_dense, way):
    several = three.predict(source="control", target=["stimulated", "other"], cells=way, seed=4)
    parts = [three.predict(source="control", target=name, cells=way, seed=4) for name in ("stimulated", "other")]
    np.testing.assert_array_equal(as_dense(several), np.concatenate([as_dense(part) for part in parts]))
    assert several.uns["altercell"]["cells"] == way
    assert several.obs["condition"].tolist() == ["stimulated"] * 54 + ["other"] * 54
    if way == "transport":
        counts = np.concatenate([counts_of(part, as_dense) for part in parts])
        np.testing.assert_array_equal(counts_of(several, as_dense), counts)


def test_cells_on_disk_are_asked(three, as_dense, tmp_path):
    adata = three.adata.copy()
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    for way in ("residual", "transport"):
        got = three.predict(backed, **ASK, cells=way, seed=0, reference=backed)
        np.testing.assert_array_equal(as_dense(got), as_dense(three.predict(**ASK, cells=way, seed=0, reference=adata)))
    backed.file.close()


def test_transport_needs_counts_of_the_training_and_of_the_asked_cells(three, model):
    with pytest.raises(KeyNotFoundError, match=r"cells='transport' moves measured counts, and the training cells have"):
        model.predict(**ASK, cells="transport")
    other = three.adata.copy()
    del other.layers["counts"]
    with pytest.raises(KeyNotFoundError, match=r"and the asked cells have none: layers\['counts'\] is missing"):
        three.predict(other, **ASK, cells="transport")
    with pytest.raises(KeyNotFoundError, match=r"and the reference cells have none: layers\['counts'\] is missing"):
        three.predict(**ASK, cells="transport", reference=other)
    assert three.predict(other, **ASK, cells="residual").n_obs == 54


def test_transport_needs_the_training_cells(three, as_dense, tmp_path):
    three.save(tmp_path / "model")
    alone = MeanShift.load(tmp_path / "model")
    with pytest.raises(NotTrainedError, match="cells='transport' moves training cells, and this model has none: load"):
        alone.predict(three.adata, **ASK, cells="transport")
    want = as_dense(three.predict(**ASK, cells="residual"))
    np.testing.assert_allclose(as_dense(alone.predict(three.adata, **ASK, cells="residual")), want, atol=1e-6)
    again = MeanShift.load(tmp_path / "model", adata=three.adata.copy())
    want = as_dense(three.predict(**ASK, cells="transport", seed=0))
    np.testing.assert_array_equal(as_dense(again.predict(**ASK, cells="transport", seed=0)), want)


def test_transport_of_a_model_of_counts(nb, as_dense):
    counts, log = (nb.predict(**ASK, cells="transport", output=output, seed=0) for output in ("model", "log"))
    y = as_dense(counts)
    np.testing.assert_array_equal(y, np.round(y))
    np.testing.assert_array_equal(y, counts_of(counts, as_dense))
    np.testing.assert_array_equal(y, counts_of(log, as_dense))
    totals = as_dense(nb.adata[counts.obs_names].X).sum(1, keepdims=True)
    np.testing.assert_allclose(as_dense(log), np.log1p(y / totals * 1e4), rtol=1e-4)
    assert (counts.uns["altercell"]["space"], log.uns["altercell"]["space"]) == ("counts", LOG)
    # The mean is that of the residual's: the difference of decoded log values, added to the cells.
    kept = nb.predict(**ASK, cells="residual")
    error = (by_type(as_dense(log), log.obs) - by_type(as_dense(kept), kept.obs)).to_numpy()
    assert np.sqrt((error**2).mean()) < 0.25


def test_sampled_cells_are_counts_of_the_decoded_mean(nb, as_dense):
    drawn, log = (nb.predict(**ASK, cells="sampled", output=output, seed=0) for output in ("model", "log"))
    y = as_dense(drawn)
    np.testing.assert_array_equal(y, np.round(y))
    assert y.min() == 0
    totals = as_dense(nb.adata[drawn.obs_names].X).sum(1, keepdims=True)
    np.testing.assert_allclose(as_dense(log), np.log1p(y / totals * 1e4), atol=1e-4)
    assert "counts" not in drawn.layers
    for predicted, space in ((drawn, "counts"), (log, LOG)):
        account = predicted.uns["altercell"]
        assert {key: account[key] for key in ("cells", "seed", "space")} == {
            "cells": "sampled",
            "seed": 0,
            "space": space,
        }
    # 40 draws of 54 cells: mean within five standard errors of the decoded one, gene by gene.
    mean = as_dense(nb.predict(**ASK))
    draws = np.stack([as_dense(nb.predict(**ASK, cells="sampled", seed=seed)) for seed in range(40)])
    theta = np.exp(nb.module.state_dict()["decoder.log_dispersion"].double().numpy())
    error = (draws.mean((0, 1)) - mean.mean(0)) / np.sqrt((mean + mean**2 / theta).sum(0) / 40) * 54
    assert np.abs(error).max() < 5
    assert error.std() == pytest.approx(1, abs=0.6)


def test_kinds_are_told_apart_by_name(three):
    adata = three.adata[:9].copy()
    adata.obs["cell_type"] = pd.Categorical(["T", "new", "B", "newer", "new", None, "T", "T", None])
    kinds = Kinds.of(three.cells(adata))
    assert kinds.names[:4] == ["T", "new", "B", "newer"]
    assert pd.isna(kinds.names[4])
    np.testing.assert_array_equal(kinds.codes, [2, -1, 0, -1, -1])
    np.testing.assert_array_equal(kinds.place, [0, 1, 2, 3, 1, 4, 0, 0, 4])
    # Among the cells of a reference in another order, and with others beside.
    few = Kinds.of(three.cells(adata, rows=np.array([2, 0])))
    among = few.among(three.cells(adata, rows=np.array([0, 1, 2, 3, 6])))
    assert among.names == few.names == ["B", "T"]
    np.testing.assert_array_equal(among.place, [1, -1, 0, -1, 1])
    np.testing.assert_array_equal(among.codes, [0, 2])
    del adata.obs["cell_type"]
    kinds = Kinds.of(three.cells(adata))
    np.testing.assert_array_equal(kinds.codes, [-1])
    np.testing.assert_array_equal(kinds.place, np.zeros(9))


def test_numbers_within_a_kind():
    place = np.array([2, 0, 2, 1, 0, 2])
    np.testing.assert_array_equal(_numbers_within(place), [0, 0, 1, 0, 1, 2])
    assert len(_numbers_within(np.array([], dtype=int))) == 0


def test_the_order_of_the_training_cells_does_not_matter(three, with_counts, fitted, as_dense):
    # Totals of two values, so that many cells are of one total.
    data = [with_counts(), with_counts()[np.random.default_rng(1).permutation(120)].copy()]
    answers = []
    for adata in data:
        deep = adata.obs_names.isin(three.adata.obs_names[::2])
        totals = np.where(deep, 1_000.0, 500.0)
        adata.obs["size_factor"] = totals
        adata.X = np.log1p(adata.layers["counts"] / totals[:, None] * 1e4).astype(np.float32)
        answers.append(fitted(adata).predict(**ASK, cells="transport", seed=0))
    first, second = answers
    np.testing.assert_array_equal(counts_of(second[first.obs_names], as_dense), counts_of(first, as_dense))


@pytest.mark.parametrize("way", ["residual", "transport"])
@pytest.mark.parametrize("cls", [MeanShift, ResponseStack])
def test_the_order_of_the_reference_does_not_matter(with_counts, fitted, as_dense, cls, way):
    adata = with_counts()
    model = fitted(adata, cls)
    controls = adata[adata.obs["condition"] == "control"]
    ask = {**ASK, "cells": way, "seed": 0}
    first, second = (model.predict(**ask, reference=some.copy()) for some in (controls, controls[::-1]))
    np.testing.assert_allclose(as_dense(first), as_dense(second), atol=1e-5)
    assert first.uns["altercell"]["reference"] == f"{controls.n_obs} cells"


def test_the_own_types_target_cells_are_not_read(with_counts, fitted, as_dense):
    adata, other = with_counts(), with_counts()
    own = np.flatnonzero((other.obs["condition"] == "stimulated") & (other.obs["cell_type"] == "B"))
    shuffled = np.random.default_rng(0).permutation(other.n_vars)
    values, counts = as_dense(other), as_dense(other.layers["counts"])
    values[own], counts[own] = values[own][:, shuffled], counts[own][:, shuffled]
    other.X, other.layers["counts"] = values.astype(np.float32), counts.astype(np.float32)
    ask = {**ASK, "labels": "B", "cells": "transport", "seed": 0}
    first, second = (fitted(data, ResponseStack).predict(**ask) for data in (adata, other))
    np.testing.assert_array_equal(as_dense(first), as_dense(second))


def test_counts_that_are_no_whole_numbers_are_refused(three):
    cells = three.adata.copy()
    cells.layers["counts"] = cells.layers["counts"] * 0.5
    with pytest.raises(DataError, match="the asked cells holds values that are no whole numbers; give the raw counts"):
        three.predict(cells, **ASK, cells="transport")
