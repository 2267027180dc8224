import numpy as np
import pytest
import torch
from torch import nn

from altercell.errors import DataError
from altercell.models.scperb import ScPerbModule

N_GENES, N_LATENT, CONTROL = 12, 3, 1
WEIGHTS = {"style_weight": 0.7, "kl_weight_control": 0.3, "kl_weight_perturbed": 0.2, "generation_weight": 1.9}


def shaken(**options) -> ScPerbModule:
    """A module in evaluation mode in which every weight and running statistic has a value of its own."""
    small = {"n_hidden": 9, "n_latent": N_LATENT, "n_style": 5, "n_hidden_delta": 6}
    module = ScPerbModule(N_GENES, 3, 2, CONTROL, **{**small, **WEIGHTS, **options})
    torch.manual_seed(1)
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.copy_(0.4 * torch.randn_like(tensor))
        for name, tensor in module.named_buffers():
            if "running" in name:
                tensor.copy_(torch.rand_like(tensor) + 0.2 * ("var" in name))
    return module.eval()


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    """Five pairs: control cells, then cells of conditions 0 and 2 of the same labels."""
    x = np.random.default_rng(0).gamma(1.0, 2.0, size=(10, N_GENES)).astype(np.float32)
    conditions, labels = [CONTROL] * 5 + [0, 2, 2, 0, 2], [0, 1, 0, 0, 1] * 2
    return {"X": torch.tensor(x), "batch": torch.tensor(conditions)[:, None], "labels": torch.tensor(labels)[:, None]}


@pytest.fixture
def noise(monkeypatch) -> np.ndarray:
    """The noise of the samples of z, fixed."""
    noise = np.random.default_rng(5).normal(size=(10, N_LATENT))

    def rsample(self, sample_shape=()):
        return self.loc + self.scale * torch.tensor(noise[: len(self.loc)], dtype=self.loc.dtype)

    monkeypatch.setattr(torch.distributions.Normal, "rsample", rsample)
    return noise


def smooth_l1(x: np.ndarray, y: np.ndarray, beta: float) -> np.ndarray:
    """The paper's equation, entry by entry, and the mean over the entries of a row."""
    apart = np.abs(x - y)
    square = apart**2 / (2 * beta) if beta > 0 else apart
    return np.where(apart < beta, square, apart - 0.5 * beta).mean(axis=1)


