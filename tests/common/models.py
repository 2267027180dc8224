"""The models that every check runs on, with the arguments that keep them small."""

from __future__ import annotations

import altercell as ac
from altercell.models.baselines import MeanShift, NoChange, PCAShift, RandomStimulated, RidgeShift, StimulatedMean
from altercell.testing import Subject

SMALL = {"n_hidden": 32, "n_latent": 8}
# At the paper's step a network this small would need minutes to learn.
LEARNING = {"max_epochs": 40, "plan_kwargs": {"lr": 1e-2, "eps": 1e-4}}
PERB_LEARNING = {"max_epochs": 40, "plan_kwargs": {"lr": 1e-2}}

NARROW = {"n_hidden": (32, 16), "n_latent": 8}

GAN = {"n_hidden": (32, 64), "n_latent": 8}
GAN_LEARNING = {"max_epochs": 40, "batch_size": 32, "plan_kwargs": {"lr": 2e-3, "final_lr": 2e-4, "n_critic": 2}}
LATENT_LEARNING = {
    "max_epochs": 40,
    "batch_size": 32,
    "plan_kwargs": {"lr": 2e-3, "n_critic": 2},
    "vae": {"max_epochs": 40, "plan_kwargs": {"lr": 1e-2}},
}

NO_EARLY = "a Wasserstein GAN refuses to stop by its validation loss, which is lowest before anything is learnt"
NO_DELTA = "the baseline of no change predicts the control cells themselves"
NO_POSTERIOR = "an autoencoder has one point a cell, and no posterior that a seed could sample"
ONE_POINT = "a cell's noise is the mode of its posterior, and has no variance that a seed could sample"
NO_CONDITIONS = "it generates cells without conditions too; predict says that they are missing"
OF_ALL_ASKED = "cells are calibrated, and templates drawn, over all that are asked of a type; reference= fixes the set"
LOG_TOO = "it takes log data as well as counts, and what is no whole number is taken for a logarithm"
TWO_CONDITIONS = "it has one generator for each direction between two conditions, and refuses a third by name"

SUBJECTS = [
    Subject(ac.ScGen, arguments=SMALL, learning_arguments=LEARNING),
    Subject(
        ac.ScGen,
        name="ScGen-zinb-totals",
        arguments={**SMALL, "gene_likelihood": "zinb"},
        setup_arguments={"size_factor_key": "size_factor"},
        learning_arguments=LEARNING,
        data="counts",
    ),
    Subject(ac.TrVAE, arguments=NARROW, learning_arguments=LEARNING),
    Subject(
        ac.TrVAE,
        name="TrVAE-nb-totals",
        arguments={**NARROW, "gene_likelihood": "nb"},
        setup_arguments={"size_factor_key": "size_factor"},
        learning_arguments=LEARNING,
        data="counts",
    ),
    Subject(ac.SCVI, arguments=SMALL, learning_arguments=LEARNING, data="counts"),
    Subject(ac.ScPerb, arguments={**SMALL, "control": "control"}, learning_arguments=PERB_LEARNING),
    Subject(
        ac.StyleTransferGAN,
        arguments=NARROW,
        # The paper's step, a thousand times, would not move the normalised output as far as log data lie.
        learning_arguments={"max_epochs": 40, "batch_size": 64, "plan_kwargs": {"lr": 1e-2}},
        known_failures={"C1-three-conditions": TWO_CONDITIONS},
    ),
    Subject(
        ac.ScGAN,
        arguments=GAN,
        learning_arguments=GAN_LEARNING,
        data="counts",
        known_failures={"C5-resumed-early-stopping": NO_EARLY},
    ),
    Subject(
        ac.CscGAN,
        arguments=GAN,
        learning_arguments=GAN_LEARNING,
        data="counts",
        known_failures={"C5-resumed-early-stopping": NO_EARLY},
    ),
    Subject(
        ac.LatentGAN,
        arguments={"n_hidden": (32, 32), "n_latent": 8, "vae_hidden": 32, "n_dimensions": 5, "classes": "labels"},
        train_arguments={"vae": {"max_epochs": 2}},
        learning_arguments=LATENT_LEARNING,
        data="counts",
        known_failures={"C5-resumed-early-stopping": NO_EARLY},
    ),
    Subject(NoChange, known_failures={"C3-beats-no-change": NO_DELTA, "C3-delta-above-floor": NO_DELTA}),
    Subject(StimulatedMean),
    Subject(RandomStimulated),
    Subject(MeanShift),
    Subject(PCAShift),
    Subject(RidgeShift),
    Subject(ac.ResponseStack, known_failures={"C8-subset": OF_ALL_ASKED, "C8-subset-by-indices": OF_ALL_ASKED}),
]

