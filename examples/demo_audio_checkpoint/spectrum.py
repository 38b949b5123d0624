"""Filters and echoes, computed on the whole sound at once."""

from __future__ import annotations

import numpy as np

from examples.demo_audio_checkpoint.voices import RATE, Samples


def low_pass(line: Samples, hertz: float) -> Samples:
    """Return the frequencies below `hertz`, with a slope of 24 dB an octave and no delay."""
    spectrum = np.fft.rfft(line)
    frequencies = np.fft.rfftfreq(len(line), 1 / RATE)
    passed: Samples = np.fft.irfft(spectrum / (1 + (frequencies / hertz) ** 4), len(line))
    return passed


def echoed(line: Samples, echo: Samples) -> Samples:
    """Return the convolution of both, as long as `line`."""
    size = len(line) + len(echo)
    wet: Samples = np.fft.irfft(np.fft.rfft(line, size) * np.fft.rfft(echo, size), size)
    return wet[: len(line)]
