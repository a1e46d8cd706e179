"""Connections that end without a word."""

from __future__ import annotations

import subprocess
import sys

import pytest

MAY_NOT = 77


@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
def test_a_pulled_cable_is_noticed_by_both_ends_and_the_link_comes_back() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.hosts.pulled"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == MAY_NOT:
        pytest.skip("only root may make a network namespace")
    assert done.returncode == 0, done.stdout + done.stderr
