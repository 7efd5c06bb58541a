"""In unit tests every call of the library is held to the shapes in its signature."""

import pytest

from tests import shape_contracts


@pytest.fixture(autouse=True)
def shapes_are_promises(monkeypatch):
    monkeypatch.setitem(shape_contracts.switch, "on", True)
