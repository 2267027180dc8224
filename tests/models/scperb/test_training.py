"""Which pairs training and validation see, and what it learns from them."""

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

import altercell as ac
from altercell import ScPerb
from altercell.errors import DataError, GroupError, ModelFileError
from altercell.train import CellDataModule

from .conftest import KEYS, QUIET, SMALL

ASK = {"source": "control", "target": "stimulated"}


def pairs_of(model: ScPerb, seed: int = 0) -> CellDataModule:
    return model._data_module(0.9, 16, seed, 0)


def cells_in(batches) -> set[int]:
    return {int(cell) for batch in batches for cell in batch}


@pytest.fixture
def fresh(cells) -> ScPerb:
    ScPerb.setup_anndata(cells, **KEYS)
    return ScPerb(cells, control="control", **SMALL)


@pytest.mark.parametrize("pairing", ["random", "transport"])
def test_training_and_validation_share_no_cell(cells, pairing):
    ScPerb.setup_anndata(cells, **KEYS)
    data = pairs_of(ScPerb(cells, control="control", pairing=pairing, **SMALL))
    training, validation = cells_in(data.train_batches), cells_in(data.val_batches)
    assert training <= set(data.train_idx.tolist())
    assert validation <= set(data.val_idx.tolist())
    assert not training & validation
    # (T, stimulated) is not there, but (T, other) is: T's cells are in the pairs of "other" alone.
    for batch in data.train_batches:
        first, second = np.split(batch, 2)
        assert (cells.obs["condition"].iloc[first] == "control").all()
        assert (cells.obs["cell_type"].iloc[first].to_numpy() == cells.obs["cell_type"].iloc[second].to_numpy()).all()


@pytest.mark.parametrize(("balance", "n_pairs"), [("larger", 20 + 21 + 11 + 13 + 22), ("smaller", 8 + 14 + 7 + 7 + 15)])
def test_the_balance_reaches_the_pairs(cells, balance, n_pairs):
    ScPerb.setup_anndata(cells, **KEYS)
    data = ScPerb(cells, control="control", balance=balance, **SMALL)._data_module(1.0, 16, 0, 0)
    sizes = cells.obs.groupby("cell_type", observed=True)["condition"].value_counts().unstack(fill_value=0)
    choose = np.maximum if balance == "larger" else np.minimum
    pairs = [choose(sizes["control"], sizes[name])[sizes[name] > 0].sum() for name in ("other", "stimulated")]
    assert data.train_batches.n_pairs == sum(pairs)


def test_validation_pairs_stay_and_training_pairs_change(fresh):
    data = pairs_of(fresh)
    found = {}
    for epoch in range(2):
        for name, batches in (("training", data.train_batches), ("validation", data.val_batches)):
            batches.set_epoch(epoch)
            found[name, epoch] = sorted(np.concatenate([np.stack(np.split(b, 2), 1) for b in batches]).tolist())
    assert found["validation", 0] == found["validation", 1]
    assert found["training", 0] != found["training", 1]


def test_pairs_by_transport_are_nearer_to_each_other_than_random_ones():
    rng = np.random.default_rng(0)
    adata = ac.data.normalize(ac.datasets.simulate_response(n_cells=400, n_genes=60, n_types=2, seed=0))
    # A gradient within each type, which random pairs ignore.
    place = rng.random(400)
    adata.X = adata.X.toarray()
    adata.X[:, :20] += 4 * place[:, None].astype(np.float32)
    ScPerb.setup_anndata(adata, **KEYS)
    apart = {}
    for pairing in ("random", "transport"):
        data = pairs_of(ScPerb(adata, control="control", pairing=pairing, **SMALL))
        first, second = data.train_batches.pairs().T
        apart[pairing] = np.abs(place[first] - place[second]).mean()
    assert apart["transport"] < 0.5 * apart["random"]


def test_partners_by_transport_are_redrawn_from_the_plan(cells):
    ScPerb.setup_anndata(cells, **KEYS)
    batches = pairs_of(ScPerb(cells, control="control", pairing="transport", **SMALL)).train_batches
    seen = set()
    for epoch in range(30):
        batches.set_epoch(epoch)
        seen |= {tuple(pair) for pair in batches.pairs().tolist()}
    allowed = {
        (int(arm.control[i]), int(arm.perturbed[j]))
        for arm in batches.arms
        for i, j in zip(*arm.partners.nonzero(), strict=True)
    }
    assert seen <= allowed
    assert len(seen) > batches.n_pairs


