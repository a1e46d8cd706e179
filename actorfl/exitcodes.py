"""The exit codes of the command ``actorfl``; docs/exit-codes.md lists the same table.

Codes stay clear of what shells and libraries use already: 64-78 (sysexits), 126-165 (the shell
and signals). Refusals before anything starts are 10-29: a script can tell them from a failed run.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class ExitCode(IntEnum):
    """How the command ended.

    Attributes:
        meaning: one line for people.
    """

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """Make a member that is its number and carries its meaning."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "the run ended as configured"
    INTERNAL = 1, "an error that actorfl does not expect: please report it with --debug's output"
    USAGE = 2, "the command line was not understood"

    CONFIG = (
        10,
        (
            "refused for a reason without a code of its own (no TOML, no fault plan, or one for "
            "processes that do not exist, `--set` without `=`, say)"
        ),
    )
    UNKNOWN_KEY = 11, "the configuration has a key or a kind that does not exist"
    MISSING_FILE = 12, "a file that was named, but none of code, does not exist or cannot be read"
    CODE_IMPORT = 13, "the task, or other code that was named, does not import or is not there"
    WRONG_VALUE = 14, "a value is of the wrong type, out of range, or missing (0 workers, say)"
    MISFIT = 15, "two parts of the configuration do not fit together"
    MISSING_EXTRA = 16, "an optional dependency is not installed"

    RUN_DIRECTORY = 20, "the run directory cannot be made, read or written"
    RUN_IN_USE = 21, "the run directory is in use by another run"
    NOTHING_TO_RESUME = 22, "there is no run to resume where one was expected"
    DIFFERENT_CONFIGURATION = 23, "the run to resume was started with another configuration"
    NOT_RUNNING = 24, "the run to look at has ended, or cannot be looked at"
    NOT_RECORDED = 25, "the run did not keep what the step to replay was computed from"

    RUN_FAILED = 30, "the run started and gave up"
    NO_ANSWER = 31, "nobody who can be looked at answers at the address, or no longer"
    BROKEN = 32, "under some schedule of faults something did not hold that must always hold"
    OTHER_BITS = 33, "a step that was replayed did not give the bits that the run recorded"
    STEP_FAILED = 34, "a step that was replayed raised, or a task whose data was to be shown"

    INTERRUPTED = 130, "Ctrl-C or SIGTERM"