def divergence(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return 0.5 * (variance + mean**2 - 1 - np.log(variance))


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("delta", ["constant", "latent"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("beta", [1.0, 0.3, 0.0])
def test_forward_pass_and_loss_are_the_papers(oracle, batch, noise, n_layers, delta, reduction, beta):
    module = shaken(n_layers=n_layers, delta=delta, kl_reduction=reduction, smooth_l1_beta=beta)
    paper = oracle(module)
    x = batch["X"].double().numpy()
    mean, variance = paper.encode(x)
    z = mean + np.sqrt(variance) * noise
    moved = np.stack([z[n] + paper.delta(int(batch["batch"][5 + n]), z[n : n + 1])[0] for n in range(5)])
    made = paper.decode(moved)
    kl = getattr(divergence(mean, variance), reduction)(axis=1)
    wanted = {
        "style_loss": smooth_l1(z[5:], moved, beta),
        "generation_loss": smooth_l1(x[5:], made, beta),
        "kl_control": kl[:5],
        "kl_perturbed": kl[5:],
    }
    total = 0.7 * wanted["style_loss"] + 0.3 * kl[:5] + 0.2 * kl[5:] + 1.9 * wanted["generation_loss"]

    inferred, generated, output = module(batch)
    np.testing.assert_allclose(inferred["qzm"].detach(), mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(inferred["qzv"].detach(), variance, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(generated["z"].detach(), moved, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(generated["mean"].detach(), made, rtol=1e-5, atol=1e-5)
    for name, value in (output.reconstruction_loss | output.kl_local).items():
        np.testing.assert_allclose(value.detach(), wanted[name], rtol=1e-5, atol=1e-6)
    assert float(output.loss.detach()) == pytest.approx(total.mean(), rel=1e-5)
    assert output.n_obs_minibatch == 5


@pytest.mark.parametrize(("beta", "wanted"), [(1.0, 3 / 7), (10.0, 0.6)])
def test_the_centre_of_a_sparse_gene_is_below_its_mean_unless_beta_is_large(beta, wanted):
    values = torch.tensor([0.0] * 7 + [2.0] * 3, dtype=torch.float64)
    grid = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    module = shaken(smooth_l1_beta=beta)
    losses = module._smooth_l1(grid[:, None].expand(-1, 10), values.expand(len(grid), -1))
    assert float(grid[losses.argmin()]) == pytest.approx(wanted, abs=2e-4)


@pytest.mark.parametrize("name", WEIGHTS)
def test_each_weight_has_its_own_term(batch, noise, name):
    terms = {
        "style_weight": "style_loss",
        "generation_weight": "generation_loss",
        "kl_weight_control": "kl_control",
        "kl_weight_perturbed": "kl_perturbed",
    }
    off = dict.fromkeys(WEIGHTS, 0.0)
    output = shaken(**{**off, name: 2.0})(batch)[2]
    term = (output.reconstruction_loss | output.kl_local)[terms[name]]
    torch.testing.assert_close(output.loss, 2 * term.mean())


@pytest.mark.parametrize("delta", ["constant", "latent"])
@pytest.mark.parametrize("beta", [1.0, 0.05])
def test_gradients_of_the_whole_loss(batch, noise, delta, beta):
    module = shaken(n_layers=1, delta=delta, smooth_l1_beta=beta).double()
    parameters = [
        module.encoder.mean_encoder.weight,
        module.style_encoder.affine.weight,
        module.decoder[1].bias,
        *([module.style_encoder.network[2].weight] if delta == "latent" else []),
    ]
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    tensors = {**batch, "X": batch["X"].double()}

    def loss(*values):
        given = {names[id(parameter)]: value for parameter, value in zip(parameters, values, strict=True)}
        return torch.func.functional_call(module, given, (tensors,))[2].loss

    start = [parameter.detach().clone().requires_grad_() for parameter in parameters]
    assert torch.autograd.gradcheck(loss, start, eps=1e-6, atol=1e-4)


def test_without_a_condition_points_are_decoded_where_they_are(oracle):
    module = shaken()
    z = np.random.default_rng(3).normal(size=(8, N_LATENT)).astype(np.float32)
    decoded = module.generative(torch.tensor(z))
    np.testing.assert_allclose(decoded["mean"].detach(), oracle(module).decode(z), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(decoded["z"], z)


@pytest.mark.parametrize(
    ("name", "function"), [("relu", lambda x: np.maximum(x, 0)), ("softplus", lambda x: np.logaddexp(0, x))]
)
def test_output_activations(oracle, name, function):
    module = shaken(output_activation=name)
    z = np.random.default_rng(3).normal(size=(8, N_LATENT)).astype(np.float32)
    decoded = module.generative(torch.tensor(z))["mean"].detach()
    np.testing.assert_allclose(decoded, function(oracle(module).decode(z)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("delta", ["constant", "latent"])
def test_the_step_between_two_conditions(oracle, delta):
    module = shaken(delta=delta)
    paper, z = oracle(module), torch.randn(4, N_LATENT)
    points = z.double().numpy()
    for source, target in ((CONTROL, 0), (2, CONTROL), (0, 2)):
        wanted = paper.delta(target, points) - paper.delta(source, points)
        np.testing.assert_allclose(module.shift(z, source, target).detach(), wanted, rtol=1e-5, atol=1e-5)
    assert not module.shift(z, 2, 2).detach().any()


def test_both_arms_go_through_the_encoder_together(batch, monkeypatch):
    module, seen = shaken().train(), []
    encode = module.encoder.forward
    monkeypatch.setattr(module.encoder, "forward", lambda x: seen.append(x) or encode(x))
    module(batch)
    assert len(seen) == 1
    assert torch.equal(seen[0], batch["X"])


def test_pairs_are_counted_in_training_alone(batch):
    module = shaken()
    module(batch)
    assert module.pairs_seen.tolist() == [0, 0, 0]
    module.train()
    module(batch)
    module(batch)
    assert module.pairs_seen.tolist() == [4, 0, 6]
    assert "pairs_seen" in module.state_dict()


def shuffled(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    order = torch.tensor([7, 0, 3, 9, 5, 1, 4, 8, 2, 6])
    return {name: value[order] for name, value in batch.items()}


def test_a_batch_of_no_pairs_is_paired_within_labels(batch):
    module, mixed = shaken(), shuffled(batch)
    paired = module._paired(mixed)
    half = len(paired["X"]) // 2
    assert module._is_paired(paired)
    assert not module._is_paired(mixed)
    # Label 0: control 0, 3, 2; condition 2: 7; condition 0: 5, 8. Label 1: control 1, 4; condition 2: 9, 6.
    assert half == 5
    rows = {tuple(row) for row in batch["X"].tolist()}
    assert {tuple(row) for row in paired["X"].tolist()} <= rows
    torch.manual_seed(0)
    whole = module(mixed)[2].loss
    torch.manual_seed(0)
    assert torch.equal(module(paired)[2].loss, whole)


@pytest.mark.parametrize("change", ["odd", "label", "control on both sides", "perturbed on both sides", "empty"])
def test_what_is_no_batch_of_pairs(batch, change):
    module = shaken()
    assert module._is_paired(batch)
    broken = {name: value.clone() for name, value in batch.items()}
    if change in ("odd", "empty"):
        broken = {name: value[: 9 * (change == "odd")] for name, value in batch.items()}
    elif change == "label":
        broken["labels"][2] = 1
    else:
        broken["batch"][7 if change.startswith("control") else 2] = CONTROL if change.startswith("control") else 0
    assert not module._is_paired(broken)


@pytest.mark.parametrize(("training", "n_pairs", "needed"), [(True, 1, 2), (True, 0, 2), (False, 0, 1)])
def test_too_few_pairs_in_a_batch_are_refused(batch, training, n_pairs, needed):
    module = shaken().train(training)
    rows = [0, 5, 6] if n_pairs else [0, 6]
    message = f"a batch of {len(rows)} cells holds {n_pairs} pairs .* at least {needed} are needed; .* larger batches"
    with pytest.raises(DataError, match=message):
        module({name: value[rows] for name, value in batch.items()})


def test_one_pair_is_enough_to_look_at(batch):
    assert torch.isfinite(shaken()({name: value[[5, 0]] for name, value in batch.items()})[2].loss)


def test_the_default_network_is_the_papers():
    module = ScPerbModule(50, 2, 3, 0)
    parts = module.encoder, module.decoder, module.style_encoder
    linear = [(m.in_features, m.out_features) for part in parts for m in part.modules() if isinstance(m, nn.Linear)]
    encoder, decoder = [(50, 800), (800, 800), (800, 100), (800, 100)], [(100, 800), (800, 800), (800, 50)]
    assert linear == [*encoder, *decoder, (50, 100)]
    for part in (module.encoder.encoder, module.decoder[0]):
        kinds = [type(layer) for block in part.fc_layers for layer in block if layer]
        assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ELU, nn.Dropout] * 2
    assert {layer.p for layer in module.modules() if isinstance(layer, nn.Dropout)} == {0.2}
    weights = [getattr(module, name) for name in WEIGHTS]
    assert weights == [1, 0.005, 0, 1]
    assert (module.smooth_l1_beta, module.kl_scale) == (1, 0.01)
    assert module.style_encoder.style.shape == (2, 50)


def test_the_sample_of_z_has_the_mean_and_variance_that_are_told(batch):
    module = shaken()
    torch.manual_seed(0)
    inferred = module.inference(batch["X"][:1].repeat(20_000, 1))
    mean, variance = inferred["qzm"][0].detach(), inferred["qzv"][0].detach()
    z = inferred["z"].detach()
    assert ((z.mean(0) - mean).abs() < 5 * (variance / 20_000).sqrt()).all()
    torch.testing.assert_close(z.var(0), variance, rtol=0.05, atol=0)