def test_inner_types_are_the_validation(fresh):
    fresh.train(max_epochs=1, validation_labels="NK", **QUIET)
    types = fresh.adata.obs["cell_type"].to_numpy()
    assert set(types[fresh.validation_indices_]) == {"NK"}
    assert set(types[fresh.train_indices_]) == {"B", "T"}
    assert len(fresh.train_indices_) + len(fresh.validation_indices_) == 120
    assert "validation_loss" in fresh.history_
    data = pairs_of(fresh)
    assert set(types[list(cells_in(data.train_batches))]) == {"B", "T"}
    assert set(types[list(cells_in(data.val_batches))]) == {"NK"}
    fresh.train(max_epochs=1, **QUIET)
    assert set(types[fresh.validation_indices_]) == {"B", "NK", "T"}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("Mono", "validation_labels='Mono' is no label .*; there are 'B', 'NK', 'T'"),
        (["B", "NK", "T"], r"training has 0 pairs: .* cells both of 'control' \(control=\) and of another condition"),
        ([], "labels is empty"),
    ],
)
def test_inner_types_that_leave_nothing(fresh, labels, message):
    with pytest.raises(GroupError, match=message):
        fresh.train(max_epochs=1, validation_labels=labels, **QUIET)
    assert not fresh.is_trained_


def test_inner_types_without_pairs_are_refused(cells):
    one_armed = cells[~((cells.obs["cell_type"] == "NK") & (cells.obs["condition"] == "control")).to_numpy()].copy()
    ScPerb.setup_anndata(one_armed, **KEYS)
    with pytest.raises(GroupError, match="validation_labels='NK' have no cells both of 'control' and of another"):
        ScPerb(one_armed, control="control", **SMALL).train(max_epochs=1, validation_labels="NK", **QUIET)


def test_inner_types_need_labels(cells):
    ScPerb.setup_anndata(cells, batch_key="condition")
    with pytest.raises(GroupError, match="the model was set up without labels_key"):
        ScPerb(cells, control="control", **SMALL).train(max_epochs=1, validation_labels="NK", **QUIET)


def test_no_type_with_both_arms(cells):
    control = (cells.obs["condition"] == "control").to_numpy()
    bad = cells[control == (cells.obs["cell_type"] == "T").to_numpy()].copy()
    ScPerb.setup_anndata(bad, **KEYS)
    message = "training has 0 pairs: cell_type must have groups .*'T, control', 'B, other'"
    with pytest.raises(GroupError, match=message):
        ScPerb(bad, control="control", **SMALL).train(max_epochs=1, **QUIET)


def test_a_condition_that_was_never_paired_is_not_predicted(make_cells, make_perb):
    cells = make_cells()
    # "other" is left in a type that has no control.
    keep = ~((cells.obs["condition"] == "other") ^ (cells.obs["cell_type"] == "T")).to_numpy()
    model = make_perb(cells[keep | (cells.obs["condition"] == "stimulated").to_numpy()].copy(), epochs=1)
    assert model.module.pairs_seen[1] == 0
    message = "target='other' shares no cell type with 'control' in training, .*; there are 'control', 'stimulated'"
    with pytest.raises(GroupError, match=message):
        model.predict(source="control", target="other")
    with pytest.raises(GroupError, match="source='other' shares no cell type"):
        model.get_delta("other", "stimulated")
    model.predict(**ASK)


def test_too_few_cells_for_validation_pairs_train_to_the_end(cells, make_perb):
    model = make_perb(cells[:40].copy(), epochs=4, train={"train_size": 0.98})
    assert len(model.history_["train_loss"]) == 4
    assert "validation_loss" not in model.history_


def test_the_history_has_every_term_and_their_weighted_sum(cells, make_perb):
    given = {"style_weight": 0.5, "kl_weight_control": 0.1, "kl_weight_perturbed": 0.2, "generation_weight": 2.0}
    model = make_perb(cells, **given)
    for mode in ("train", "validation"):
        values = {name: frame.iloc[-1, 0] for name, frame in model.history_.items() if name.endswith(mode)}
        assert set(values) == {
            f"{term}_{mode}" for term in ("style_loss", "generation_loss", "kl_control", "kl_perturbed")
        }
        style, generation = values[f"style_loss_{mode}"], values[f"generation_loss_{mode}"]
        kl = 0.1 * values[f"kl_control_{mode}"] + 0.2 * values[f"kl_perturbed_{mode}"]
        wanted = 0.5 * style + kl + 2 * generation
        assert model.history_[f"{mode}_loss"].iloc[-1, 0] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("options", [{}, {"pairing": "transport"}, {"delta": "latent"}])
