"""Tests of ScGAN, CscGAN and WGAN: what they are set up on, and the cells that they make."""

import numpy as np
import pandas as pd
import pytest
from lightning.pytorch.callbacks import Callback
from scipy import sparse

import altercell as ac
from altercell.errors import DataError, GroupError


def dense(cells):
    return cells.X.toarray() if sparse.issparse(cells.X) else cells.X


def test_cells_have_the_total_of_the_layer(scgan):
    made = scgan.generate(40, seed=0)
    np.testing.assert_allclose(dense(made).sum(axis=1), 20_000, rtol=1e-5)
    entry = made.uns["altercell"]
    assert (entry["space"], entry["library_size"]) == ("counts scaled to 20,000", 20_000)
    assert "compare with real cells" in entry["trust"][0]


def test_the_same_cells_on_the_log_scale_and_rounded(scgan, counts):
    made, log, rounded = (scgan.generate(400, seed=0, output=output) for output in ("model", "log", "rounded"))
    np.testing.assert_allclose(dense(log), np.log1p(dense(made) / 2), rtol=1e-5)
    assert log.uns["altercell"]["space"] == "log1p of counts per 10,000"
    assert rounded.uns["altercell"]["space"] == "counts"
    np.testing.assert_array_equal(dense(rounded), np.rint(dense(rounded)))
    totals, real = dense(rounded).sum(axis=1), dense(counts).sum(axis=1)
    shares = totals[:, None] * dense(made) / 20_000
    np.testing.assert_allclose(dense(rounded), shares, atol=1 + 0.02 * shares.max())
    # The totals are drawn from those of the training cells.
    for q in (0.1, 0.5, 0.9):
        assert np.quantile(totals, q) == pytest.approx(np.quantile(real, q), rel=0.15)
    assert totals.min() >= 0.95 * real.min()
    assert totals.max() <= 1.05 * real.max()


def test_a_median_total_is_that_of_the_training_cells(counts, fit, tmp_path):
    model = fit(ac.ScGAN, counts.copy(), library_size="median")
    median = float(np.median(dense(counts).sum(axis=1)))
    np.testing.assert_allclose(dense(model.generate(5, seed=0)).sum(axis=1), median, rtol=1e-5)
    model.save(tmp_path / "model")
    loaded = ac.ScGAN.load(tmp_path / "model")
    np.testing.assert_array_equal(*(dense(one.generate(5, seed=0)) for one in (loaded, model)))


def test_counts_in_a_layer(counts, fit):
    data = ac.data.normalize(counts.copy())
    ac.ScGAN.setup_anndata(data, layer="counts")
    model = ac.ScGAN(data, n_hidden=(8, 16), n_latent=4)
    model.train(n_steps=1, batch_size=50, enable_progress_bar=False)
    np.testing.assert_allclose(dense(model.generate(5, seed=0)).sum(axis=1), 20_000, rtol=1e-5)


def test_a_wgan_makes_log_data(counts, fit):
    data = ac.data.normalize(counts.copy())
    model = fit(ac.WGAN, data)
    made = model.generate(30, seed=0)
    assert made.uns["altercell"]["space"] == "log1p of counts per 10,000"
    assert "library_size" not in made.uns["altercell"]
    assert (dense(made) >= 0).all()
    assert dense(made).sum(axis=1).std() > 0
    with pytest.raises(DataError, match="output='rounded' makes counts, and this model was set up on log data"):
        model.generate(3, output="rounded")


def test_classes_come_in_the_proportions_of_training_however_they_are_ordered(counts, fit):
    for categories in (["type_0", "type_1", "type_2"], ["type_2", "type_0", "type_1"]):
        data = counts.copy()
        data.obs["cell_type"] = data.obs["cell_type"].cat.reorder_categories(categories)
        made = fit(ac.CscGAN, data, n_steps=1).generate(3_000, seed=0)
        shares = made.obs["cell_type"].value_counts(normalize=True)
        for name, share in (("type_0", 0.6), ("type_1", 0.3), ("type_2", 0.1)):
            assert shares[name] == pytest.approx(share, abs=0.03)


