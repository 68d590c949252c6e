"""Scores speech: PESQ (ITU-T P.862.2, wideband) of a degraded recording against its reference.

usage: score_speech.py REFERENCE.wav:CHANNEL DEGRADED.wav:CHANNEL

Both files are 16 bits, 48 kHz. Prints {"pesq": SCORE, "delay_ms": DELAY}, the delay being that of the degraded one.
"""

import json
import sys
import wave

import numpy as np
from pesq import pesq

RATE = 48_000
SCORED_RATE = 16_000
MARGIN_SECONDS = 0.3
# Speech is what is louder than this, 20 ms at a time, in parts of the loudest.
SILENCE = 0.02


def read(argument):
    path, channel = argument.rsplit(":", 1)
    with wave.open(path) as file:
        assert file.getframerate() == RATE and file.getsampwidth() == 2, file.getparams()
        # The recorder may have been ended before it wrote the length.
        data = file.readframes(file.getnframes())
        frame = 2 * file.getnchannels()
        samples = np.frombuffer(data[: len(data) // frame * frame], "<i2")
        return decimate(samples.reshape(-1, file.getnchannels())[:, int(channel)] / 32768)


def decimate(samples):
    """From 48 to 16 kHz by a windowed sinc."""
    factor = RATE // SCORED_RATE
    taps = np.arange(-96, 97)
    kernel = np.sinc(taps * 0.95 / factor) * np.blackman(len(taps))
    return np.convolve(samples, kernel / kernel.sum(), "same")[::factor]


def spoken_part(samples):
    """Start and end of what is not silence."""
    block = SCORED_RATE // 50
    blocks = samples[: len(samples) // block * block].reshape(-1, block)
    level = np.sqrt((blocks**2).mean(axis=1))
    loud = np.flatnonzero(level > SILENCE * level.max())
    margin = int(MARGIN_SECONDS * SCORED_RATE)
    return max(0, loud[0] * block - margin), min(len(samples), (loud[-1] + 1) * block + margin)


def delay_of(degraded, reference):
    """Samples by which the one lies behind the other: the peak of their correlation."""
    size = 1 << (len(reference) + len(degraded)).bit_length()
    product = np.fft.rfft(degraded, size) * np.conj(np.fft.rfft(reference, size))
    correlation = np.fft.irfft(product, size)
    at = int(np.argmax(np.abs(correlation)))
    return at if at < size // 2 else at - size


def main():
    reference, degraded = read(sys.argv[1]), read(sys.argv[2])
    if not np.any(np.abs(degraded) > 1e-4):
        print(json.dumps({"pesq": 0.0, "delay_ms": None}))
        return
    start, end = spoken_part(reference)
    reference = reference[start:end]
    # Where the reference's start is found in the degraded one, as a whole.
    at = delay_of(degraded, reference)
    cut = np.zeros(len(reference))
    source = degraded[max(0, at) : max(0, at + len(reference))]
    cut[max(0, -at) : max(0, -at) + len(source)] = source
    score = pesq(SCORED_RATE, reference.astype(np.float32), cut.astype(np.float32), "wb")
    print(json.dumps({"pesq": float(score), "delay_ms": (at - start) * 1000 / SCORED_RATE}))


main()
