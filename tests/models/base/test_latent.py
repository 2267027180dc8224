import numpy as np
import pytest
import torch
from scipy import sparse

from altercell.errors import DataError, GeneMismatchError
from altercell.models.base import AltercellModel, LatentArithmetic, LatentModel, TrainingMixin
from altercell.models.scgen import ScGenModule


def test_the_representation_is_the_posterior_mean(model, oracle):
    latent = model.get_latent_representation()
    assert (latent.dtype, latent.shape) == (np.float32, (120, 4))
    np.testing.assert_allclose(latent, oracle(model.module).encode(model.adata.X)[0], rtol=1e-4, atol=1e-5)


def test_counts_are_encoded_as_log_of_counts_per_10_000(nb_model, oracle):
    x = nb_model.adata.X
    wanted = oracle(nb_model.module).encode(x, x.sum(axis=1).astype(np.float64))[0]
    np.testing.assert_allclose(nb_model.get_latent_representation(), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 7, 119, 120, 5_000])
def test_the_batch_size_does_not_matter(model, batch_size):
    np.testing.assert_allclose(
        model.get_latent_representation(batch_size=batch_size), model.get_latent_representation(), rtol=1e-5, atol=1e-6
    )


def test_some_cells_are_those_of_the_whole(model):
    whole = model.get_latent_representation()
    rows = np.array([100, 3, 3, 50])
    np.testing.assert_allclose(model.get_latent_representation(indices=rows), whole[rows], rtol=1e-5, atol=1e-6)
    mask = np.arange(120) % 3 == 0
    np.testing.assert_allclose(model.get_latent_representation(indices=mask), whole[mask], rtol=1e-5, atol=1e-6)
    assert model.get_latent_representation(indices=[]).shape == (0, 4)


def test_other_cells_are_aligned_by_gene_name(model, cells):
    shuffled = cells[::-1, np.random.default_rng(1).permutation(30)].copy()
    np.testing.assert_allclose(
        model.get_latent_representation(shuffled)[::-1], model.get_latent_representation(), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(GeneMismatchError, match="2 of the model's 30 genes are missing: 'gene_0', 'gene_1'"):
        model.get_latent_representation(cells[:, 2:])


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_the_form_of_the_matrix_does_not_matter(model, cells, form):
    cells.X = form(cells.X.astype(np.float64))
    np.testing.assert_allclose(
        model.get_latent_representation(cells), model.get_latent_representation(), rtol=1e-5, atol=1e-6
    )


def test_samples_have_the_posteriors_mean_and_variance(model, oracle):
    mean, variance = oracle(model.module).encode(model.adata.X[:2])
    rows = np.tile([0, 1], 3_000)
    drawn = model.get_latent_representation(indices=rows, give_mean=False, seed=0).reshape(-1, 2, 4)
    assert (np.abs(drawn.mean(axis=0) - mean) < 5 * np.sqrt(variance / len(drawn))).all()
    np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.15)


