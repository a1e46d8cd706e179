from __future__ import annotations

import pytest

from actorfl.errors import WrongValue
from actorfl.threads import VARIABLE, child_environment, threads_per_fit


def test_a_fit_has_one_thread_where_nothing_is_set() -> None:
    assert threads_per_fit({}) == threads_per_fit({VARIABLE: " "}) == 1


def test_the_variable_sets_the_count() -> None:
    assert threads_per_fit({VARIABLE: "3"}) == 3


def test_without_an_argument_this_process_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "5")
    assert threads_per_fit() == 5


def test_what_the_shell_says_to_openmp_does_not_reach_the_fits() -> None:
    assert threads_per_fit({"OMP_NUM_THREADS": "8"}) == 1


def test_openmp_counts_where_a_deployment_says_it_for_one_process() -> None:
    assert threads_per_fit(child_environment({"OMP_NUM_THREADS": "2"})) == 2
    assert threads_per_fit(child_environment({"OMP_NUM_THREADS": "2,1"})) == 2


def test_a_count_of_fits_is_handed_to_openmp_too() -> None:
    assert child_environment({VARIABLE: "1"}) == {VARIABLE: "1", "OMP_NUM_THREADS": "1"}


def test_several_threads_of_a_process_do_not_spin_while_they_wait() -> None:
    assert child_environment({VARIABLE: "4"})["OMP_WAIT_POLICY"] == "passive"


def test_all_variables_stay_as_they_were_written() -> None:
    written = {VARIABLE: "2", "OMP_NUM_THREADS": "3", "OMP_WAIT_POLICY": "active", "HOME": "/"}
    assert child_environment(written) == written


def test_other_variables_pass_untouched() -> None:
    assert child_environment({"CUDA_VISIBLE_DEVICES": ""}) == {"CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "1025", "1e3"])
def test_what_is_no_count_is_refused_by_name(text: str) -> None:
    with pytest.raises(WrongValue, match=f"{VARIABLE} must be a whole number from 1 to 1024"):
        threads_per_fit({VARIABLE: text})
    with pytest.raises(WrongValue, match="OMP_NUM_THREADS must be"):
        child_environment({"OMP_NUM_THREADS": text})
