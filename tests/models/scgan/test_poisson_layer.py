"""Tests of the Poisson layer: counts inside the training of ScGAN and CscGAN."""

import numpy as np
import pytest
import torch
from scipy import sparse

import altercell as ac
from altercell.errors import DataError
from altercell.models.scgan import ScGANModule
from altercell.models.scgan._networks import drawn_counts


def dense(cells):
    return cells.X.toarray() if sparse.issparse(cells.X) else cells.X


def small_module():
    torch.manual_seed(0)
    groups = torch.arange(3).expand(2, -1)
    return ScGANModule(9, 2, 3, n_latent=4, n_hidden=(5, 6), class_of_group=groups, output_layer="poisson").double()


def test_drawn_counts_are_poisson_and_pass_the_gradient_on():
    torch.manual_seed(0)
    rate = torch.tensor([0.0, 0.5, 3.0, 40.0]).expand(50_000, -1).clone().requires_grad_(True)
    counts = drawn_counts(rate)
    values, wanted = counts.detach().numpy(), rate[0].detach().numpy()
    np.testing.assert_allclose(values, np.rint(values), atol=1e-5)
    np.testing.assert_allclose(values.mean(axis=0), wanted, rtol=0.03)
    np.testing.assert_allclose(values.var(axis=0), wanted, rtol=0.03)
    weights = torch.arange(4.0)
    (counts @ weights).sum().backward()
    np.testing.assert_allclose(rate.grad, weights.expand(50_000, -1))


def test_a_rate_that_is_not_a_number_stays_one():
    """For the guard of training, which names it; torch would refuse to draw."""
    counts = drawn_counts(torch.tensor([1.0, float("nan"), 2.0]))
    assert torch.isfinite(counts).tolist() == [True, False, True]


def test_both_players_see_logarithms_of_counts_and_of_their_total():
    module = small_module().eval()
    rng = np.random.default_rng(0)
    x = rng.poisson(3.0, (12, 9)).astype(np.float64)
    labels = torch.tensor(rng.integers(0, 3, (12, 1)))
    real = module.inference(torch.tensor(x), torch.zeros(12, 1, dtype=torch.int64), labels)
    np.testing.assert_allclose(real["real"], np.c_[np.log1p(x), np.log(x.sum(axis=1))])
    drawn = module.drawn(real)
    # A total and a class come from one cell.
    pairs = set(zip(real["classes"].tolist(), real["totals"].tolist(), strict=True))
    assert set(zip(drawn["classes"].tolist(), drawn["totals"].tolist(), strict=True)) <= pairs
    totals = torch.full((30_000,), 50.0, dtype=torch.float64)
    torch.manual_seed(1)
    with torch.no_grad():
        made = module.generative(torch.zeros(30_000, dtype=torch.int64), totals)["fake"].numpy()
        torch.manual_seed(1)
        noise = torch.randn(30_000, 4, dtype=torch.float64)
        profile = module.make(noise, torch.zeros(30_000, dtype=torch.int64)).numpy() / 20_000
    np.testing.assert_allclose(profile.sum(axis=1), 1, rtol=1e-9)
    np.testing.assert_allclose(made[:, -1], np.log(50))
    np.testing.assert_allclose(np.expm1(made[:, :-1]).mean(axis=0), 50 * profile.mean(axis=0), rtol=0.03)


def test_the_losses_are_those_of_the_game_on_what_is_seen():
    module = small_module().eval()
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.poisson(3.0, (12, 9)).astype(np.float64))
    real = module.inference(x, torch.zeros(12, 1, dtype=torch.int64), torch.tensor(rng.integers(0, 3, (12, 1))))
    made = module.generative(**module.drawn(real))
    output = module.loss({}, real, made)
    score = [module.critic(seen, classes) for seen, classes in ((real["real"], real["classes"]), made.values())]
    distance = (score[0].mean() - score[1].mean()).detach()
    assert float(output.extra_metrics["wasserstein"].detach()) == pytest.approx(float(distance), rel=1e-9)
    module.generator_loss(made["fake"], made["classes"]).loss.backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in module.generator.linear.parameters())


def test_it_starts_at_the_mean_profile(counts):
    ac.ScGAN.setup_anndata(counts, labels_key="cell_type")
    model = ac.ScGAN(counts, n_hidden=(8, 16), n_latent=4, output_layer="poisson")
    mean = dense(counts).sum(axis=0) / dense(counts).sum()
    np.testing.assert_allclose(model.module.generator.output.bias.detach().softmax(0), mean, atol=1e-5)


def test_it_learns_its_classes_and_makes_counts(counts, fit, tmp_path):
    train = {"plan_kwargs": {"lr": 2e-3, "final_lr": None, "n_critic": 2}}
    model = fit(ac.CscGAN, counts.copy(), 250, n_hidden=(32, 32), output_layer="poisson", train=train)
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
    drawn = model.generate(50, seed=0, output="counts")
    np.testing.assert_array_equal(dense(drawn), np.rint(dense(drawn)))
    np.testing.assert_allclose(dense(model.generate(5, seed=0)).sum(axis=1), 20_000, rtol=1e-5)
    model.save(tmp_path / "model")
    loaded = ac.CscGAN.load(tmp_path / "model")
    np.testing.assert_array_equal(*(dense(one.generate(20, seed=0)) for one in (loaded, model)))


def test_it_needs_counts_and_a_known_name(counts, fit):
    with pytest.raises(DataError, match="output_layer='other' is unknown"):
        fit(ac.ScGAN, counts.copy(), output_layer="other")
    with pytest.raises(DataError, match="output_layer='poisson' draws counts; give a library_size, and counts"):
        fit(ac.ScGAN, ac.data.normalize(counts.copy()), output_layer="poisson", library_size=None)
