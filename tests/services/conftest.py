"""What tests of services that are no coroutines need."""

from tests.model.conftest import database as database
