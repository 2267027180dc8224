import anndata as ad
import numpy as np
import ot
import pytest
from scipy.stats import rankdata

from altercell import ScGen
from altercell.errors import DataError, GroupError, KeyNotFoundError, NotTrainedError
from altercell.models.scgen._paths import _paired_by_rank, _paired_by_transport

ENDS = {"source": "control", "target": "stimulated"}


def close(a, b, rtol=1e-3, atol=1e-3) -> None:
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


@pytest.fixture(scope="module")
def paper(model, oracle):
    return oracle(model.module)


# interpolate


@pytest.mark.parametrize("labels", [None, "T", ["B", "T"]])
def test_the_line_goes_from_the_mean_source_cell_to_the_mean_predicted_cell(model, paper, rows, labels):
    made = model.interpolate(**ENDS, labels=labels, n=5)
    wanted = ["B", "NK", "T"] if labels is None else [labels] if isinstance(labels, str) else labels
    where = [row for row in rows(model.adata, "control") if model.adata.obs["cell_type"].iloc[row] in wanted]
    start = paper.encode(model.adata.X[where].mean(axis=0, keepdims=True))[0]
    predicted = paper.decode(paper.encode(model.adata.X[where])[0] + model.get_delta("control", "stimulated"))
    end = paper.encode(predicted.mean(axis=0, keepdims=True))[0]
    fraction = np.array([0, 0.25, 0.5, 0.75, 1])
    assert made.obs["fraction"].tolist() == fraction.tolist()
    assert made.obs_names.tolist() == [f"step_{number}" for number in range(5)]
    close(made.X, paper.decode(start + fraction[:, None] * (end - start)))


def test_the_label_is_noted_where_there_is_one(model):
    assert set(model.interpolate(**ENDS, labels="T", n=3).obs["cell_type"]) == {"T"}
    assert set(model.interpolate(**ENDS, labels=["T"], n=3).obs["cell_type"]) == {"T"}
    assert "cell_type" not in model.interpolate(**ENDS, n=3).obs
    assert "cell_type" not in model.interpolate(**ENDS, labels=["B", "T"], n=3).obs


def test_two_thousand_steps_unless_told_in_batches_that_do_not_matter(model):
    made = model.interpolate(**ENDS, labels="T")
    assert made.n_obs == 2_000
    close(model.interpolate(**ENDS, labels="T", batch_size=333).X, made.X, rtol=1e-4, atol=1e-4)
    account = made.uns["altercell"]
    assert (account["verb"], account["source"], account["target"]) == ("interpolate", "control", "stimulated")


def test_options_of_the_delta_move_the_end_alone(model):
    plain = model.interpolate(**ENDS, n=2).X
    other = model.interpolate(**ENDS, n=2, types="all").X
    close(plain[0], other[0], rtol=1e-5, atol=1e-5)
    assert np.abs(plain[1] - other[1]).max() > 1e-3
    near = model.interpolate(**ENDS, n=2, labels="T", nearest=1).X
    assert np.abs(near[1] - model.interpolate(**ENDS, n=2, labels="T").X[1]).max() > 1e-4


@pytest.mark.filterwarnings("ignore:Observation names are not unique:UserWarning")
def test_cells_that_share_a_name_do_no_harm(cells, model, tmp_path):
    model.save(tmp_path)
    cells.obs_names = ["cell"] * 120
    close(ScGen.load(tmp_path, cells).interpolate(**ENDS, n=3).X, model.interpolate(**ENDS, n=3).X, 1e-5, 1e-5)


def test_with_totals_over_all_genes_the_mean_total_is_the_columns(counts, make_model, oracle, rows):
    model = make_model(counts, {"size_factor_key": "total"}, epochs=1, gene_likelihood="nb")
    made = model.interpolate(**ENDS, labels="T", n=2)
    where = rows(counts, "control", "T")
    total = counts.obs["total"].iloc[where].mean()
    paper = oracle(model.module)
    start = paper.encode(counts.X[where].mean(axis=0, keepdims=True), np.array([total]))[0]
    close(made.X[:1], paper.decode_counts(start, np.array([total])).mean)


