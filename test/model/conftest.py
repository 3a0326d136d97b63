import pytest
from reference import OFFLINE, recipe_network


@pytest.fixture(scope="session")
def online():
    return recipe_network()


@pytest.fixture(scope="session")
def offline():
    return recipe_network(OFFLINE)
