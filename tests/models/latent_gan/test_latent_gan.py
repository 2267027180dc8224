"""Tests of LatentGAN: what its players see, what its two trainings touch, and the cells that it makes."""

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule
from scipy import sparse
from scvi.distributions import NegativeBinomial
from torch.utils.data import DataLoader

import altercell as ac
from altercell.errors import DataError, GroupError
from altercell.models.latent_gan import LatentGANModule
from altercell.models.scvi import ScviModule

SMALL = {"n_hidden": (16, 16), "n_latent": 4, "n_dimensions": 3, "vae_hidden": 16}
OPTIONS = {"n_steps": 2, "batch_size": 50, "accelerator": "cpu", "enable_progress_bar": False}
SHORT = {"vae": {"max_epochs": 2, "batch_size": 50}}


def dense(cells):
    return cells.X.toarray() if sparse.issparse(cells.X) else cells.X


@pytest.fixture(scope="module")
def counts():
    """Counts of 150 cells and 30 genes: 100 and 50 of two types."""
    data = ac.datasets.simulate_response(600, 30, 2, seed=0)
    rows = [np.flatnonzero(data.obs["cell_type"] == f"type_{kind}")[:n] for kind, n in enumerate((100, 50))]
    return data[np.sort(np.concatenate(rows))].copy()


def make(data, **arguments):
    ac.LatentGAN.setup_anndata(data, batch_key="condition", labels_key="cell_type")
    return ac.LatentGAN(data, **{**SMALL, "classes": "labels", **arguments})


def fit(data, train=None, **arguments):
    model = make(data, **arguments)
    model.train(**{**OPTIONS, **SHORT, **(train or {})})
    return model


@pytest.fixture(scope="module")
def model(counts):
    """A trained model: look at it, do not change it."""
    return fit(counts.copy())


def small_module():
    torch.manual_seed(0)
    groups = torch.arange(3).expand(2, -1)
    vae = ScviModule(9, 1, 1, n_latent=4, n_hidden=8, gene_likelihood="nb")
    return LatentGANModule(9, 2, 3, vae=vae, n_latent=5, n_hidden=(6, 7), class_of_group=groups)


def test_what_is_real_is_drawn_from_the_posterior_of_each_cell():
    """Many draws have the mean and the variance that scVI's encoder gives, whatever the cell's condition."""
    module = small_module().train()
    assert not module.vae.training
    counts = torch.poisson(torch.full((3, 9), 4.0), generator=torch.Generator().manual_seed(0))
    module.total_mean.fill_(3.0)
    module.total_sd.fill_(0.5)
    copies = counts.repeat_interleave(40_000, dim=0)
    codes = torch.tensor([0, 1, 1]).repeat_interleave(40_000)[:, None]
    with torch.no_grad():
        seen = module.inference(copies, codes, torch.tensor([2, 0, 1]).repeat_interleave(40_000)[:, None])
        posterior = module.vae.inference(counts, torch.zeros(3, 1))["qz"]
    np.testing.assert_allclose(seen["real"][::40_000, 4], (np.log(counts.numpy().sum(axis=1)) - 3) / 0.5, rtol=1e-5)
    drawn = seen["real"][:, :4].reshape(3, 40_000, 4)
    np.testing.assert_allclose(drawn.mean(dim=1), posterior.loc, atol=0.03)
    np.testing.assert_allclose(drawn.std(dim=1), posterior.scale, rtol=0.03)
    assert seen["classes"][::40_000].tolist() == [2, 0, 1]


