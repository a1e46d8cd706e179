"""The checks of conftest.py do fail a test that leaves something behind."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

LEAKS = {
    "thread": "import threading\ndef test_it():\n"
    "    threading.Thread(target=threading.Event().wait, name='left', daemon=True).start()\n",
    "process": "import subprocess\ndef test_it():\n"
    "    global left\n    left = subprocess.Popen(['sleep', '30'])\n",
    "descriptors": "import os\ndef test_it():\n    [os.pipe() for _ in range(20)]\n",
}


@pytest.mark.parametrize("kind", LEAKS)
def test_a_test_that_leaves_something_behind_fails(kind: str, pytester: pytest.Pytester) -> None:
    conftest = (Path(__file__).parent / "conftest.py").read_text()
    pytester.makeconftest(conftest.replace("_GRACE = 3.0", "_GRACE = 0.2"))
    pytester.makepyfile(LEAKS[kind])
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:asyncio", timeout=60)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*left behind*"])