def test_counts_are_interpolated_at_the_total_of_the_mean_source_cell(nb_model, rows):
    made = nb_model.interpolate(**ENDS, labels="T", n=4)
    total = nb_model.adata.X[rows(nb_model.adata, "control", "T")].sum(axis=1).mean()
    close(made.X.sum(axis=1), total)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": 1}, DataError, "n=1 must be at least 2"),
        ({"path": "a.h5ad"}, TypeError, r"interpolate\(\) has no argument 'path'"),
        ({"output": "log", "adata": None}, TypeError, r"interpolate\(\) has no argument 'adata', 'output'"),
        ({"labels": "x"}, GroupError, "has cell_type 'x'"),
    ],
)
def test_what_cannot_be_interpolated(model, options, error, message):
    with pytest.raises(error, match=message):
        model.interpolate(**ENDS, **options)


# predict_study


@pytest.fixture
def study(make_cells):
    """Another study: other control cells of B and T, genes shuffled, shifted by an effect of the study."""
    study = make_cells(sizes={("B", "control"): 12, ("T", "control"): 20}, seed=5)
    study.X = np.log1p(np.expm1(study.X) * np.exp(np.random.default_rng(2).normal(0, 0.3, 30)))
    study.uns["altercell"] = {"space": "log1p of counts per 10,000"}
    study = study[:, ::-1].copy()
    study.obs_names = [f"study_{number}" for number in range(32)]
    del study.obs["condition"]
    return study


def encoded(paper, adata, model) -> np.ndarray:
    return paper.encode(np.asarray(adata[:, model.schema.genes].X))[0]


@pytest.mark.parametrize("labels", [None, "B"])
def test_the_references_target_cells_are_moved_by_the_study_effect(model, paper, study, rows, labels):
    predicted = model.predict_study(study, **ENDS, labels=labels)
    latent = encoded(paper, study, model)
    effect = np.mean(
        [
            latent[(study.obs["cell_type"] == kind).to_numpy()].mean(axis=0)
            - paper.encode(model.adata.X[rows(model.adata, "control", kind)])[0].mean(axis=0)
            for kind in ([labels] if labels else ["B", "T"])
        ],
        axis=0,
    )
    where = rows(model.adata, "stimulated", labels)
    close(predicted.X, paper.decode(paper.encode(model.adata.X[where])[0] + effect))
    assert predicted.obs_names.tolist() == model.adata.obs_names[where].tolist()
    assert set(predicted.obs["condition"]) == {"stimulated"}
    account = predicted.uns["altercell"]
    assert (account["verb"], account["start"]) == ("predict_study", "reference")


@pytest.mark.parametrize("labels", [None, "T"])
def test_the_studys_cells_are_moved_by_the_delta(model, paper, study, labels):
    predicted = model.predict_study(study, **ENDS, labels=labels, start="study")
    keep = np.ones(32, dtype=bool) if labels is None else (study.obs["cell_type"] == labels).to_numpy()
    close(predicted.X, paper.decode(encoded(paper, study, model)[keep] + model.get_delta("control", "stimulated")))
    assert predicted.obs_names.tolist() == study.obs_names[keep].tolist()
    assert set(predicted.obs["condition"]) == {"stimulated"}
    assert predicted.var_names.tolist() == model.schema.genes.tolist()


def test_without_types_in_the_study_the_effect_is_that_of_the_means(model, paper, study, rows):
    for labels in ("new", None):
        if labels is None:
            del study.obs["cell_type"]
        else:
            study.obs["cell_type"] = labels
        predicted = model.predict_study(study, **ENDS)
        start = paper.encode(model.adata.X[rows(model.adata, "control")])[0].mean(axis=0)
        effect = encoded(paper, study, model).mean(axis=0) - start
        where = rows(model.adata, "stimulated")
        close(predicted.X, paper.decode(paper.encode(model.adata.X[where])[0] + effect))


