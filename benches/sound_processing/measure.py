"""Measures what is done to a microphone's sound. Run by scripts/bench-echo.

Over files: speech with noise at several ratios through each strength of the noise suppression (PESQ, STOI).
In calls over virtual sound cards: the far voice alone and both voices, the speaker reaching the microphone at -10 dB
60 ms later, with our agent and with Chromium at the near end and the same agent at the far end.
"""

import glob
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import wave

import numpy as np
from pesq import pesq
from pystoi import stoi

RATE = 48_000
NEAR = (
    "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. "
    "It is easy to tell the depth of a well. These days a chicken leg is a rare dish."
)
FAR = (
    "Four hours of steady work faced us. The boy was there when the sun rose. A rod is used to catch pink salmon. "
    "The source of the huge river is the clear spring. Kick the ball straight and follow through."
)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONVERGED_SECONDS = 3


def read(path):
    with wave.open(path) as file:
        channels = file.getnchannels()
        data = file.readframes(1 << 28)
        data = data[: len(data) // (2 * channels) * 2 * channels]
        return np.frombuffer(data, "<i2").reshape(-1, channels)[:, 0] / 32768


def write(path, samples):
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def speech(folder, name, voice, text):
    spoken, path = f"{folder}/{name}-spoken.wav", f"{folder}/{name}.wav"
    subprocess.run(["espeak-ng", "-v", voice, "-s", "150", "-w", spoken, text], check=True)
    subprocess.run(
        ["ffmpeg", "-loglevel", "error", "-y", "-i", spoken, "-af", "loudnorm=I=-23:TP=-6", "-ar", str(RATE)]
        + ["-ac", "1", "-c:a", "pcm_s16le", path],
        check=True,
    )
    return path


def db(a, b):
    return 20 * np.log10(max(a, 1e-7) / max(b, 1e-7))


def rms(samples):
    return float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0


def decimate(samples):
    taps = np.arange(-96, 97)
    kernel = np.sinc(taps * 0.95 / 3) * np.blackman(len(taps))
    return np.convolve(samples, kernel / kernel.sum(), "same")[::3]


def delay(late, reference):
    size = 1 << (len(reference) + len(late)).bit_length()
    product = np.fft.rfft(late, size) * np.conj(np.fft.rfft(reference, size))
    at = int(np.argmax(np.abs(np.fft.irfft(product, size))))
    return at if at < size // 2 else at - size


def cut(samples, start, length):
    out = np.zeros(length)
    part = samples[max(0, start) : max(0, start + length)]
    out[max(0, -start) : max(0, -start) + len(part)] = part
    return out


def aligned(reference, degraded):
    """Both at 16 kHz, the degraded one where the reference begins."""
    reference, degraded = decimate(reference), decimate(degraded)
    return reference, cut(degraded, delay(degraded, reference), len(reference))


def scores(reference, degraded):
    reference, degraded = aligned(reference, degraded)
    return pesq(16_000, reference, degraded, "wb"), stoi(reference, degraded, 16_000)


def files(target, folder):
    program = max(
        (path for path in glob.glob(f"{target}/deps/sound_processing-*") if os.access(path, os.X_OK)),
        key=os.path.getmtime,
    )
    clean = np.concatenate([np.zeros(RATE // 2), np.tile(read(speech(folder, "near", "en-us", NEAR)), 2)])
    random = np.random.default_rng(1)
    # Noise like that of a fan: as loud in every octave.
    spectrum = np.fft.rfft(random.standard_normal(len(clean)))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), len(spectrum) / 1200))
    pink = np.fft.irfft(spectrum, len(clean))
    others = [read(speech(folder, f"other{i}", voice, FAR)) for i, voice in enumerate(["de", "fr", "en-gb", "es"])]
    babble = sum(np.resize(np.roll(voice, 9000 * i), len(clean)) for i, voice in enumerate(others))
    print("Noise suppression over files: PESQ / STOI (the second half, against the clean voice)")
    print(f"{'':22}{'as it is':>14}" + "".join(f"{name:>14}" for name in ["low", "moderate", "high", "very high"]))
    half = len(clean) // 2
    for name, noise in [("fan", pink), ("voices", babble)]:
        for ratio in [None, 20, 10, 5, 0]:
            if ratio is None and name != "fan":
                continue
            gain = 0 if ratio is None else rms(clean) / rms(noise) / 10 ** (ratio / 20)
            write(f"{folder}/in.wav", clean + noise * gain)
            row = f"{'clean' if ratio is None else f'{name}, {ratio} dB':22}"
            for switches in ["", "n0", "n1", "n2", "n3"]:
                out = f"{folder}/out.wav"
                subprocess.run([program, f"{folder}/in.wav", "none", out, switches], check=True, stderr=subprocess.DEVNULL)
                score, clear = scores(clean[half:], read(out)[half:])
                row += f"{score:8.2f}/{clear:.3f}"
            print(row, flush=True)


class Studio:
    """A sound server with the near end's speaker and microphone, and the way from the one to the other."""

    def __init__(self, folder):
        self.folder = folder
        self.socket = f"{folder}/pulse.socket"
        self.environment = {**os.environ, "PULSE_SERVER": f"unix:{self.socket}", "XDG_RUNTIME_DIR": folder, "HOME": folder}
        for name in ["DBUS_SESSION_BUS_ADDRESS", "DISPLAY"]:
            self.environment.pop(name, None)
        protocol = f"module-native-protocol-unix socket={self.socket} auth-anonymous=1"
        arguments = ["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes"]
        self.server = subprocess.Popen(
            ["pulseaudio", *arguments, "--realtime=yes", "--high-priority=yes", "-L", protocol],
            env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        info = ["pactl", "info"]
        wait("the sound server", lambda: not subprocess.run(info, env=self.environment, capture_output=True).returncode)
        for name in ["speaker", "microphone"]:
            self.pactl("load-module", "module-null-sink", f"sink_name={name}", "norewinds=1", "rate=48000", "channels=1")
        self.pactl("load-module", "module-loopback", "source=speaker.monitor", "sink=microphone", "latency_msec=60")
        inputs = json.loads(self.pactl("--format=json", "list", "sink-inputs"))
        self.pactl("set-sink-input-volume", str(inputs[0]["index"]), "-10dB")
        self.pactl("set-default-sink", "speaker")
        self.pactl("set-default-source", "microphone.monitor")

    def pactl(self, *arguments):
        return subprocess.run(
            ["pactl", *arguments], env=self.environment, check=True, capture_output=True, text=True
        ).stdout

    def start(self, *command, **options):
        return subprocess.Popen(command, env=self.environment, **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options})


def agent(studio, target, url, name, *options):
    process = studio.start(
        f"{target}/ahoy", "agent", "--server", url, "--name", name, *options,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    events = []

    def listen():
        for line in process.stdout:
            events.append(json.loads(line))

    threading.Thread(target=listen, daemon=True).start()
    process.events = events
    return process


def wait(what, done, seconds=30):
    deadline = time.monotonic() + seconds
    while not (found := done()):
        if time.monotonic() > deadline:
            sys.exit(f"in vain for: {what}")
        time.sleep(0.05)
    return found


def serve(folder, port):
    page = open(f"{ROOT}/tests/common/page.html").read()
    # There is no camera: the page's canvas is one, and the microphone is a real device with Chromium's processing.
    page = page.replace(
        "<script>",
        """<script>
const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async () => {
  const stream = await real({ audio: true });
  const canvas = document.createElement("canvas");
  canvas.getContext("2d").fillRect(0, 0, 64, 64);
  stream.addTrack(canvas.captureStream(5).getVideoTracks()[0]);
  return stream;
};
</script><script>""",
        1,
    ).replace("</html>", "") + f"<script>join({port}, 'near')</script>"

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def chromium(studio, url):
    program = next(
        name for name in ["chromium", "chromium-browser", "google-chrome"]
        if subprocess.run(["which", name], capture_output=True).returncode == 0
    )
    profile = tempfile.mkdtemp(dir=studio.folder)
    return studio.start(
        program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required", "--disable-background-networking",
        "--disable-features=WebRtcHideLocalIpsWithMdns,MediaRouter", f"--user-data-dir={profile}", url,
    )


def call(studio, target, near, far, near_voice, seconds, options=()):
    """One call. Gives what the microphone heard and what the far end did, from its connection on."""
    server = studio.start(f"{target}/ahoy-server", "--listen", "127.0.0.1:6607")
    time.sleep(0.5)
    url = "ws://127.0.0.1:6607"
    heard, picked = f"{studio.folder}/heard.wav", f"{studio.folder}/picked.wav"
    running = [server]
    if near == "chromium":
        running.append(chromium(studio, serve(studio.folder, 6607)))
    else:
        devices = ["--microphone", "microphone.monitor", "--speaker", "speaker", "--accept", "always"]
        running.append(agent(studio, target, url, "near", *devices, *options))
    far_end = agent(studio, target, url, "far", "--microphone", far or "none", "--speaker", heard)
    running.append(far_end)
    wait("the near end", lambda: any("near" in event.get("users", []) for event in list(far_end.events)))
    far_end.stdin.write('{"command":"call","peer":"near"}\n')
    far_end.stdin.flush()
    wait("the call", lambda: any(event.get("state") == "connected" for event in list(far_end.events)))
    recorder = studio.start(
        "parecord", "--device=microphone.monitor", "--rate=48000", "--format=s16le", "--file-format=wav", "--channels=1", picked
    )
    time.sleep(2 + CONVERGED_SECONDS)
    if near_voice:
        running.append(studio.start("paplay", "--device=microphone", near_voice))
    time.sleep(seconds)
    recorder.terminate()
    recorder.wait()
    for process in reversed(running):
        process.terminate()
    for process in running:
        process.wait()
    return read(picked), read(heard)


def calls(target, folder):
    far, near = speech(folder, "far", "en-gb", FAR), speech(folder, "near", "en-us", NEAR)
    length = len(read(near)) / RATE
    print("\nEcho in calls: speaker to microphone at -10 dB, 60 ms later")
    off = ("--echo-cancellation=off", "--noise-suppression=off", "--automatic-gain=off")
    for name, near_end, options in [
        ("Ahoy", "ahoy", ()), ("Ahoy, switched off", "ahoy", off), ("Chromium", "chromium", ())
    ]:
        studio = Studio(tempfile.mkdtemp(dir=folder))
        try:
            picked, heard = call(studio, target, near_end, far, None, 12, options)
            tail = 10 * RATE
            lowered = db(rms(picked[-tail:]), rms(heard[-tail:]))
            _, alone = call(studio, target, near_end, None, near, length + 2, options)
            _, both = call(studio, target, near_end, far, near, length + 2, options)
            voice = read(near)
            one, two = aligned(voice, alone)[1], aligned(voice, both)[1]
            print(
                f"{name:20} far voice alone: {lowered:5.1f} dB less at the far end; both talk: STOI "
                f"{stoi(one, two, 16_000):.3f} of the voice without echo "
                f"({stoi(decimate(voice), two, 16_000):.3f} of the voice itself; without echo "
                f"{stoi(decimate(voice), one, 16_000):.3f})",
                flush=True,
            )
        finally:
            studio.server.terminate()
            studio.server.wait()


def main():
    target = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        files(target, folder)
        if "--files-only" not in sys.argv:
            calls(target, folder)


main()
