"""C1: the whole life of a model, from registration to a saved model that answers as before."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from altercell.errors import AltercellError, NotTrainedError
from altercell.models.base import GenerativeModel, LatentModel, ResponseModel
from altercell.testing._data import BATCH_KEY, HELD_OUT, SOURCE, TARGET, THIRD, dense, simulated
from altercell.testing._expect import answers_or_refuses, finite, refuses, same, says
from altercell.testing._registry import check
from altercell.testing._subject import Subject
from altercell.testing._verbs import answers, control_cells, decode_points, queries_of, verbs_of


@check("C1")
def verbs(subject: Subject) -> None:
    """Every verb answers after training, with finite numbers."""
    for name, answer in answers(subject, subject.trained).items():
        finite(answer, name)


@check("C1", needs=(ResponseModel,))
def predicted_cells(subject: Subject) -> None:
    """A prediction has the source cells' names and obs, the target as its condition, the training genes, float32."""
    model, adata = subject.trained, subject.adata()
    predicted = model.predict(source=SOURCE, target=TARGET, seed=0)
    source = adata[(adata.obs[BATCH_KEY] == SOURCE).to_numpy()]
    assert list(predicted.obs_names) == list(source.obs_names), "obs_names are not those of the source cells"
    assert list(predicted.var_names) == list(adata.var_names), "var_names are not those of the training cells"
    assert (predicted.obs[BATCH_KEY] == TARGET).all(), f"obs['{BATCH_KEY}'] is not the target '{TARGET}'"
    kept = [name for name in source.obs if name != BATCH_KEY]
    assert list(predicted.obs.columns) == list(source.obs.columns), f"obs has columns {list(predicted.obs.columns)}"
    pd.testing.assert_frame_equal(predicted.obs[kept], source.obs[kept])
    pd.testing.assert_frame_equal(predicted.var, adata.var)
    assert predicted.X.dtype == np.float32, f"X is {predicted.X.dtype}, not float32"


@check("C1", needs=(ResponseModel,))
def provenance(subject: Subject) -> None:
    """A prediction says in uns["altercell"] how it was made, in plain values that a file keeps."""
    predicted = subject.trained.predict(source=SOURCE, target=TARGET, labels=[HELD_OUT], seed=0)
    made = predicted.uns["altercell"]
    expected = {"model": subject.Model.__name__, "verb": "predict", "source": SOURCE, "target": TARGET}
    for key, value in expected.items():
        assert made.get(key) == value, f"uns['altercell']['{key}'] is {made.get(key)!r}, not {value!r}"
    missing = {"version", "labels", "batch_key", "labels_key", "space", "trust"} - set(made)
    assert not missing, f"uns['altercell'] lacks {sorted(missing)}"
    assert list(made["labels"]) == [HELD_OUT], f"uns['altercell']['labels'] is {made['labels']}"
    with tempfile.TemporaryDirectory() as folder:
        predicted.write_h5ad(Path(folder) / "predicted.h5ad")
        again = ad.read_h5ad(Path(folder) / "predicted.h5ad")
    same(again, predicted, "a prediction read back from a file")
    for key, value in made.items():
        assert np.array_equal(again.uns["altercell"][key], value), f"uns['altercell']['{key}'] changes in a file"


@check("C1", needs=(ResponseModel,))
def predict_to_file(subject: Subject) -> None:
    """A prediction written to a file as it comes equals the one in memory."""
    model = subject.trained
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predicted.h5ad"
        written = model.predict(source=SOURCE, target=TARGET, seed=0, path=path, batch_size=7)
        try:
            same(written, model.predict(source=SOURCE, target=TARGET, seed=0, batch_size=7), "predict with path=")
        finally:
            written.file.close()
        assert list(Path(folder).iterdir()) == [path], f"other files are left: {sorted(Path(folder).iterdir())}"