def test_the_players_score_latent_points():
    """The critic's and the generator's losses, by the definitions, of the points and not of the cells."""
    module = small_module().double().train()
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.poisson(3.0, (12, 9)).astype(np.float64))
    codes = torch.zeros(12, 1, dtype=torch.int64)
    labels = torch.tensor(rng.integers(0, 3, (12, 1)))
    real = module.inference(x, codes, labels)
    shown = module.generative(**module.drawn(real), keep=False)
    assert real["real"].shape == shown["fake"].shape == (12, 5)
    assert (shown["fake"] < 0).any()  # points have either sign
    torch.manual_seed(5)
    output = module.loss({}, real, shown)
    torch.manual_seed(5)
    epsilon = torch.rand(12, 1, dtype=torch.float64).numpy()

    def score(points, classes):
        return module.critic(torch.as_tensor(points), torch.as_tensor(classes)).detach().numpy()

    z, fake, classes = (value.detach().numpy() for value in (real["real"], shown["fake"], real["classes"]))
    between, step = epsilon * z + (1 - epsilon) * fake, 1e-6
    slope = [(score(between + step * e, classes) - score(between - step * e, classes)) / (2 * step) for e in np.eye(5)]
    lengths = np.sqrt((np.stack(slope) ** 2).sum(axis=0))
    distance = score(z, classes).mean() - score(fake, shown["classes"].numpy()).mean()
    assert float(output.loss.detach()) == pytest.approx(-distance + 10 * ((lengths - 1) ** 2).mean(), rel=1e-5)
    ours = module.generator_loss(shown["fake"], shown["classes"])
    assert float(ours.loss.detach()) == pytest.approx(-score(fake, shown["classes"].numpy()).mean(), rel=1e-9)


def test_the_autoencoder_starts_with_a_usual_dispersion(counts):
    np.testing.assert_allclose(1 / make(counts.copy()).vae.module.px_r.exp().detach().numpy(), 0.2, rtol=1e-5)


def test_a_profile_is_what_the_autoencoder_decodes():
    module = small_module().eval()
    module.total_mean.fill_(np.log(200.0))
    module.total_sd.fill_(0.5)
    points = torch.randn(5, 5)
    with torch.no_grad():
        counts = module.decoded(points)
        px = module.vae.generative(points[:, :4], torch.full((5, 1), np.log(10_000.0)), torch.zeros(5, 1))["px"]
    assert isinstance(px, NegativeBinomial)
    totals = 200 * np.exp(0.5 * points[:, 4:].numpy())
    np.testing.assert_allclose(counts, px.mean.numpy() / 10_000 * totals, rtol=1e-4)
    np.testing.assert_allclose(counts.sum(dim=1), totals[:, 0], rtol=1e-4)


def test_the_players_training_leaves_the_autoencoder_as_it_was(counts):
    model = fit(counts.copy())
    before = {name: value.clone() for name, value in model.module.vae.state_dict().items()}
    critic = next(model.module.critic.parameters()).clone()
    model.train(**OPTIONS)
    for name, value in model.module.vae.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not torch.equal(next(model.module.critic.parameters()), critic)
    assert len(model.vae.history_["train_loss"]) == 2


def test_cells_are_counts_of_the_classes_that_are_asked_for(model, counts):
    made = model.generate({"type_1": 30, "type_0": 20}, seed=0)
    assert made.obs["cell_type"].tolist() == ["type_1"] * 30 + ["type_0"] * 20
    assert made.uns["altercell"]["space"] == "counts"
    np.testing.assert_array_equal(dense(made), np.rint(dense(made)))
    assert list(made.var_names) == list(counts.var_names)
    expected = model.generate(5, seed=0, output="model")
    assert expected.uns["altercell"]["space"] == "expected counts"
    assert "library_size" not in expected.uns["altercell"]
    many = dense(model.generate({"type_1": 40}, seed=0, output="model")).sum(axis=1)
    rounded = dense(model.generate({"type_1": 40}, seed=0, output="rounded")).sum(axis=1)
    np.testing.assert_allclose(rounded, many, rtol=0.1, atol=10)
    with pytest.raises(GroupError, match="this LatentGAN tells labels apart"):
        model.generate(3, condition="control")


def test_without_classes(counts):
    model = fit(counts.copy(), classes=None)
    assert list(model.generate(4, seed=0).obs.columns) == []
    with pytest.raises(GroupError, match="this LatentGAN tells no classes apart"):
        model.generate(3, labels="type_0")