def test_a_study_that_is_the_reference_has_no_effect(model, paper, cells, rows):
    control = cells[cells.obs["condition"] == "control"].copy()
    predicted = model.predict_study(control, **ENDS)
    where = rows(model.adata, "stimulated")
    close(predicted.X, paper.decode(paper.encode(model.adata.X[where])[0]))


def test_cells_of_the_study_in_other_conditions_are_left_out(model, study, cells):
    wanted = {start: model.predict_study(study, **ENDS, start=start) for start in ("reference", "study")}
    study.obs["condition"] = "control"
    other = cells[cells.obs["condition"] != "control", study.var_names].copy()
    both = ad.concat([study, other])
    for start, alone in wanted.items():
        np.testing.assert_array_equal(model.predict_study(both, **ENDS, start=start).X, alone.X)
    with pytest.raises(GroupError, match="the study has no cell of condition 'control'"):
        model.predict_study(other, **ENDS)


def test_doubts_about_a_study(model, study, cells):
    assert model.predict_study(study, **ENDS).uns["altercell"]["trust"].tolist() == []
    study.obs["cell_type"] = "new"
    (doubt,) = model.predict_study(study, **ENDS).uns["altercell"]["trust"]
    assert "no cell type is known in both studies" in doubt
    assert model.predict_study(study, **ENDS, start="study").uns["altercell"]["trust"].tolist() == []


def test_a_type_without_unperturbed_cells_in_the_reference_is_refused(cells, study, make_model):
    keep = ~((cells.obs["cell_type"] == "B") & (cells.obs["condition"] == "control"))
    model = make_model(cells[keep.to_numpy()].copy(), epochs=1)
    with pytest.raises(
        GroupError, match="the training study has no unperturbed cell of type 'B', so the study effect cannot"
    ):
        model.predict_study(study, **ENDS, labels="B")


def test_a_study_on_disk_is_the_one_in_memory(model, study, tmp_path):
    backed = model.predict_study(study, **ENDS, path=tmp_path / "a.h5ad", batch_size=5)
    backed.file.close()
    close(ad.read_h5ad(tmp_path / "a.h5ad").X, model.predict_study(study, **ENDS).X, 1e-5, 1e-5)


def test_counts_of_a_study_keep_the_totals_of_the_moved_cells(nb_model, make_cells, rows):
    study = make_cells(counts=True, sizes={("B", "control"): 12}, seed=5)
    predicted = nb_model.predict_study(study, **ENDS, labels="B")
    where = rows(nb_model.adata, "stimulated", "B")
    close(predicted.X.sum(axis=1), nb_model.adata.X[where].sum(axis=1))
    predicted = nb_model.predict_study(study, **ENDS, start="study")
    close(predicted.X.sum(axis=1), study.X.sum(axis=1))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"start": "here"}, DataError, "start='here' is unknown; there are 'reference', 'study'"),
        ({"source": "x"}, GroupError, "source='x' is no condition"),
        ({"labels": "x"}, GroupError, "labels='x' is no label"),
        ({"labels": "NK"}, GroupError, "the study has no cell of condition 'control' and type 'NK'"),
        (
            {"labels": "T"},
            GroupError,
            "the training study has no cell of this type in the target condition; use start='study'",
        ),
    ],
)
def test_what_cannot_be_asked_of_a_study(model, study, options, error, message):
    with pytest.raises(error, match=message):
        model.predict_study(study, **{**ENDS, **options})


def test_a_loaded_model_can_only_move_the_studys_cells(model, study, tmp_path):
    model.save(tmp_path)
    loaded = ScGen.load(tmp_path)
    close(
        loaded.predict_study(study, **ENDS, start="study").X,
        model.predict_study(study, **ENDS, start="study").X,
        1e-5,
        1e-5,
    )
    with pytest.raises(NotTrainedError, match="has no AnnData"):
        loaded.predict_study(study, **ENDS)


# predict_two_axes

LABEL = "T"


