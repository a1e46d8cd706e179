"""The part of the examples to test on, the same as scikit-learn draws."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def stratified(
    labels: npt.NDArray[np.int64], share: float, seed: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Indices to train and to test on, drawn as ``train_test_split`` of scikit-learn does.

    Its StratifiedShuffleSplit with ``random_state=seed`` and ``stratify=labels``; the tests
    compare. scikit-learn itself takes longer to import than a whole run.

    Args:
        labels: of all examples, from 0.
        share: of the examples that are to test on, above 0 and below 1; rounded up.
        seed: from 0 to 2^32 - 1.
    """
    rng = np.random.RandomState(seed)  # scikit-learn's generator
    counts = np.bincount(labels)
    test_size = int(np.ceil(share * len(labels)))
    in_train = _shares(counts, len(labels) - test_size, rng)
    in_test = _shares(counts - in_train, test_size, rng)
    train: list[int] = []
    test: list[int] = []
    for label, count in enumerate(counts):
        members = np.flatnonzero(labels == label)[rng.permutation(count)]
        train.extend(members[: in_train[label]])
        test.extend(members[in_train[label] : in_train[label] + in_test[label]])
    return rng.permutation(np.array(train)), rng.permutation(np.array(test))


def _shares(
    counts: npt.NDArray[np.int64], drawn: int, rng: np.random.RandomState
) -> npt.NDArray[np.int64]:
    """How many of each class are among ``drawn``: in proportion, the largest remainders first."""
    exact = counts / counts.sum() * drawn
    shares: npt.NDArray[np.int64] = np.floor(exact).astype(np.int64)
    missing = drawn - int(shares.sum())
    remainders = exact - shares
    for value in np.sort(np.unique(remainders))[::-1]:
        if missing <= 0:
            break
        tied = np.flatnonzero(remainders == value)
        chosen = rng.choice(tied, size=min(len(tied), missing), replace=False)
        shares[chosen] += 1
        missing -= len(chosen)
    return shares