def test_cells_of_classes_that_are_asked_for(cscgan):
    made = cscgan.generate({"type_2": 3, "type_0": 2}, seed=0)
    assert made.obs["cell_type"].tolist() == ["type_2"] * 3 + ["type_0"] * 2
    assert made.obs_names.is_unique
    assert set(cscgan.generate(50, labels=["type_1", "type_2"], seed=0).obs["cell_type"]) == {"type_1", "type_2"}
    assert set(cscgan.generate(20, labels="type_1", seed=0).obs["cell_type"]) == {"type_1"}


def test_the_class_makes_a_difference_to_the_same_noise(cscgan):
    one, two = (dense(cscgan.generate(10, labels=name, seed=0)) for name in ("type_0", "type_1"))
    assert np.abs(one - two).max() > 1e-3


def test_a_class_of_few_cells_is_doubted(cscgan, counts, fit):
    few = np.r_[
        np.flatnonzero(counts.obs["cell_type"] == "type_2")[:4], np.flatnonzero(counts.obs["cell_type"] == "type_0")
    ]
    model = fit(ac.CscGAN, counts[np.sort(few)].copy(), n_steps=1)
    said = model.generate({"type_2": 3, "type_0": 3}, seed=0).uns["altercell"]["trust"]
    assert "1 of the classes have fewer than 20 training cells (the fewest: 4)" in said
    assert len(cscgan.generate(20, seed=0).uns["altercell"]["trust"]) == 1


def test_conditions_as_classes_and_together_with_types(counts, fit):
    made = fit(ac.CscGAN, counts.copy(), n_steps=1, classes="conditions").generate(20, condition="stimulated", seed=0)
    assert made.obs.columns.tolist() == ["condition"]
    assert set(made.obs["condition"]) == {"stimulated"}
    part = counts[~((counts.obs["cell_type"] == "type_2") & (counts.obs["condition"] == "stimulated"))].copy()
    both = fit(ac.CscGAN, part, n_steps=1, classes="both")
    made = both.generate(30, labels="type_1", condition="control", seed=0)
    assert set(zip(made.obs["cell_type"], made.obs["condition"], strict=True)) == {("type_1", "control")}
    # A class without training cells has weights that nothing has moved.
    with pytest.raises(GroupError, match="no training cell is of labels 'type_2' and condition 'stimulated'"):
        both.generate(5, labels="type_2", condition="stimulated")
    assert set(both.generate(50, labels="type_2", seed=0).obs["condition"]) == {"control"}


def test_totals_are_those_of_the_class(counts, fit):
    data = counts.copy()
    data.X = dense(data) * np.where(data.obs["cell_type"] == "type_1", 10, 1)[:, None].astype(np.float32)
    model = fit(ac.CscGAN, data, n_steps=1)
    asked = {"seed": 0, "output": "rounded"}
    totals = {name: dense(model.generate(200, labels=name, **asked)).sum(axis=1) for name in ("type_0", "type_1")}
    assert np.median(totals["type_1"]) > 5 * np.median(totals["type_0"])


def test_drawn_counts_have_the_rates_and_the_zeros_of_the_data(counts, fit):
    model = fit(ac.CscGAN, counts.copy(), n_steps=60, train={"plan_kwargs": {"lr": 2e-3, "n_critic": 2}})
    drawn = model.generate({"type_0": 1_500, "type_1": 1_500}, seed=0, output="counts")
    assert drawn.uns["altercell"]["space"] == "counts"
    np.testing.assert_array_equal(dense(drawn), np.rint(dense(drawn)))
    for name in ("type_0", "type_1"):
        made, real = (dense(cells[(cells.obs["cell_type"] == name).to_numpy()]) for cells in (drawn, counts))
        shares = [cells.sum(axis=0) / cells.sum() for cells in (made, real)]
        made_otherwise = dense(model.generate(1_500, labels=name, seed=0))
        before = made_otherwise.sum(axis=0) / made_otherwise.sum()
        assert np.abs(shares[0] - shares[1]).sum() < min(0.25, 0.5 * np.abs(before - shares[1]).sum())
    np.testing.assert_array_equal(
        dense(drawn), dense(model.generate({"type_0": 1_500, "type_1": 1_500}, seed=0, output="counts", batch_size=77))
    )


