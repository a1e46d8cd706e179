"""Recorded series, read from packages of others that lie on this machine; none is downloaded."""

from __future__ import annotations

import io
import os
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from actorfl.data.checksum import check_sha256
from actorfl.errors import MissingFile
from actorfl.esn.reservoir import Floats

_ECG: Final = "scipy/misc/ecg.dat"
_ECG_SHA256: Final = "f20ad3365fb9b7f845d0e5c48b6fe67081377ee466c3a220b7f69f35c8958baf"
ECG_SAMPLES: Final = 108_000
_FILE_MAX: Final = 1 << 20  # the largest has 650 kB
_VOWELS: Final = "aeon/datasets/data/JapaneseVowels/JapaneseVowels_{part}.ts"
_VOWELS_SHA256: Final = {
    "TRAIN": "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
    "TEST": "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
}


@lru_cache(maxsize=1)  # every worker of a process asks for it
def ecg(path: str = "") -> Floats:
    """An electrocardiogram of five minutes at 360 Hz, of the MIT-BIH database.

    Args:
        path: the wheel of scipy 1.9.3, or the file ``scipy/misc/ecg.dat`` of it; without it what
            the environment variable ``ECG`` names.

    Returns:
        Millivolt, about -3.5 to 3.7, shape ``(108000,)``.

    Raises:
        MissingFile: it is not there, or is another one.
    """
    content = _content(
        path, "ECG", _ECG, _ECG_SHA256,
        "the wheel of scipy 1.9.3 (pip download --no-deps scipy==1.9.3), whose file "
        "scipy/misc/ecg.dat has the electrocardiogram",
    )  # fmt: skip
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return np.asarray((archive["ecg"].astype(np.float64) - 1024) / 200)


def japanese_vowels(part: str, path: str = "") -> tuple[list[Floats], NDArray[np.int64]]:
    """Utterances of nine speakers, as 12 cepstrum coefficients a step.

    Kudo, Toyama and Shimbo, Pattern Recognition Letters 20, 1999.

    Args:
        part: "TRAIN", 270 utterances, or "TEST", 370.
        path: the wheel of aeon 1.6; without it what the environment variable ``AEON`` names.

    Returns:
        The utterances, each of shape ``(7 to 29, 12)``, and who spoke, 0 to 8.

    Raises:
        MissingFile: it is not there, or is another one.
    """
    content = _content(
        path, "AEON", _VOWELS.format(part=part), _VOWELS_SHA256[part],
        "the wheel of aeon 1.6 (pip download --no-deps aeon==1.6.0), which holds JapaneseVowels",
    )  # fmt: skip
    _, _, lines = content.decode().partition("@data\n")
    utterances, speakers = [], []
    for line in lines.splitlines():
        *channels, speaker = line.split(":")
        utterances.append(np.array([np.fromstring(each, sep=",") for each in channels]).T)
        speakers.append(int(speaker) - 1)
    return utterances, np.array(speakers, np.int64)


def _content(path: str, variable: str, inside: str, sha256: str, what: str) -> bytes:
    """The bytes of a file in a wheel, or of the file itself; refused if it is another one."""
    named = path or os.environ.get(variable, "")
    if not named:
        raise MissingFile(Path(inside), f"set `path`, or ${variable}, to {what}")
    file = Path(named)
    try:
        if zipfile.is_zipfile(file) and file.suffix == ".whl":
            with zipfile.ZipFile(file) as wheel, wheel.open(inside) as opened:
                content = opened.read(_FILE_MAX)
        else:
            with file.open("rb") as opened:
                content = opened.read(_FILE_MAX)
    except FileNotFoundError as error:
        raise MissingFile(file, f"there is no such file; it should be {what}") from error
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MissingFile(file, f"{reason.lower()}; it should be {what}") from error
    check_sha256(file, content, sha256, inside, f"it should be {what}")
    return content
