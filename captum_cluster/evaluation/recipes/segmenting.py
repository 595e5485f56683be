"""The recipe of segmentation: a network trained on pseudo masks, judged by true ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from captum_cluster._checks import expected
from captum_cluster.evaluation.recipes.config import TrainingConfig
from captum_cluster.evaluation.recipes.devices import judging_device
from captum_cluster.evaluation.recipes.networks import save_network
from captum_cluster.evaluation.recipes.pages import Picture
from captum_cluster.evaluation.recipes.pictures import draw_segmentations
from captum_cluster.evaluation.recipes.pseudo import with_masks
from captum_cluster.evaluation.recipes.segmentation_report import SegmentationReport
from captum_cluster.evaluation.recipes.segmentation_scores import Segmented, segment
from captum_cluster.evaluation.recipes.sources import Sources
from captum_cluster.evaluation.recipes.words import common_words
from captum_cluster.evaluation.recipes.workshop import Workshop
from captum_cluster.training import SegmentationNetwork, TrainingSettings
from captum_cluster.weak import DenseCRF

_TRAINING = "segmentation"


@dataclass(frozen=True)
class SegmentationRun:
    """A training of a segmentation network that is done.

    Attributes:
        output: The directory.
        network: In evaluation mode.
        report: What it has found.
    """

    output: Path
    network: SegmentationNetwork
    report: SegmentationReport

    @property
    def page(self) -> Path:
        """The report as a page."""
        return self.output / "report.html"


def segmentation(shop: Workshop, totals: tuple[int, int], progress: bool) -> SegmentationRun | None:
    """Train a segmentation network on pseudo masks, and judge it with and without the CRF.

    Args:
        shop: With the images that have a pseudo mask, to learn from and to watch.
        totals: How many images to learn from and to watch there are, with a mask or without.
        progress: Show a bar while judging.

    Returns:
        None in the processes that are not the first.

    References:
        Chang et al. 2020, "Weakly-Supervised Semantic Segmentation via Sub-category Exploration",
        sections 3.3 and 4.4; here with DeepLabV3.
    """
    shop.say(f"Pseudo masks: {mask_words(shop.sources, totals)}")
    network = shop.builder.segmentation(shop.num_labels, seed=shop.config.seed)
    shop.train(_TRAINING, network)
    if not shop.first:
        return None
    save_network(network, shop.output / "network.pt")
    shop.say("Judging the network on the test images")
    network.to(judging_device(shop.config))
    found = segment(
        network,
        shop.sources.test,
        shop.sources.preparation,
        refine=crf_of(shop.config),
        progress=progress,
    )
    report = SegmentationReport(
        list(_words(shop, found, totals)),
        shop.sources.classes,
        found.scores,
        _pictures(shop, found),
        shop.config.to_dict(),
    )
    report.save(shop.output)
    return SegmentationRun(shop.output, network.cpu(), report)


def masked_sources(config: TrainingConfig, settings: TrainingSettings, opened: Sources) -> Sources:
    """Return the images with the pseudo masks of a run, if a network can be trained with them.

    Args:
        config: The run.
        settings: How it trains.
        opened: The images.

    Raises:
        OSError: There are no masks in the folder, or one cannot be read.
        ValueError: As ``with_masks``; or a device would train on one image at once; or the settings
            look at a validation, and no watching image has a pseudo mask.

    Example:
        >>> from captum_cluster.evaluation.recipes import open_sources
        >>> config = TrainingConfig("segmentation", pseudo="masks")
        >>> opened = open_sources("digits", limit=2, test_limit=1)
        >>> masked_sources(config, TrainingSettings(batch_size=1), opened)
        Traceback (most recent call last):
        ValueError: Expected batch_size to be at least 2 of each device, but got 1.
    """
    if settings.batch_size < 2 * config.devices:
        raise ValueError(expected("batch_size", "at least 2 of each device", settings.batch_size))
    sources = with_masks(opened, str(config.pseudo), devices=config.devices)
    watches = settings.schedule == "plateau" or settings.early_stop or settings.restore_best
    if watches and not len(sources.watching):
        what = "one without plateaus, early stopping and restoring of the best weights"
        got = f"{config.preset!r}, and no watching image with a pseudo mask"
        raise ValueError(expected("preset", what, got))
    return sources


def crf_of(config: TrainingConfig) -> DenseCRF | None:
    """Return the CRF behind the network, None without.

    Example:
        >>> crf_of(TrainingConfig("segmentation", pseudo="masks", crf=False)) is None
        True
    """
    if not config.crf:
        return None
    x, compatibility = config.crf_gaussian
    space, colour, strength = config.crf_bilateral
    return DenseCRF(gaussian=(x, compatibility), bilateral=(space, colour, strength))


def mask_words(sources: Sources, totals: tuple[int, int]) -> str:
    """Return of how many images there are pseudo masks, in words."""
    learned, watching = totals
    return (
        f"of {len(sources.train)} of {learned} training images, and of {len(sources.watching)} of "
        f"{watching} that watch"
    )


def _words(shop: Workshop, found: Segmented, totals: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """Yield what was done, for the report."""
    yield from common_words(shop.config, shop.settings, shop.sources)
    yield "Pseudo masks", f"{shop.config.pseudo}: {mask_words(shop.sources, totals)}"
    yield "True masks", f"of {found.images} of {len(shop.sources.test)} test images"
    crf = crf_of(shop.config)
    if crf is not None:
        (x, first), (space, colour, second) = crf.gaussian, crf.bilateral
        yield (
            "CRF",
            f"{crf.iterations} iterations; position {x:g}, compatibility {first:g}; position "
            f"{space:g}, colour {colour:g}, compatibility {second:g}",
        )
    yield "Seed", str(shop.config.seed)


def _pictures(shop: Workshop, found: Segmented) -> list[Picture]:
    return draw_segmentations(
        shop.output, found.scenes, found.masks, shop.sources.classes, truth=bool(found.images)
    )
