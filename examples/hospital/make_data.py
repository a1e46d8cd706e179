"""Writes data/w0.csv ... data/w7.csv: the records of eight hospitals of unequal size.

    python make_data.py

The records are those of scikit-learn's breast cancer data set, each measurement standardised over
all records and rounded to two digits, shuffled and cut into shares that nobody could call equal.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

SHARES = (4, 6, 8, 10, 12, 15, 20, 25)  # percent of the records


def main(directory: Path) -> None:
    bunch = load_breast_cancer()
    measured, benign = bunch.data, bunch.target
    measured = (measured - measured.mean(0)) / measured.std(0)
    names = [name.replace(" ", "_") for name in bunch.feature_names]
    order = np.random.RandomState(0).permutation(len(benign))
    cuts = np.round(np.cumsum(SHARES[:-1]) / 100 * len(benign)).astype(int)
    for number, part in enumerate(np.split(order, cuts)):
        table = np.column_stack([measured[part], benign[part]])
        np.savetxt(
            directory / f"w{number}.csv",
            table,
            fmt=["%.2f"] * len(names) + ["%d"],
            delimiter=",",
            header=",".join([*names, "benign"]),
            comments="",
        )


if __name__ == "__main__":
    main(Path(__file__).parent / "data")