def test_samples_do_not_depend_on_the_batch_size(model):
    first, second = (model.get_latent_representation(give_mean=False, seed=1, batch_size=size) for size in (7, 120))
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_samples_are_a_function_of_their_seed(model):
    first, again, other = (model.get_latent_representation(give_mean=False, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=1).all()


def test_points_of_ones_own_are_decoded(model, oracle):
    points = np.random.default_rng(0).normal(size=(9, 4))
    for given in (points, points.astype(np.float32), points.tolist()):
        decoded = model.decode(given)
        assert (decoded.dtype, decoded.shape) == (np.float32, (9, 30))
        np.testing.assert_allclose(decoded, oracle(model.module).decode(points), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.decode(points, batch_size=4), model.decode(points), rtol=1e-5, atol=1e-5)
    assert model.decode(np.zeros((0, 4))).shape == (0, 30)


def test_points_are_decoded_to_counts_of_a_total(nb_model, oracle):
    points, total = np.random.default_rng(0).normal(size=(9, 4)), np.linspace(100, 900, 9)
    wanted = oracle(nb_model.module).decode_counts(points, total).mean
    np.testing.assert_allclose(nb_model.decode(points, size_factor=total, batch_size=4), wanted, rtol=1e-3)
    np.testing.assert_allclose(wanted.sum(axis=1), total)
    with pytest.raises(DataError, match="a count model decodes to counts of a total; give size_factor="):
        nb_model.decode(points)
    for wrong, message in (
        (total[:2], r"shape \(2,\); give one total for each of the 9"),
        (-total, "finite and positive"),
    ):
        with pytest.raises(DataError, match=f"size_factor .*{message}"):
            nb_model.decode(points, size_factor=wrong)


@pytest.mark.parametrize(
    ("latent", "message"),
    [
        (np.zeros((3, 5)), r"latent has shape \(3, 5\); the model decodes points of shape \(n_cells, 4\)"),
        (np.zeros(4), r"latent has shape \(4,\)"),
        (np.array([[0, np.nan, 0, 0]]), "latent holds NaN or infinite values"),
        (np.array([[0, np.inf, 0, 0]]), "latent holds NaN or infinite values"),
    ],
)
def test_points_that_cannot_be_decoded(model, latent, message):
    with pytest.raises(DataError, match=message):
        model.decode(latent)


@pytest.mark.parametrize("batch_size", [0, -3])
def test_batches_of_no_cells_are_refused(model, batch_size):
    for verb in (
        lambda: model.get_latent_representation(batch_size=batch_size),
        lambda: model.decode(np.zeros((3, 4)), batch_size=batch_size),
        lambda: model.generate(3, batch_size=batch_size),
        lambda: model.predict(source="control", target="stimulated", batch_size=batch_size),
    ):
        with pytest.raises(DataError, match=f"batch_size={batch_size} must be at least 1"):
            verb()


class Own(LatentModel, LatentArithmetic, TrainingMixin, AltercellModel):
    """The least that a model with a latent space has to say."""

    def __init__(self, adata=None, registry=None):
        super().__init__(adata, registry)
        sizes = len(self.schema.genes), len(self.schema.conditions), len(self.schema.labels)
        self.module = ScGenModule(*sizes, n_hidden=8, n_latent=2)
        self.init_params_ = self._get_init_params(locals())

    def _encode(self, batch):
        outputs = self.module.inference(batch["X"])
        return outputs["qzm"], outputs["qzv"]

    def _decode(self, z, size_factor):
        return self.module.generative(z)["mean"]


def test_a_latent_model_of_ones_own(cells, oracle, tmp_path):
    Own.setup_anndata(cells, batch_key="condition", labels_key="cell_type")
    model = Own(cells)
    model.train(max_epochs=2, resume_dir=tmp_path, enable_progress_bar=False)
    paper = oracle(model.module)
    latent = model.get_latent_representation()
    np.testing.assert_allclose(latent, paper.encode(cells.X)[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.decode(latent), paper.decode(latent), rtol=1e-4, atol=1e-4)
    delta = model.get_delta("control", "other", weights="unbalanced")
    ends = [latent[(cells.obs["condition"] == name).to_numpy()].mean(axis=0) for name in ("control", "other")]
    np.testing.assert_allclose(delta, ends[1] - ends[0], rtol=1e-3, atol=1e-4)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(Own.load(tmp_path / "model").get_latent_representation(cells), latent)


def test_the_means_of_groups_are_those_of_the_last_training(cells, make_model, oracle):
    model = make_model(cells, epochs=1)
    model.train(max_epochs=2, enable_progress_bar=False)
    latent = oracle(model.module).encode(cells.X)[0]
    keep = ((cells.obs["condition"] == "control") & (cells.obs["cell_type"] == "B")).to_numpy()
    np.testing.assert_allclose(model.group_means()[0][0, 0], latent[keep].mean(axis=0), rtol=1e-4, atol=1e-5)
    assert model.module.group_sizes.sum() == 120
    assert model.module.latent_means.dtype == torch.float32