@pytest.mark.parametrize(
    ("conditioning", "n_steps"),
    [("projection", 250), ("heads", 250), pytest.param("classifier", 1_000, marks=pytest.mark.heavy)],
)
def test_every_conditioning_learns_its_classes(counts, fit, conditioning, n_steps):
    train = {"plan_kwargs": {"lr": 2e-3, "final_lr": None, "n_critic": 2}}
    model = fit(ac.CscGAN, counts.copy(), n_steps, conditioning=conditioning, n_hidden=(32, 32), train=train)
    names = ["type_0", "type_1"]
    real, made = (
        np.stack([part.sum(axis=0) / part.sum() for part in parts])
        for parts in (
            [dense(counts[(counts.obs["cell_type"] == name).to_numpy()]) for name in names],
            [dense(model.generate(300, labels=name, seed=0)) for name in names],
        )
    )
    apart = np.abs(made[:, None] - real[None]).sum(axis=2)  # (made, real)
    assert apart[0, 0] < apart[0, 1]
    assert apart[1, 1] < apart[1, 0]
    assert ("classifier_train" in model.history_) == (conditioning == "classifier")


def test_steps_are_moves_of_the_generator(counts, fit):
    model = fit(ac.ScGAN, counts.copy(), n_steps=3)  # four batches an epoch, five moves of the critic for each
    assert int(model.module.critic_steps) == 16
    again = fit(ac.ScGAN, counts.copy(), train={"max_epochs": 2})
    assert int(again.module.critic_steps) == 8


@pytest.mark.parametrize(("n_cells", "n_moves"), [(101, 10), (100, 10), (53, 4)])
def test_a_last_batch_of_one_cell_is_counted_right(counts, fit, n_cells, n_moves):
    model = fit(ac.ScGAN, counts[:n_cells].copy(), n_steps=n_moves)  # 101 cells are batches of 50 and 51
    assert 5 * n_moves <= int(model.module.critic_steps) <= 5 * n_moves + 2
    held = np.arange(60)
    other = fit(ac.ScGAN, counts.copy(), n_steps=4, train={"validation_indices": held})
    assert 20 <= int(other.module.critic_steps) <= 22  # three batches of the 140 others


def test_an_interrupted_training_goes_on_in_the_same_model(counts, fit, tmp_path):
    whole = fit(ac.ScGAN, counts.copy(), train={"max_epochs": 4, "resume_dir": tmp_path / "whole"})
    model = fit(ac.ScGAN, counts.copy(), train={"max_epochs": 2, "resume_dir": tmp_path / "parts"})
    options = {"n_steps": 2, "batch_size": 50, "accelerator": "cpu", "enable_progress_bar": False}
    model.train(max_epochs=4, resume_dir=tmp_path / "parts", **options)
    np.testing.assert_array_equal(*(dense(one.generate(5, seed=0)) for one in (whole, model)))


def test_a_second_training_starts_with_the_whole_learning_rate(counts, fit):
    model = fit(ac.ScGAN, counts.copy(), n_steps=4)
    rates = []

    class Rate(Callback):
        def on_train_batch_end(self, trainer, *args):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    options = {"batch_size": 50, "enable_progress_bar": False}
    model.train(n_steps=4, callbacks=[Rate()], **options)
    assert rates[0] == pytest.approx(1e-4)
    assert rates[-1] == pytest.approx(1e-4 * 0.1 ** (19 / 20), rel=1e-6)


