"""What every scenario starts with: a client of the store, and a name that no other scenario uses."""

import os
import re

import pytest
from kurrentdbclient import KurrentDBClient


@pytest.fixture
def url():
    return f"kurrentdb://{os.environ['STORE_ADDRESS']}?tls=false"


@pytest.fixture
def client(url):
    with KurrentDBClient(url) as client:
        yield client


@pytest.fixture
def name(request):
    """The start of all names of this scenario; the store is shared by those of one file."""
    return re.sub("[^a-z0-9]", "", request.node.name)