def test_the_same_seed_gives_the_same_bits_and_another_does_not(make_cells, make_perb, options):
    first, again = (make_perb(make_cells(), epochs=2, **options).predict(**ASK).X for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = make_perb(make_cells(), epochs=2, train={"seed": 5}, **options).predict(**ASK).X
    assert np.abs(first - other).max() > 1e-4


def test_a_resumed_run_must_have_the_same_inner_types(cells, tmp_path):
    ScPerb.setup_anndata(cells, **KEYS)
    settings = {"max_epochs": 1, "resume_dir": tmp_path, **QUIET}
    ScPerb(cells, control="control", **SMALL).train(validation_labels="NK", **settings)
    with pytest.raises(ModelFileError, match="another run"):
        ScPerb(cells, control="control", **SMALL).train(validation_labels="B", **settings)


class Loose(LightningDataModule):
    """Batches of cells in random order, as another data module gives them: no pairs."""

    def __init__(self, model: ScPerb, batch_size: int) -> None:
        super().__init__()
        self.cells, self.n_val = model._training_cells(), 30
        order = np.random.default_rng(0).permutation(len(self.cells))
        self.parts, self.validation = np.array_split(order[30:], 90 // batch_size), order[:30]

    def train_dataloader(self):
        return DataLoader(self.cells, sampler=self.parts, batch_size=None)

    def val_dataloader(self):
        return DataLoader(self.cells, sampler=[self.validation], batch_size=None)

    def __iter__(self):
        return iter(self.train_dataloader())


def test_a_data_module_of_loose_cells_is_paired_within_its_batches(fresh):
    fresh.train(max_epochs=2, datamodule=Loose(fresh, 40), **QUIET)
    assert (fresh.module.pairs_seen[1:] > 0).all()
    assert fresh.module.group_sizes.sum() == 90
    assert np.isfinite(fresh.history_["validation_loss"].iloc[-1, 0])
    assert np.isfinite(fresh.predict(**ASK).X).all()


def test_a_data_module_of_tiny_batches_is_refused(fresh):
    with pytest.raises(DataError, match="a batch of 2 cells holds . pairs .* larger batches"):
        fresh.train(max_epochs=1, datamodule=Loose(fresh, 2), **QUIET)


def test_a_data_module_brings_its_own_validation(fresh):
    with pytest.raises(DataError, match="validation_labels= chooses among the registered cells"):
        fresh.train(max_epochs=1, validation_labels="B", datamodule=Loose(fresh, 40), **QUIET)


def learnable(n_conditions: int = 3):
    names = ("control", "stimulated", "other")[:n_conditions]
    strong = {"response_share": 0.25, "response_size": 1.5, "specific_share": 0.1, "library_size": 3_000.0}
    return ac.data.normalize(ac.datasets.simulate_response(900, 80, 4, names, **strong, seed=2))


@pytest.mark.parametrize("options", [{}, {"delta": "latent"}, {"pairing": "transport"}, {"balance": "smaller"}])
def test_it_tells_two_perturbations_of_a_held_out_type_apart(options):
    adata = learnable()
    train, _ = ac.data.hold_out(adata, batch=["stimulated", "other"], labels="type_1", **KEYS)
    ScPerb.setup_anndata(train, **KEYS)
    model = ScPerb(train, control="control", n_hidden=32, n_latent=8, **options)
    model.train(max_epochs=30, batch_size=32, plan_kwargs={"lr": 1e-2}, **QUIET)
    kind = (adata.obs["cell_type"] == "type_1").to_numpy()
    means = {
        name: adata.X[kind & (adata.obs["condition"] == name).to_numpy()].toarray().mean(0)
        for name in ("control", "stimulated", "other")
    }
    for target, rival in (("stimulated", "other"), ("other", "stimulated")):
        made = model.predict(source="control", target=target, labels="type_1").X.mean(0)
        real = np.corrcoef(made - means["control"], means[target] - means["control"])[0, 1]
        wrong = np.corrcoef(made - means["control"], means[rival] - means["control"])[0, 1]
        assert real > 0.5
        assert real > wrong + 0.2


def test_random_pairs_regress_to_the_mean_of_the_type():
    adata = learnable(2)
    ScPerb.setup_anndata(adata, **KEYS)
    model = ScPerb(adata, control="control", n_hidden=32, n_latent=8)
    model.train(max_epochs=30, batch_size=32, plan_kwargs={"lr": 1e-2}, **QUIET)
    real = adata.X[((adata.obs["cell_type"] == "type_0") & (adata.obs["condition"] == "stimulated")).to_numpy()]
    made = model.predict(**ASK, labels="type_0").X
    assert made.var(axis=0).mean() < 0.3 * real.toarray().var(axis=0).mean()


def test_a_second_training_goes_on_with_other_pairs(fresh):
    fresh.train(max_epochs=2, **QUIET)
    assert (
        fresh._data_module(0.9, 16, 0, 2).train_batches.pairs().tolist()
        != pairs_of(fresh).train_batches.pairs().tolist()
    )
    fresh.train(max_epochs=1, **QUIET)
    assert len(fresh.history_["train_loss"]) == 3
    assert torch.isfinite(fresh.module.latent_means).all()
