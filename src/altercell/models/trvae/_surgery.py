"""Surgery: a study with further conditions is added to a trained model, and nothing that it knows is changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from anndata import AnnData
from lightning.pytorch import LightningDataModule
from mudata import MuData

from altercell.errors import DataError
from altercell.models.trvae._extension import extended_layers
from altercell.train import ResumeFile

if TYPE_CHECKING:
    from altercell.models.base import AltercellModel, LatentModel, TrainingMixin

    class Base(LatentModel, TrainingMixin, AltercellModel):
        """The classes that the mixin stands before."""

else:
    Base = object

#: Buffers of what is known of the groups, and of what was known before the study came.
GROUPS = {"latent_means": "reference_means", "group_sizes": "reference_sizes"}


class Surgery(Base):
    """`load_query_data`: further conditions for a trained model, without training the rest of it again.

    The module keeps two more buffers, ``reference_means`` and ``reference_sizes``: what ``latent_means`` and
    ``group_sizes`` were before the study came.
    """

    @classmethod
    def load_query_data(
        cls,
        adata: AnnData | MuData,
        reference: Self | str | Path,
        *,
        accelerator: str = "auto",
        device: int | str = "auto",
    ) -> Self:
        """Add a study to a trained model: return a model that knows its conditions too, to be trained on it.

        As scArches does :cite:p:`Lotfollahi2022`: of the layers that read the one-hot condition (the encoder's first,
        and the decoder's first, where the MMD acts; in image networks the first that reads the condition) only the
        weights of the new conditions are trained. All other weights stay as they are to the bit, and so does every
        prediction between conditions of the reference. Batch norms stay in evaluation mode, with the running statistics
        of the reference; dropout is that of the first training. The new weights start at the mean of those of the known
        conditions. They are few: a response that is made of what the reference has seen is learnt, one unlike all of
        it needs a training on everything together.

        The study need not hold cells of the reference's conditions, and the reference's own cells are not needed. The
        MMD acts among the conditions that a batch of the study holds: with one condition it is 0, and only the
        reconstruction decides; with cells of the control beside it, the conditions are aligned as in the first
        training. The numbers of training cells and the latent means by group are the reference's and the study's
        together, so cells of the reference that are given again are counted again.

        Call :meth:`train` on what is returned. It can be saved, loaded, trained further and extended again.

        Parameters
        ----------
        adata
            The study's cells: one new condition at least, under the names of columns that the reference was set up
            with. The same genes as the reference's, in any order, and values in the same space. New labels are fine. It
            is registered, as :meth:`setup_anndata` does.
        reference
            A trained model of this class, or a folder that :meth:`save` wrote. It is not changed.
        accelerator, device
            Where to put the model that is read from a folder, as in Lightning; a model at hand stays where it is.

        Returns
        -------
        A model of the same class and arguments. Its conditions, and its labels, are the reference's in their order and
        then the new ones.

        Raises
        ------
        NotTrainedError
            The reference is not trained.
        GroupError
            There is no new condition.
        GeneMismatchError
            Genes of the reference are missing, or there are others.
        SpaceMismatchError
            The values are in another space than the reference's.
        KeyNotFoundError
            A column or a layer that the reference was set up with is missing.
        DataError
            The reference is of another class, or it is not known where the condition enters its network.
        """
        model = cls._reference(reference, accelerator, device)
        cls._set_up_again(adata, model.registry_, extend_categories=True)
        stages = [*(model.module.stages or ()), len(model.schema.conditions)]
        arguments = {**model._constructor_arguments(), "n_reference_conditions": stages}
        query = cls._construct(adata, model.registry_, arguments)
        query._take_over(model)
        return query

    @classmethod
    def _reference(cls, reference: Self | str | Path, accelerator: str, device: int | str) -> Self:
        if isinstance(reference, str | Path):
            reference = cls.load(reference, accelerator=accelerator, device=device)
        if type(reference) is not cls:
            name = type(reference).__name__
            raise DataError(f"the reference is a {name}, not a {cls.__name__}; call load_query_data of its own class")
        reference._check_trained()
        return reference

    def _take_over(self, reference: Self) -> None:
        """Take the reference's weights, and what it knows of its groups."""
        theirs = reference.module.state_dict()
        kept = {name: value for name, value in theirs.items() if name not in {*GROUPS, *GROUPS.values()}}
        self.module.load_state_dict({**self.module.state_dict(), **kept})
        for layer in extended_layers(self.module):
            layer.start_at_mean(self.module.stages[0])
        for name, before in GROUPS.items():
            known = theirs[name]
            for buffer in (getattr(self.module, name), getattr(self.module, before)):
                buffer[: known.shape[0], : known.shape[1]] = known
        self.to_device(reference.device)
        self.module.eval()

    def _after_training(self, datamodule: LightningDataModule | None) -> None:
        """Fill the buffers of group means from the study's cells, and add those that the reference knew."""
        super()._after_training(datamodule)
        module = self.module
        if not module.stages:
            return
        own, before = (getattr(module, name).cpu().double() for name in ("group_sizes", "reference_sizes"))
        means, known = (getattr(module, name).cpu().double() for name in ("latent_means", "reference_means"))
        sums = own[..., None] * means + before[..., None] * known
        module.latent_means.copy_(sums / (own + before).clamp_min(1)[..., None])
        module.group_sizes.copy_(own + before)

    def _resume_file(
        self, folder: Path, seed: int, batch_size: int, train_size: float, settings: Mapping[str, Any]
    ) -> ResumeFile:
        file = super()._resume_file(folder, seed, batch_size, train_size, settings)
        if self.module.stages:
            # Two references may differ in nothing but their weights, which are not those of the run.
            file.identity["reference"] = self._digest_of_frozen()
        return file

    def _digest_of_frozen(self) -> str:
        trained = {name for name, value in self.module.named_parameters() if value.requires_grad}
        digest = hashlib.sha256()
        for name, value in self.module.state_dict().items():
            if name not in trained and name not in GROUPS:
                digest.update(name.encode() + value.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]