def test_it_learns_its_classes(counts):
    """Mean profiles of made cells are near to those of their own type, and nearer than to the other's."""
    vae = {"max_epochs": 150, "batch_size": 50, "early_stopping": False, "plan_kwargs": {"lr": 1e-2}}
    train = {"n_steps": 2_000, "plan_kwargs": {"lr": 2e-3}, "vae": vae}
    model = fit(counts.copy(), train, n_hidden=(32, 32))
    names = ["type_0", "type_1"]

    def shares(values):
        return values.sum(axis=0) / values.sum()

    real = [shares(dense(counts[(counts.obs["cell_type"] == name).to_numpy()])) for name in names]
    made = [shares(dense(model.generate(400, labels=name, seed=0, output="model"))) for name in names]
    apart = np.abs(np.stack(made)[:, None] - np.stack(real)[None]).sum(axis=2)
    between = np.abs(real[0] - real[1]).sum()
    assert apart[0, 0] < 0.6 * between
    assert apart[1, 1] < 0.6 * between
    assert apart[0, 0] < apart[0, 1]
    assert apart[1, 1] < apart[1, 0]


def test_a_file_holds_both_networks(model, counts, tmp_path):
    model.save(tmp_path / "model")
    loaded = ac.LatentGAN.load(tmp_path / "model")
    np.testing.assert_array_equal(*(dense(one.generate(20, seed=0)) for one in (loaded, model)))
    points = [one.get_latent_representation(counts) for one in (loaded, model)]
    np.testing.assert_array_equal(*points)
    assert points[0].shape == (150, 3)
    again = ac.LatentGAN.load(tmp_path / "model", adata=counts.copy())
    again.train(**OPTIONS)  # the autoencoder is not trained anew
    assert again.vae.is_trained_
    assert again.vae.history_ is None


def test_a_resumed_training_ends_as_one_that_was_not_stopped(counts, tmp_path):
    """Stopped once inside each training."""
    train = {"max_epochs": 4, "n_steps": 4}
    whole = fit(counts.copy(), {**train, "resume_dir": tmp_path / "whole"})
    stopped = make(counts.copy())
    stopped.vae.module.set_trainable(True)
    stopped.vae.train(
        max_epochs=1, batch_size=50, accelerator="cpu", enable_progress_bar=False, resume_dir=tmp_path / "parts" / "vae"
    )
    for max_epochs in (2, 4):
        model = make(counts.copy())
        model.train(**{**OPTIONS, **SHORT, "n_steps": 4, "max_epochs": max_epochs, "resume_dir": tmp_path / "parts"})
    for name, value in whole.module.state_dict().items():
        assert torch.equal(value, model.module.state_dict()[name]), name


def test_validation_cells_are_seen_by_neither_training(counts, monkeypatch):
    model = make(counts.copy())
    held = {}
    monkeypatch.setattr(model.vae, "train", lambda **given: held.update(given))
    model.train(**{**OPTIONS, **SHORT, "train_size": 0.8})
    np.testing.assert_array_equal(np.sort(held["validation_indices"]), np.sort(model.validation_indices_))
    assert len(model.validation_indices_) == 30


def test_an_interrupt_in_the_first_training_leaves_the_model_untrained(counts):
    from lightning.pytorch.callbacks import Callback

    class Stop(Callback):
        def on_train_epoch_start(self, trainer, *args):
            if trainer.current_epoch == 1:
                raise KeyboardInterrupt

    model = make(counts.copy())
    with pytest.warns(UserWarning, match="interrupted"):
        model.train(**{**OPTIONS, "vae": {**SHORT["vae"], "max_epochs": 3, "callbacks": [Stop()]}})
    assert model.interrupted_
    assert not model.is_trained_
    model.train(**{**OPTIONS, **SHORT})  # goes on from the weights that are there
    assert model.is_trained_
    assert not model.interrupted_
    assert len(model.vae.history_["train_loss"]) == 3


def test_what_makes_no_sense_is_refused_before_anything_is_trained(counts):
    with pytest.raises(DataError, match="n_dimensions=0 must be at least 1"):
        make(counts.copy(), n_dimensions=0)
    with pytest.raises(DataError, match="conditioning='concat' is unknown"):
        make(counts.copy(), conditioning="concat")
    with pytest.raises(DataError, match="LatentGAN|CountVAE"):
        make(ac.data.normalize(counts.copy()))
    model = make(counts.copy())
    with pytest.raises(DataError, match="n_steps=0 must be at least 1"):
        model.train(n_steps=0)
    with pytest.raises(DataError, match="lowest before the critic has learnt anything"):
        model.train(early_stopping=True)
    with pytest.raises(DataError, match="plan_kwargs has 'lrr'"):
        model.train(plan_kwargs={"lrr": 1e-3})
    with pytest.raises(DataError, match="batch_size=1 at least 2"):
        model.train(batch_size=1)
    assert not model.vae.is_trained_


