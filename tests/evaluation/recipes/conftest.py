"""Runs of the recipes, for all tests together."""

import pytest

from tests.evaluation.recipes.tiny import OPTIONS, train_tiny


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Give the run of each recipe, made when it is first asked for."""
    made = {}

    def run(recipe):
        if recipe not in made:
            folder = tmp_path_factory.mktemp(recipe)
            made[recipe] = train_tiny(recipe, folder, **OPTIONS[recipe])
        return made[recipe]

    return run
