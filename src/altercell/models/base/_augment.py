"""The verb `augment`: measured cells and generated ones in one AnnData."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.utils import make_index_unique

from altercell._space import COUNTS, get_space, total_of
from altercell.data._normalize import as_rows, log_scaled
from altercell.errors import DataError, NotTrainedError
from altercell.models.base._cells import Cells
from altercell.models.base._classes import ClassedGeneration
from altercell.models.base._schema import REGISTRY_ENTRY

SIZE_FACTOR = "size_factor"


class Augmentation(ClassedGeneration):
    """A generator whose cells can be put beside measured ones."""

    @property
    def _beside_measured(self) -> Mapping[str, Any]:
        """Options of `generate` for cells that can stand beside measured ones."""
        return {}

    def augment(
        self,
        n: int | Mapping[object, int],
        *,
        adata: AnnData | None = None,
        labels: object | Sequence[object] | None = None,
        condition: object | None = None,
        seed: int | None = None,
        key: str = "generated",
        **options: Any,
    ) -> AnnData:
        """Generate cells and append them to measured ones, as scanpy reads them.

        The generated cells are brought to the space of X. Where a model makes counts and X is logarithms, they are
        scaled as the measured cells are, and the counts are in ``layers["counts"]`` of both.

        Parameters
        ----------
        n
            How many cells; or the number of each label, such as ``{"Megakaryocytes": 500}``.
        adata
            Measured cells, with the model's genes; None for the training cells.
        labels, condition
            A label or several, and a condition; see :meth:`generate`.
        seed
            Seed of the noise.
        key
            Column of obs that tells generated cells (True) from measured ones.
        **options
            Further options of :meth:`generate`.

        Returns
        -------
        A copy of the measured cells with the model's genes, then the generated ones. What only measured cells have in
        obs is missing for the others; obsm, obsp and other layers are of measured cells alone and are left out. How the
        cells were generated is in ``uns["altercell"]["generated"]``.

        Raises
        ------
        NotTrainedError
            The model is not trained, or has no cells, because it was loaded without.
        GroupError
            An unknown label or condition, or one without training cells.
        DataError
            `key` is a column already, or the cells are in a space that the generated ones cannot be brought to.
        """
        self._check_trained()
        if adata is None and self.adata is None:
            raise NotTrainedError(f"this {type(self).__name__} has no cells to append to; give adata=")
        measured = Cells(self.schema.anndata(self.adata) if adata is None else adata, self.schema)
        if key in measured.adata.obs:
            raise DataError(f"key='{key}' is a column of adata.obs already; name another")
        asked: dict[str, Any] = {"n": n, "labels": labels, "condition": condition, "seed": seed}
        given = {name: value for name, value in asked.items() if value is not None}
        made = self.generate(**{**given, **self._beside_measured, **options})
        columns = slice(None) if measured.columns is None else measured.columns
        view = measured.adata[:, columns]
        before = view.to_memory(copy=True)  # also where it is on disk, or of dask
        before.obs = measured.obs()
        after = self._as_measured(made, before)
        before.obs[key], after.obs[key] = False, True
        for name in before.obs.columns.difference(after.obs.columns):
            if before.obs[name].dtype == bool:
                before.obs[name] = before.obs[name].astype("boolean")  # which can be missing, and be written
        names = make_index_unique(before.obs_names.append(after.obs_names))
        before.obs_names, after.obs_names = names[: before.n_obs], names[before.n_obs :]
        common = [layer for layer in before.layers if layer in after.layers]
        both = ad.concat([_bare(part, common) for part in (before, after)], join="outer")
        both.var, both.uns = before.var, before.uns
        both.uns["altercell"] = {**before.uns.get("altercell", {}), "generated": made.uns["altercell"]}
        return both

    def _as_measured(self, made: AnnData, measured: AnnData) -> AnnData:
        """Return generated cells in the space of X of measured ones."""
        space, theirs = made.uns["altercell"]["space"], get_space(measured)
        if space == theirs:
            result = made
        elif space == COUNTS and (target := total_of(theirs)) is not None:
            counts = as_rows(made.X)
            totals = self._totals_of(made)
            result = AnnData(log_scaled(counts, totals, target), obs=made.obs, var=made.var, layers={"counts": counts})
        else:
            raise DataError(
                f"this {type(self).__name__} makes '{space}', which cannot be brought to what X of the cells holds: "
                f"'{theirs}'; give counts, or ac.data.normalize(adata)"
            )
        if space == COUNTS and SIZE_FACTOR in measured.obs:
            result.obs[SIZE_FACTOR] = self._totals_of(made)
        return result

    def _totals_of(self, made: AnnData) -> np.ndarray:
        """Return each cell's total over all genes, also over those that are not registered."""
        if self.schema.size_factor_key in made.obs:
            return made.obs[self.schema.size_factor_key].to_numpy(dtype=np.float64)
        n_genes = self.registry_.get(REGISTRY_ENTRY, {}).get("n_genes_total") or 0
        if n_genes > len(self.schema.genes):
            raise DataError(
                "these counts are of a choice of genes, and the cells' totals over all genes are needed: a GAN gives "
                "them where it was set up with size_factor_key='size_factor' (altercell.data writes it); for a "
                "sampler, choose genes afterwards"
            )
        return np.asarray(made.X.sum(axis=1), dtype=np.float64).ravel()


def _bare(cells: AnnData, layers: Sequence[str]) -> AnnData:
    """Return the values and the table of the cells alone."""
    var = pd.DataFrame(index=cells.var_names)
    return AnnData(cells.X, obs=cells.obs, var=var, layers={name: cells.layers[name] for name in layers})