def ways(model, paper, rows, references=("B", "NK")) -> dict[str, np.ndarray]:
    """The latent points of each way to (T, stimulated)."""
    x = model.adata.X
    own = paper.encode(x[rows(model.adata, "control", LABEL)])[0] + model.get_delta("control", "stimulated")
    found = {"condition": own}
    for name in references:
        step = model.get_delta(name, LABEL, along="label")
        found[f"label from {name}"] = paper.encode(x[rows(model.adata, "stimulated", name)])[0] + step
    return found


@pytest.mark.parametrize(
    ("way", "references", "wanted"),
    [
        ("both", None, {"condition": 24, "label from B": 12, "label from NK": 12}),
        ("both", "B", {"condition": 15, "label from B": 15}),
        ("both", ["NK", "B"], {"condition": 24, "label from NK": 12, "label from B": 12}),
        ("condition", None, {"condition": 24}),
        ("label", None, {"label from B": 15, "label from NK": 13}),
        ("label", "NK", {"label from NK": 13}),
    ],
)
def test_pooled_ways_are_one_population_with_as_many_cells_of_each_axis(model, paper, rows, way, references, wanted):
    predicted = model.predict_two_axes(**ENDS, label=LABEL, way=way, references=references)
    assert predicted.obs["way"].value_counts(sort=False).to_dict() == wanted
    assert list(dict.fromkeys(predicted.obs["way"])) == list(wanted)
    for name, points in ways(model, paper, rows).items():
        part = predicted[(predicted.obs["way"] == name).to_numpy()]
        start = rows(model.adata, "control", LABEL)
        if name != "condition":
            start = rows(model.adata, "stimulated", name.removeprefix("label from "))
        # The names tell which cells were moved: some of the way's own, each once, first and last among them.
        moved = [cell.rsplit("_", 1)[0] for cell in part.obs_names]
        place = [model.adata.obs_names[start].get_loc(cell) for cell in moved]
        assert place == sorted(set(place))
        assert not place or (place[0], place[-1]) == (0, len(start) - 1)
        close(part.X, paper.decode(points[place]))
    assert set(predicted.obs["condition"]) == {"stimulated"}
    assert set(predicted.obs["cell_type"]) == {LABEL}
    assert predicted.obs_names.is_unique
    assert predicted.uns["altercell"]["verb"] == "predict_two_axes"


def test_of_a_small_way_all_cells_are_taken(cells, make_model):
    few = cells[~((cells.obs["cell_type"] == "T") & (cells.obs["condition"] == "control"))]
    own = cells[(cells.obs["cell_type"] == "T") & (cells.obs["condition"] == "control")][:3]
    model = make_model(ad.concat([few, own]), epochs=1)
    found = model.predict_two_axes(**ENDS, label=LABEL).obs["way"].value_counts()
    assert found.to_dict() == {"condition": 2, "label from B": 1, "label from NK": 1}
    found = model.predict_two_axes(**ENDS, label=LABEL, references="B").obs["way"].value_counts()
    assert found.to_dict() == {"condition": 3, "label from B": 3}


def by_rank(own, other, axis):
    rank = (rankdata(own @ axis, method="ordinal") - 1) / (len(own) - 1) * (len(other) - 1)
    return other[np.argsort(other @ axis)][np.round(rank).astype(int)]


def by_transport(own, other, axis):
    plan = ot.emd([], [], ot.dist(own, other))
    return (plan / plan.sum(axis=1, keepdims=True)) @ other


@pytest.mark.parametrize(("pairing", "pair"), [("rank", by_rank), ("transport", by_transport)])
@pytest.mark.parametrize("references", [None, "B"])
def test_paired_ways_are_averaged_cell_by_cell(model, paper, rows, pairing, pair, references):
    predicted = model.predict_two_axes(**ENDS, label=LABEL, pairing=pairing, references=references)
    points = ways(model, paper, rows, ("B", "NK") if references is None else ("B",))
    own = points.pop("condition")
    axis = model.get_delta("control", "stimulated").astype(float)
    partner = np.mean([pair(own, other, axis) for other in points.values()], axis=0)
    close(predicted.X, paper.decode((own + partner) / 2), rtol=5e-3, atol=5e-3)
    assert predicted.obs_names.tolist() == model.adata.obs_names[rows(model.adata, "control", LABEL)].tolist()
    assert set(predicted.obs["way"]) == {f"both, paired by {pairing}"}


