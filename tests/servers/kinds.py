"""The kinds of database that a test may run on, as parameters of a fixture."""

import pytest

POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)