class Streamed(LightningDataModule):
    """The training cells as a data module brings them."""

    def __init__(self, cells):
        super().__init__()
        self.cells = cells

    def __iter__(self):
        return (batch for _, batch in self.cells.batches(50))

    def train_dataloader(self):
        parts = np.array_split(np.arange(len(self.cells)), 3)
        return DataLoader(self.cells, sampler=parts, batch_size=None)

    def val_dataloader(self):
        return DataLoader(self.cells, sampler=[np.arange(20)], batch_size=None)


def test_cells_of_a_data_module_have_the_totals_of_its_cells(counts):
    known = make(counts.copy())
    model = ac.LatentGAN(registry=known.registry_, **SMALL)
    data = Streamed(known._training_cells())
    options = {"accelerator": "cpu", "enable_progress_bar": False, "datamodule": data, "batch_size": 50}
    with pytest.raises(DataError, match="give vae={'max_epochs': ...}"):
        model.train(max_epochs=2, **options)
    model.train(max_epochs=60, vae={"max_epochs": 2}, plan_kwargs={"lr": 2e-3, "final_lr": None}, **options)
    logs = np.log(dense(counts).sum(axis=1))
    assert float(model.module.total_mean) == pytest.approx(float(logs.mean()), rel=1e-4)
    made = np.log(dense(model.generate(300, seed=0, output="model")).sum(axis=1))
    assert float(made.mean()) == pytest.approx(float(logs.mean()), abs=3 * float(logs.std()))


def test_totals_of_training_cells_alone(counts):
    data = counts.copy()
    held = np.arange(20)
    values = data.X.toarray()
    values[held] *= 1_000
    data.X = values
    model = fit(data, {"validation_indices": held})
    logs = np.log(values[20:].sum(axis=1))
    assert float(model.module.total_mean) == pytest.approx(logs.mean(), rel=1e-5)
    assert float(model.module.total_sd) == pytest.approx(logs.std(ddof=1), rel=1e-4)


def test_after_a_choice_of_genes_the_size_factor_is_the_total_over_all_genes(counts):
    data = ac.data.select_genes(ac.data.normalize(counts.copy()), 15)
    ac.LatentGAN.setup_anndata(data, layer="counts", labels_key="cell_type", size_factor_key="size_factor")
    model = ac.LatentGAN(data, **{**SMALL, "classes": "labels"})
    model.train(**OPTIONS, **SHORT)
    made, again = (model.generate(60, seed=0, batch_size=size) for size in (60, 7))
    np.testing.assert_array_equal(made.obs["size_factor"], again.obs["size_factor"])
    expected = dense(model.generate(60, seed=0, output="model")).sum(axis=1)
    classes = model.schema.cell_label_codes(made)
    asked = expected / model.module.covered.numpy()[classes]
    least = np.maximum(dense(made).sum(axis=1), 1)
    np.testing.assert_allclose(made.obs["size_factor"], np.maximum(asked, least), rtol=1e-4)


def test_conditions_and_types_together_and_what_lies_between(counts):
    model = fit(counts.copy(), classes="both")
    made = model.generate(30, labels="type_1", condition="stimulated", seed=0)
    assert set(zip(made.obs["cell_type"], made.obs["condition"], strict=True)) == {("type_1", "stimulated")}
    between = model.interpolate(5, labels=["type_0", "type_1"], condition="control", seed=0)
    assert between.shape == (5, 30)
    more = model.augment({"type_1": 7}, condition="control", seed=0)
    assert more.n_obs == counts.n_obs + 7


def test_the_store_of_scvi_tools_lets_go_of_the_cells(counts):
    from altercell.benchmark._task import let_go
    from altercell.models.latent_gan import CountVAE

    model = make(counts.copy())
    known = model.adata_manager.adata_uuid
    assert known in CountVAE._setup_adata_manager_store
    let_go(model)
    assert known not in CountVAE._setup_adata_manager_store
    assert known not in ac.LatentGAN._setup_adata_manager_store
