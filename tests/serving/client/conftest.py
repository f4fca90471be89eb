import pytest

from tests.fixtures.described_model import save_described_model


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """Version 3 of a model whose numbers are known: see save_described_model."""
    version = tmp_path_factory.mktemp("saved") / "dfdetect" / "3"
    save_described_model(version)
    return version
