"""An electrocardiogram, predicted by a deep echo-state network."""

from __future__ import annotations

from dataclasses import dataclass

from actorfl.errors import WrongValue
from actorfl.esn.forecast import ForecastTask
from actorfl.esn.recorded import ECG_SAMPLES, ecg
from actorfl.esn.reservoir import Floats


@dataclass(frozen=True)
class ECG(ForecastTask):
    """Predict an electrocardiogram of 108,000 samples at 360 Hz; see ``ForecastTask``.

    Nothing is downloaded: see ``path``. Ten workers with 1600 samples each reach an NRMSE of .4
    under ``RidgeReadout(1e-3)``.

    Args:
        path: the wheel of scipy 1.9.3, or the file ``scipy/misc/ecg.dat`` of it; without it what
            the environment variable ``ECG`` names.

    Raises:
        WrongValue: more steps are asked for than there are samples, or see ``ForecastTask``.
    """

    ahead: int = 5
    train_steps: int = 16_000
    test_steps: int = 8_000
    path: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        asked = self.train_steps + self.test_steps + self.ahead
        if asked > ECG_SAMPLES:
            need = f"at most {ECG_SAMPLES} samples in all"
            raise WrongValue("`train_steps`, `test_steps` and `ahead` of ECG", need, asked)

    def values(self, steps: int) -> Floats:
        """Load the first samples, in millivolt.

        Raises:
            MissingFile: the file is not there, or is another one.
        """
        return ecg(self.path)[:steps]