#: Other arguments, and samplers: what is slow to check (a killed process, memory) leaves these out.
VARIANTS = [
    Subject(
        ac.ScGen,
        name="ScGen-nb",
        arguments={**SMALL, "gene_likelihood": "nb"},
        learning_arguments=LEARNING,
        data="counts",
    ),
    Subject(
        ac.TrVAE,
        name="TrVAE-zinb",
        arguments={**NARROW, "gene_likelihood": "zinb"},
        learning_arguments=LEARNING,
        data="counts",
    ),
    Subject(
        ac.ResponseStack,
        name="ResponseStack-counts",
        arguments={"members": ("similar", "kriging", "attention", "mean"), "own_type": True},
        data="counts",
        known_failures={
            **dict.fromkeys(("C8-subset", "C8-subset-by-indices"), OF_ALL_ASKED),
            **dict.fromkeys(("C6-negative", "C6-log-for-counts"), LOG_TOO),
        },
    ),
    Subject(
        ac.WGAN,
        arguments={**GAN, "average_decay": 0.9},
        learning_arguments=GAN_LEARNING,
        known_failures={
            "C4-other-answers": ONE_POINT,
            "C5-resumed-early-stopping": NO_EARLY,
            **dict.fromkeys(("C6-one-condition", "C6-no-condition-key"), NO_CONDITIONS),
        },
    ),
    Subject(
        ac.CscGAN,
        name="CscGAN-heads-both",
        arguments={**GAN, "classes": "both", "conditioning": "heads", "library_size": "median"},
        learning_arguments=GAN_LEARNING,
        data="counts",
        known_failures={"C5-resumed-early-stopping": NO_EARLY},
    ),
    Subject(
        ac.ScGAN,
        name="ScGAN-poisson",
        arguments={**GAN, "output_layer": "poisson"},
        learning_arguments=GAN_LEARNING,
        data="counts",
        known_failures={"C5-resumed-early-stopping": NO_EARLY},
    ),
    Subject(
        ac.BetaTCVAE,
        arguments={"n_hidden": (32, 16), "n_latent": 5},
        learning_arguments=LEARNING,
        known_failures=dict.fromkeys(("C6-one-condition", "C6-no-condition-key"), NO_CONDITIONS),
    ),
    Subject(
        ac.BetaVAE,
        # With dropout a network as small as this leaves three of its dimensions empty, and mixes two types.
        arguments={"n_hidden": (32, 16), "n_latent": 5, "gene_likelihood": "nb", "dropout_rate": 0.0},
        setup_arguments={"size_factor_key": "size_factor"},
        learning_arguments=LEARNING,
        data="counts",
        known_failures=dict.fromkeys(("C6-one-condition", "C6-no-condition-key"), NO_CONDITIONS),
    ),
    Subject(ac.CVAE, arguments=NARROW, learning_arguments=LEARNING),
    Subject(ac.MMDCVAE, arguments=NARROW, learning_arguments=LEARNING),
    Subject(
        ac.MMDAutoencoder,
        arguments=NARROW,
        learning_arguments=LEARNING,
        known_failures={"C4-other-answers": NO_POSTERIOR},
    ),
    Subject(
        ac.SCVI,
        name="SCVI-nb-totals",
        arguments={**SMALL, "gene_likelihood": "nb", "encode_covariates": True},
        setup_arguments={"size_factor_key": "size_factor"},
        learning_arguments=LEARNING,
        data="counts",
        verbs={
            "predict, drawn": lambda model, seed: model.predict(
                source="control", target="stimulated", cells="sampled", seed=seed
            )
        },
    ),
    Subject(
        ac.ScPerb,
        name="ScPerb-latent-transport",
        arguments={**SMALL, "control": "control", "delta": "latent", "pairing": "transport"},
        learning_arguments=PERB_LEARNING,
    ),
    # Samplers read all their cells at once, which their pages say.
    Subject(ac.ResampledCells),
    Subject(ac.NeighbourBootstrap, data="counts"),
    Subject(ac.GaussianCells, arguments={"n_components": 2}),
    Subject(ac.SimulatedCells, data="counts"),
    Subject(ac.Sugar),
]