@pytest.mark.parametrize("pairing", ["rank", "transport"])
def test_one_way_alone_needs_no_pairing(model, pairing):
    paired = model.predict_two_axes(**ENDS, label=LABEL, way="condition", pairing=pairing)
    close(paired.X, model.predict(**ENDS, labels=LABEL).X, 1e-5, 1e-5)


def test_ranks_pair_the_ends_with_the_ends():
    axis = np.array([1.0, 0.0])
    own = np.array([[3.0, 0], [1, 0], [2, 0]])
    other = np.array([[50.0, 1], [10, 2], [40, 3], [20, 4], [30, 5]])
    assert _paired_by_rank(own, other, axis)[:, 0].tolist() == [50, 10, 30]
    assert _paired_by_rank(own[:1], other, axis)[:, 0].tolist() == [10]
    assert _paired_by_rank(own, other[:1], axis)[:, 0].tolist() == [50] * 3


def test_transport_pairs_what_is_near_and_keeps_the_mean():
    rng = np.random.default_rng(0)
    own = rng.normal(size=(6, 3))
    order = rng.permutation(6)
    close(_paired_by_transport(own, own[order] + 0.01, np.zeros(3)), own + 0.01, 1e-6, 1e-6)
    other = rng.normal(size=(9, 3))
    close(_paired_by_transport(own, other, np.zeros(3)).mean(axis=0), other.mean(axis=0), 1e-6, 1e-6)


@pytest.mark.parametrize("pairing", ["pool", "rank"])
def test_counts_keep_the_totals_of_their_start(nb_model, rows, pairing):
    predicted = nb_model.predict_two_axes(**ENDS, label=LABEL, references="B", pairing=pairing)
    if pairing == "pool":
        predicted.obs_names = [name.rsplit("_", 1)[0] for name in predicted.obs_names]
        assert predicted.n_obs == 30
    close(predicted.X.sum(axis=1), nb_model.adata[predicted.obs_names].X.sum(axis=1))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"way": "up"},
            DataError,
            "way is one of 'both', 'condition', 'label', pairing one of 'pool', 'rank', 'transport'",
        ),
        ({"pairing": "none"}, DataError, "way is one of"),
        ({"label": "x"}, GroupError, "label='x' is no label"),
        ({"references": "x"}, GroupError, "references='x' is no label"),
        (
            {"references": ["B", "T"]},
            GroupError,
            "references holds 'T' itself; its own cells of the target are what is",
        ),
        ({"target": "x"}, GroupError, "target='x' is no condition"),
        ({"source": "stimulated", "target": "control"}, GroupError, "no cell of this type in the"),
    ],
)
def test_what_cannot_be_asked_of_two_axes(model, options, error, message):
    with pytest.raises(error, match=message):
        model.predict_two_axes(**{**ENDS, "label": LABEL, **options})


def test_two_axes_need_another_label(cells, make_model):
    model = make_model(cells[cells.obs["cell_type"] == "B"].copy(), epochs=1)
    with pytest.raises(GroupError, match="no other label has cells in the target condition"):
        model.predict_two_axes(**ENDS, label="B")


def test_two_axes_need_labels(cells, make_model):
    model = make_model(cells, {"labels_key": None}, epochs=1)
    with pytest.raises(GroupError, match="label='T' was given, but the model was set up without labels_key"):
        model.predict_two_axes(**ENDS, label=LABEL)


def test_a_study_without_the_size_factors_is_refused(counts, make_model, make_cells):
    model = make_model(counts, {"size_factor_key": "total"}, epochs=1, gene_likelihood="nb")
    study = make_cells(counts=True, sizes={("B", "control"): 5})
    del study.obs["total"]
    with pytest.raises(KeyNotFoundError, match="no column 'total'"):
        model.predict_study(study, **ENDS, start="study")
