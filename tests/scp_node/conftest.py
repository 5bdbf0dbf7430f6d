"""What the tests of the DICOM door share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.listening import RunningListener
from tests.scp_node.authorities import Authority, settings_of


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    """An authority that nobody trusts."""
    return Authority(tmp_path / "stranger")


@pytest.fixture
def secure(start_listener: Callable[..., RunningListener], authority: Authority) -> RunningListener:
    """A node with a plain and a TLS port."""
    return start_listener(**settings_of(authority.certificate("node")))