@check("C1", needs=(GenerativeModel,))
def generated_cells(subject: Subject) -> None:
    """`generate` gives as many cells as asked for, with the genes' names, float32, and how they were made."""
    cells = subject.trained.generate(13, seed=0)
    assert cells.shape == (13, subject.adata().n_vars), f"13 cells were asked for; the answer has shape {cells.shape}"
    assert list(cells.var_names) == list(subject.adata().var_names), "var_names are not those of the training cells"
    assert cells.X.dtype == np.float32, f"X is {cells.X.dtype}, not float32"
    assert cells.obs_names.is_unique, "obs_names are not unique"
    missing = {"model", "verb", "version", "space", "seed"} - set(cells.uns.get("altercell", {}))
    assert not missing, f"uns['altercell'] lacks {sorted(missing)}"


@check("C1", needs=(LatentModel,))
def latent_shapes(subject: Subject) -> None:
    """Latent points are float32 of shape (n_cells, n_latent), and decode gives float32 of shape (n_points, n_genes)."""
    model, adata = subject.trained, subject.adata()
    latent = model.get_latent_representation()
    assert latent.shape == (adata.n_obs, model.module.n_latent), f"latent points have shape {latent.shape}"
    decoded = decode_points(model, latent[:3])
    assert decoded.shape == (3, adata.n_vars), f"3 decoded points have shape {decoded.shape}"
    assert latent.dtype == decoded.dtype == np.float32, f"latent is {latent.dtype}, decoded {decoded.dtype}"


@check("C1")
def untrained(subject: Subject) -> None:
    """Before training every verb says that the model is not trained."""
    model = subject.make()
    for name, verb in verbs_of(subject).items():
        refuses(functools.partial(verb.call, model, 0), f"{name} before train()", "train", kind=NotTrainedError)


@check("C1", needs=(ResponseModel,))
def three_conditions(subject: Subject) -> None:
    """With three conditions each can be the target, from any source."""
    adata = simulated(subject.data, (SOURCE, TARGET, THIRD)).copy()
    model = subject.fit(adata, epochs=1)
    for source, target in ((SOURCE, TARGET), (SOURCE, THIRD), (THIRD, SOURCE)):
        predicted = model.predict(source=source, target=target, seed=0)
        finite(predicted, f"predict from '{source}' to '{target}'")
        assert (predicted.obs[BATCH_KEY] == target).all(), f"obs['{BATCH_KEY}'] is not '{target}'"
        names = adata.obs_names[(adata.obs[BATCH_KEY] == source).to_numpy()]
        assert list(predicted.obs_names) == list(names), f"the cells are not those of '{source}'"


@check("C1")
def without_labels(subject: Subject) -> None:
    """A model set up without `labels_key` answers, or refuses and names the argument."""
    try:
        model = subject.fit(epochs=1, labels_key=None)
    except AltercellError as error:
        says(error, "set up without labels_key", "labels_key")
        return
    for name, query in queries_of(subject, needed=False).items():
        finite(query(model, None), f"{name} without labels_key")


@check("C1", needs=(ResponseModel,))
def unseen_label(subject: Subject) -> None:
    """Cells of a type that training has not seen are predicted with a word in `trust`, or refused by name."""
    cells = control_cells(subject)
    cells.obs["cell_type"] = pd.Categorical(["a new type"] * cells.n_obs)
    predicted = answers_or_refuses(
        lambda: subject.trained.predict(cells, source=SOURCE, target=TARGET, seed=0), "an unseen type", "a new type"
    )
    if isinstance(predicted, AnnData):
        trust = " ".join(predicted.uns["altercell"]["trust"])
        assert "not seen" in trust, f"predict of an unseen type says nothing of it in trust: {trust!r}"


@check("C1", needs=(ResponseModel,))
def sparse_query(subject: Subject) -> None:
    """Cells given to a verb as CSR or float64 give the same answers as dense float32."""
    cells = control_cells(subject)
    for name, query in queries_of(subject).items():
        expected = query(subject.trained, cells)
        for form in (sparse.csr_matrix, sparse.csc_matrix, lambda values: values.astype(np.float64)):
            changed = cells.copy()
            changed.X = form(dense(cells.X))
            same(query(subject.trained, changed), expected, f"{name} of cells in another form")