def test_validation_cells_are_no_training_cells(counts, fit):
    held = np.flatnonzero(counts.obs["cell_type"] == "type_2")
    model = fit(ac.CscGAN, counts.copy(), train={"validation_indices": held})
    assert int(model.module.group_sizes.sum()) == 180
    assert set(model.generate(500, seed=0).obs["cell_type"]) == {"type_0", "type_1"}
    with pytest.raises(GroupError, match="no training cell is of labels 'type_2'$"):
        model.generate(3, labels="type_2")


def test_early_stopping_by_the_critics_estimate_is_refused(counts, fit):
    with pytest.raises(DataError, match="lowest before the critic has learnt anything"):
        fit(ac.ScGAN, counts.copy(), train={"early_stopping": True, "train_size": 0.8})


def test_after_a_choice_of_genes_the_logarithm_is_of_counts_over_all_genes(counts, fit):
    data = ac.data.normalize(counts.copy())
    part = data[:, :10].copy()
    part.X = part.layers["counts"].copy()
    part.uns["altercell"] = {"space": "counts", "n_genes_total": 30}
    with pytest.raises(DataError, match="output='log' needs each cell's total over all genes"):
        fit(ac.ScGAN, part.copy(), n_steps=1).generate(3, output="log")
    ac.ScGAN.setup_anndata(part, size_factor_key="size_factor")
    model = ac.ScGAN(part, n_hidden=(8, 16), n_latent=4)
    model.train(n_steps=1, batch_size=50, enable_progress_bar=False)
    shares = np.expm1(dense(model.generate(5, seed=0, output="log"))).sum(axis=1) / 10_000
    want = dense(part).sum() / part.obs["size_factor"].sum()
    assert want < 0.9
    np.testing.assert_allclose(shares, want, rtol=1e-4)
    # The total over all genes comes with the counts, whatever the batch size.
    drawn, again = (model.generate(300, seed=0, output="counts", batch_size=size) for size in (300, 7))
    np.testing.assert_array_equal(drawn.obs["size_factor"], again.obs["size_factor"])
    assert drawn.uns["altercell"]["n_genes_total"] == 30
    real = np.quantile(part.obs["size_factor"], [0.1, 0.5, 0.9])
    np.testing.assert_allclose(np.quantile(drawn.obs["size_factor"], [0.1, 0.5, 0.9]), real, rtol=0.15)
    assert dense(drawn).sum() / drawn.obs["size_factor"].sum() == pytest.approx(want, rel=0.1)
    # Each cell's own: its counts are drawn around the share of it that these genes have.
    sums = dense(drawn).sum(axis=1)
    assert np.corrcoef(np.log(sums), np.log(drawn.obs["size_factor"]))[0, 1] > 0.7
    rounded = model.generate(300, seed=0, output="rounded")
    np.testing.assert_allclose(dense(rounded).sum(axis=1), want * rounded.obs["size_factor"], rtol=0.05, atol=5)
    renormalized = ac.data.normalize(drawn.copy())
    assert np.expm1(dense(renormalized)).sum(axis=1).mean() == pytest.approx(1e4 * want, rel=0.05)


def test_an_average_makes_cells_as_good_as_the_generators(counts, fit):
    def error(model):
        made = dense(model.generate(500, seed=0))
        real = dense(counts) / dense(counts).sum(axis=1, keepdims=True)
        return np.abs(made.mean(axis=0) / 20_000 - real.mean(axis=0)).sum()

    train = {"plan_kwargs": {"lr": 2e-3, "n_critic": 2}}
    plain, average, new = (
        error(fit(ac.ScGAN, counts.copy(), n_steps=n, train=train, average_decay=decay))
        for n, decay in ((150, None), (150, 0.999), (1, None))
    )
    assert average < 0.6 * new
    assert plain < 0.6 * new


