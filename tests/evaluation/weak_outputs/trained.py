"""What a training leaves, without the training."""

from captum_cluster.evaluation.recipes import TrainingConfig
from captum_cluster.evaluation.recipes.networks import Builder, save_network
from captum_cluster.evaluation.recipes.run_settings import chosen_settings, chosen_sources
from captum_cluster.evaluation.recipes.trained import TrainedLabels

SCENES, WATCHING, TEST = 5, 2, 3


def trained(folder, data="digits", labels=10, **options):
    """Write the directory of a baseline with random weights, and return it."""
    config = TrainingConfig("baseline", data, limit=SCENES, test_limit=TEST, **options)
    folder.mkdir(parents=True)
    config.save(folder)
    sources = chosen_sources(config, chosen_settings(config))
    TrainedLabels(sources.classes, sources.several).save(folder)
    network = Builder(config).classifier(labels, seed=0)
    for name in ("baseline", "network"):
        save_network(network, folder / f"{name}.pt")
    return folder
