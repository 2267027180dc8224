"""ScGAN, CscGAN and WGAN: AnnData in, AnnData out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from anndata import AnnData
from mudata import MuData

from altercell.errors import check_choice
from altercell.models.base import INFERENCE_BATCH, Classes
from altercell.models.scgan._base import WassersteinGAN
from altercell.models.scgan._generation import Values
from altercell.models.scgan._networks import Conditioning, OutputLayer

#: The total that the papers scale cells to.
PAPER_TOTAL = 20_000.0


class ScGAN(WassersteinGAN):
    """scGAN: a Wasserstein GAN with a library-size layer :cite:p:`Marouf2020`.

    Parameters
    ----------
    adata
        AnnData of counts registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a data module, where there is no AnnData.
    n_latent
        Dimensions of the noise.
    n_hidden
        Widths of the generator's hidden blocks; the paper's (256, 512, 1024).
    critic_hidden
        Widths of the critic's; None for those of the generator in the other order, as in the paper.
    library_size
        Total of the registered genes that every cell is scaled to, real or made: 20,000 in the paper; or ``"median"``,
        that of the registered cells. None for log data, and no such layer (:class:`WGAN`).
    penalty_weight
        Weight of the gradient penalty.
    average_decay
        Decay of a moving average of the generator's weights, which then makes the cells; None for none (the paper).
    output_layer
        What ends the generator. One of

        * ``"scaled"``: ReLU and the library-size layer, which scales each cell to one total (the paper);
        * ``"poisson"``: shares of a cell's total, of which counts are drawn while it trains; the critic compares
          logarithms of counts, with the cell's total beside them. Not the paper's.
    seed
        Seed of the initial weights, and of training where that is given none.

    Raises
    ------
    DataError
        The values are not counts, a width or `library_size` is not above 0, or `output_layer` is unknown.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.datasets.simulate_response(n_cells=300, n_genes=100, seed=0)
    >>> ac.ScGAN.setup_anndata(adata, labels_key="cell_type")
    >>> model = ac.ScGAN(adata, n_hidden=[16, 32])
    >>> model.train(n_steps=5, enable_progress_bar=False)
    >>> model.generate(10, seed=0).shape
    (10, 100)
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        n_latent: int = 128,
        n_hidden: Sequence[int] = (256, 512, 1024),
        critic_hidden: Sequence[int] | None = None,
        library_size: float | Literal["median"] | None = PAPER_TOTAL,
        penalty_weight: float = 10.0,
        average_decay: float | None = None,
        output_layer: OutputLayer = "scaled",
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        self._build(
            library_size,
            None,
            n_hidden,
            critic_hidden,
            n_latent=n_latent,
            penalty_weight=penalty_weight,
            average_decay=average_decay,
            output_layer=output_layer,
        )
        self.init_params_ = self._get_init_params(locals())

    def generate(  # type: ignore[override] # its options are named, so that a wrong one is refused
        self,
        n: int,
        *,
        output: Values = "model",
        seed: int | None = None,
        batch_size: int = INFERENCE_BATCH,
        path: str | Path | None = None,
    ) -> AnnData:
        """Generate cells.

        Parameters
        ----------
        n
            How many.
        output
            One of

            * ``"model"``: what the network makes, counts that are scaled to one total;
            * ``"log"``: log1p of these per 10,000 counts over all genes, where ``size_factor_key`` says how many these
              are; log data as they are;
            * ``"rounded"``: whole numbers, each cell scaled to a total that is drawn from those of the training cells;
              what is below a half is lost;
            * ``"counts"``: counts that are drawn around these, with the rates of the class and the zeros of the
              training cells (:class:`~altercell.models.base.CountHead`); not the papers'.
        seed
            Seed of the noise.
        batch_size
            Cells a batch.
        path
            An ``.h5ad`` file to write to.

        Returns
        -------
        The cells, with the genes' names and, in ``uns["altercell"]``, how they were made.
        """
        return self._generate(n, None, None, output, seed, batch_size, path)


class CscGAN(WassersteinGAN):
    """cscGAN: a scGAN whose cells are of a class, such as a cell type :cite:p:`Marouf2020`.

    Parameters
    ----------
    adata
        AnnData of counts registered with :meth:`setup_anndata`; None with `registry`.
    registry
        Registry of a data module, where there is no AnnData.
    classes
        ``"labels"``, ``"conditions"`` (the groups of `batch_key`), or ``"both"``: each condition of each label.
    conditioning
        How the critic knows the class. One of

        * ``"projection"``: a score of its own for the class, by a scalar product with the last hidden units;
        * ``"heads"``: an output layer for each class (the paper's text);
        * ``"classifier"``: an auxiliary classifier, as in ACGAN, with which the paper compares.
    n_latent, n_hidden, critic_hidden, library_size, penalty_weight, average_decay, output_layer, seed
        As in :class:`ScGAN`.
    classifier_weight
        Weight of the auxiliary classifier.

    Raises
    ------
    DataError
        The values are not counts, or an argument is unknown.
    GroupError
        There is no column of what is to be told apart.

    Examples
    --------
    >>> import altercell as ac
    >>> adata = ac.datasets.simulate_response(n_cells=300, n_genes=100, seed=0)
    >>> ac.CscGAN.setup_anndata(adata, labels_key="cell_type")
    >>> model = ac.CscGAN(adata, n_hidden=[16, 32])
    >>> model.train(n_steps=5, enable_progress_bar=False)
    >>> model.generate({"type_0": 2, "type_1": 3}, seed=0).obs["cell_type"].tolist()
    ['type_0', 'type_0', 'type_1', 'type_1', 'type_1']
    """

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: Mapping[str, Any] | None = None,
        *,
        classes: Classes = "labels",
        conditioning: Conditioning = "projection",
        n_latent: int = 128,
        n_hidden: Sequence[int] = (256, 512, 1024),
        critic_hidden: Sequence[int] | None = None,
        library_size: float | Literal["median"] | None = PAPER_TOTAL,
        penalty_weight: float = 10.0,
        classifier_weight: float = 1.0,
        average_decay: float | None = None,
        output_layer: OutputLayer = "scaled",
        seed: int = 0,
    ) -> None:
        super().__init__(adata, registry, seed=seed)
        check_choice("conditioning", conditioning, get_args(Conditioning))
        self._build(
            library_size,
            classes,
            n_hidden,
            critic_hidden,
            conditioning=conditioning,
            n_latent=n_latent,
            penalty_weight=penalty_weight,
            classifier_weight=classifier_weight,
            average_decay=average_decay,
            output_layer=output_layer,
        )
        self.init_params_ = self._get_init_params(locals())

    def generate(  # type: ignore[override] # its options are named, so that a wrong one is refused
        self,
        n: int | Mapping[object, int],
        *,
        labels: object | Sequence[object] | None = None,
        condition: object | None = None,
        output: Values = "model",
        seed: int | None = None,
        batch_size: int = INFERENCE_BATCH,
        path: str | Path | None = None,
    ) -> AnnData:
        """Generate cells of classes.

        Parameters
        ----------
        n
            How many; or the number of each label, such as ``{"CD8 T": 500, "NK": 200}``.
        labels
            A label or several, whose shares are those of training; None for all.
        condition
            A condition; None for all.
        output, seed, batch_size, path
            As in :meth:`ScGAN.generate`.

        Returns
        -------
        The cells, with the genes' names, their class in obs and, in ``uns["altercell"]``, how they were made.

        Raises
        ------
        GroupError
            An unknown label or condition, one that the model does not tell apart, or one without training cells.
        """
        return self._generate(n, labels, condition, output, seed, batch_size, path)