def test_numbers_by_label_may_be_a_count_of_values(cscgan):
    numbers = pd.Series({"type_1": 2, "type_0": 1, "type_2": 0})
    assert cscgan.generate(numbers, seed=0).obs["cell_type"].tolist() == ["type_1", "type_1", "type_0"]


def test_validation_cells_have_a_distance(counts, fit):
    model = fit(ac.ScGAN, counts.copy(), train={"train_size": 0.8, "max_epochs": 3})
    assert model.history_["validation_loss"].notna().all().all()
    assert len(model.validation_indices_) == 40


def test_what_makes_no_sense_is_refused(counts, fit, scgan, cscgan):
    with pytest.raises(GroupError, match="labels=\\['type_0'\\]: this CscGAN tells conditions apart"):
        fit(ac.CscGAN, counts.copy(), n_steps=1, classes="conditions").generate(3, labels="type_0")
    with pytest.raises(GroupError, match="condition='control': this CscGAN tells labels apart"):
        cscgan.generate(3, condition="control")
    with pytest.raises(GroupError, match="n= names the labels and their numbers"):
        cscgan.generate({"type_0": 3}, labels="type_1")
    with pytest.raises(DataError, match="n= asks for no cell of any label"):
        cscgan.generate({"type_0": 0})
    for wrong in (0, 2.5, "type_0", True):
        with pytest.raises(DataError, match=f"n={wrong!r} must be a whole number of at least 1"):
            cscgan.generate(wrong)
    with pytest.raises(DataError, match="'type_0': -1} must be a whole number of at least 0"):
        cscgan.generate({"type_0": -1})
    with pytest.raises(DataError, match="output='other' is unknown"):
        scgan.generate(3, output="other")
    with pytest.raises(DataError, match="n_steps=0 must be at least 1"):
        fit(ac.ScGAN, counts.copy(), n_steps=0)
    for widths in ((), (0,), (-3, 4), 64, "64"):
        with pytest.raises(DataError, match="n_hidden=.* must be widths of one layer or more"):
            fit(ac.ScGAN, counts.copy(), n_hidden=widths)
    for total in (-1, 0, "mean", True):
        with pytest.raises(DataError, match=f"library_size={total!r} must be above 0, 'median', or None"):
            fit(ac.ScGAN, counts.copy(), library_size=total)
    for argument, value in (("n_latent", 0), ("penalty_weight", -1), ("average_decay", 1.0)):
        with pytest.raises(DataError, match=f"{argument}={value} must be at least"):
            fit(ac.ScGAN, counts.copy(), **{argument: value})
    with pytest.raises(DataError, match="conditioning='concat' is unknown"):
        fit(ac.CscGAN, counts.copy(), conditioning="concat")
    with pytest.raises(GroupError, match="classes='labels' needs labels_key="):
        fit(ac.CscGAN, counts.copy(), labels_key=None)


def test_size_factors_are_the_cells_own_totals_in_memory_and_on_disk(counts, fit, tmp_path):
    for n_genes in (30, 15):
        data = ac.data.select_genes(ac.data.normalize(counts), n_genes)
        ac.CscGAN.setup_anndata(data, layer="counts", labels_key="cell_type", size_factor_key="size_factor")
        model = ac.CscGAN(data, n_hidden=(8, 16), n_latent=4)
        model.train(n_steps=2, batch_size=50, accelerator="cpu", enable_progress_bar=False)
        made = model.generate(60, seed=0, output="counts", batch_size=17)
        file = model.generate(60, seed=0, output="counts", path=tmp_path / f"{n_genes}.h5ad")
        np.testing.assert_array_equal(made.obs["size_factor"], file.obs["size_factor"])
        sums = dense(made).sum(axis=1)
        if n_genes == 30:  # all there are
            np.testing.assert_array_equal(made.obs["size_factor"], np.maximum(sums, 1))
        else:
            assert (made.obs["size_factor"] >= sums).all()
            assert made.obs["size_factor"].sum() > 1.2 * sums.sum()
