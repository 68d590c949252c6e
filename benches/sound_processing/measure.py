"""Measures what is done to a microphone's sound. Run by scripts/bench-echo.

Over files: speech with noise at several ratios through each strength of the noise suppression (PESQ, STOI), the delay
of the chain, and what the automatic gain does.
In calls over virtual sound cards: the far voice alone and both voices, the speaker reaching the microphone at -10 dB
60 ms later, with our agent and with Chromium at the near end and the same agent at the far end.
"""

import glob
import http.server
import json
import os
import signal
import socket
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
# How long the far voice is alone after that.
ALONE_SECONDS = 7


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


def followed(reference, degraded):
    """As `aligned`, and once more for each second: the far end's playout stretches and shortens what it plays."""
    reference, degraded = aligned(reference, degraded)
    out, reach, shift = np.zeros(len(reference)), 16 * 80, 0
    for start in range(0, len(reference), 16_000):
        want = cut(reference, start - 4000, 24_000)
        have = cut(degraded, start - 4000 - reach, 24_000 + 2 * reach)
        if rms(want) > 0.002:
            size = 1 << 17
            product = np.fft.irfft(np.fft.rfft(have, size) * np.conj(np.fft.rfft(want, size)), size)
            shift = int(np.argmax(product[: 2 * reach + 1])) - reach
        part = cut(degraded, start + shift, 16_000)
        out[start : start + 16_000] = part[: len(out) - start]
    return reference, out


def newest(target):
    return max(
        (path for path in glob.glob(f"{target}/deps/sound_processing-*") if os.access(path, os.X_OK)),
        key=os.path.getmtime,
    )


def files(target, folder):
    program = newest(target)
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
        for ratio in [None, 40, 30, 20, 10, 5]:
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


def level(samples):
    return db(rms(samples), 1)


def processed(program, folder, microphone, speaker, switches):
    paths = [f"{folder}/{name}.wav" for name in ["in", "reference", "out"]]
    write(paths[0], microphone)
    write(paths[1], speaker)
    subprocess.run([program, *paths, switches], check=True, stderr=subprocess.DEVNULL)
    return read(paths[2])


def chain(target, folder):
    """What the whole chain costs and does: its delay, and the level of faint and loud voices, and of noise alone."""
    program = newest(target)
    voice = read(speech(folder, "near", "en-us", NEAR))
    silence = np.zeros(len(voice))
    print("\nDelay of the chain, milliseconds")
    for name, switches in [("high-pass alone (gain)", "g"), ("echo", "e"), ("noise", "n"), ("all", "eng")]:
        out = processed(program, folder, voice, silence, switches)
        print(f"  {name:24}{delay(out, voice) / RATE * 1e3:6.2f}")
    print("\nAutomatic gain: level of 30 s of a voice before, after in each ten seconds, dBFS; spread of the gain in the last ten")
    long = np.resize(voice, 30 * RATE)
    hiss = np.random.default_rng(2).standard_normal(len(long))
    for wanted in [-12, -23, -30, -40, -50]:
        loud = long * 10 ** ((wanted - level(long)) / 20)
        loud = np.clip(loud + hiss * 10 ** (-75 / 20), -1, 1)
        out = processed(program, folder, loud, np.zeros(len(loud)), "g")
        tens = [f"{level(out[at * RATE : (at + 10) * RATE]):7.1f}" for at in [0, 10, 20]]
        gains = [
            db(rms(out[at : at + RATE]), rms(loud[at : at + RATE])) for at in range(20 * RATE, 30 * RATE, RATE)
        ]
        print(f"  {level(loud):7.1f} ->{''.join(tens)}   {max(gains) - min(gains):4.1f} dB")
    for wanted in [-60, -50, -40]:
        noise = hiss * 10 ** (wanted / 20)
        out = processed(program, folder, noise, np.zeros(len(noise)), "ng")
        print(f"  noise alone {wanted} -> {level(out[20 * RATE :]):.1f}")


class Studio:
    """A sound server with the near end's speaker and microphone, the way from the one to the other, and all that was
    started beside it. What it started, and only that, ends with it."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []
        self.socket = f"{folder}/pulse.socket"
        self.environment = {**os.environ, "PULSE_SERVER": f"unix:{self.socket}", "XDG_RUNTIME_DIR": folder, "HOME": folder}
        for name in ["DBUS_SESSION_BUS_ADDRESS", "DISPLAY"]:
            self.environment.pop(name, None)

    def __enter__(self):
        try:
            self.set_up()
        except BaseException:
            self.end(self.started)
            raise
        return self

    def __exit__(self, *_):
        self.end(list(self.started))

    def set_up(self):
        protocol = f"module-native-protocol-unix socket={self.socket} auth-anonymous=1"
        arguments = ["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes"]
        self.start("pulseaudio", *arguments, "--realtime=yes", "--high-priority=yes", "-L", protocol)
        info = ["pactl", "info"]
        wait("the sound server", lambda: not subprocess.run(info, env=self.environment, capture_output=True).returncode)
        for name in ["speaker", "room"]:
            self.pactl("load-module", "module-null-sink", f"sink_name={name}", "norewinds=1", "rate=48000", "channels=1")
        # A monitor is no microphone to a browser.
        self.pactl("load-module", "module-remap-source", "master=room.monitor", "source_name=microphone")
        self.pactl("load-module", "module-loopback", "source=speaker.monitor", "sink=room", "latency_msec=60")
        inputs = json.loads(self.pactl("--format=json", "list", "sink-inputs"))
        self.pactl("set-sink-input-volume", str(inputs[0]["index"]), "-10dB")
        self.pactl("set-default-sink", "speaker")
        self.pactl("set-default-source", "microphone")

    def pactl(self, *arguments):
        return subprocess.run(
            ["pactl", *arguments], env=self.environment, check=True, capture_output=True, text=True
        ).stdout

    def start(self, *command, **options):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, env=self.environment, start_new_session=True, **{**quiet, **options})
        self.started.append(process)
        return process

    def end(self, processes):
        """Ends processes with their children: each leads a session of its own."""
        for process in reversed(processes):
            for sign in [signal.SIGTERM, signal.SIGKILL]:
                try:
                    os.killpg(process.pid, sign)
                    process.wait(5)
                    break
                except subprocess.TimeoutExpired:
                    continue
                except ProcessLookupError:
                    process.wait()
                    break
        self.started = [process for process in self.started if process not in processes]


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
            raise TimeoutError(f"in vain for: {what}")
        time.sleep(0.05)
    return found


def serve(port, processing):
    page = open(f"{ROOT}/tests/common/page.html").read()
    # There is no camera: the page's canvas is one, and the microphone is a real device with Chromium's processing.
    page = page.replace(
        "<script>",
        """<script>
const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async () => {
  const stream = await real({ audio: PROCESSING });
  const canvas = document.createElement("canvas");
  canvas.getContext("2d").fillRect(0, 0, 64, 64);
  stream.addTrack(canvas.captureStream(5).getVideoTracks()[0]);
  return stream;
};
</script><script>""",
        1,
    ).replace("PROCESSING", json.dumps(processing)).replace("</html>", "") + """<script>
// The far end sends no picture, and the page's video element plays nothing before it has one.
const voice = new Audio();
setInterval(() => {
  const [track] = remote.srcObject?.getAudioTracks() ?? [];
  if (!track || voice.srcObject) return;
  voice.srcObject = new MediaStream([track]);
  voice.play();
}, 100);
join(PORT, "near");
</script>""".replace("PORT", str(port))

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


def call(studio, target, near, far, near_voice, options=()):
    """One call: the far voice alone, then the near one too. Gives what the microphone heard and what the far end did,
    from the call's connection on, and when the near voice began (seconds, by the microphone)."""
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    heard, picked = f"{studio.folder}/heard.wav", f"{studio.folder}/picked.raw"
    before = list(studio.started)
    studio.start(f"{target}/ahoy-server", "--listen", f"127.0.0.1:{port}")
    time.sleep(0.5)
    if near == "chromium":
        on = not options
        processing = {"echoCancellation": on, "noiseSuppression": on, "autoGainControl": on}
        chromium(studio, serve(port, processing))
    else:
        devices = ["--microphone", "microphone", "--speaker", "speaker", "--accept", "always"]
        agent(studio, target, url, "near", *devices, *options)
    far_end = agent(studio, target, url, "far", "--microphone", far or "none", "--speaker", heard)
    wait("the near end", lambda: any("near" in event.get("users", []) for event in list(far_end.events)))
    far_end.stdin.write('{"command":"call","peer":"near"}\n')
    far_end.stdin.flush()
    wait("the call", lambda: any(event.get("state") == "connected" for event in list(far_end.events)))
    studio.start(
        "parecord", "--device=microphone", "--rate=48000", "--format=s16le", "--raw", "--channels=1", "--latency-msec=20",
        picked,
    )
    time.sleep(CONVERGED_SECONDS + ALONE_SECONDS)
    began = os.path.getsize(picked) / 2 / RATE
    studio.start("paplay", "--device=room", near_voice)
    time.sleep(len(read(near_voice)) / RATE + 2)
    studio.end([process for process in studio.started if process not in before])
    return np.fromfile(picked, "<i2") / 32768, read(heard), began


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def remaining(picked, heard, began):
    """By how much the echo is weaker at the far end than at the microphone, dB, three seconds after the call began."""
    start, end = int(CONVERGED_SECONDS * RATE), int((began - 0.3) * RATE)
    # Both recordings end together.
    shift = len(heard) - len(picked)
    return db(rms(picked[start:end]), rms(heard[start + shift : end + shift]))


def calls(target, folder):
    far, near = speech(folder, "far", "en-gb", FAR), speech(folder, "near", "en-us", NEAR)
    voice = read(near)
    print("\nEcho in calls: speaker to microphone at -10 dB, 60 ms later")
    print(f"{'':26}{'echo, after 3 s':>16}{'both talk: STOI of':>20}{'the near voice alone,':>24}")
    print(f"{'':26}{'':>16}{'the voice w/o echo':>20}{'STOI':>12}{'PESQ':>12}")
    off = ("--echo-cancellation=off", "--noise-suppression=off", "--automatic-gain=off")
    for name, near_end, options in [
        ("Ahoy", "ahoy", ()), ("Chromium", "chromium", ()),
        ("Ahoy, switched off", "ahoy", off), ("Chromium, switched off", "chromium", off),
    ]:
        try:
            with Studio(tempfile.mkdtemp(dir=folder)) as studio:
                _, alone, _ = call(studio, target, near_end, None, near, options)
                picked, both, began = call(studio, target, near_end, far, near, options)
        except TimeoutError as error:
            print(f"{name:26}{error}", flush=True)
            continue
        one, two = followed(voice, alone)[1], followed(voice, both)[1]
        same = decimate(voice)
        print(
            f"{name:26}{remaining(picked, both, began):11.1f} dB  {stoi(one, two, 16_000):18.3f}"
            f"{stoi(same, one, 16_000):14.3f}{pesq(16_000, same, one, 'wb'):12.2f}",
            flush=True,
        )


def main():
    target = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        if "--calls-only" not in sys.argv:
            files(target, folder)
            chain(target, folder)
        if "--files-only" not in sys.argv:
            calls(target, folder)


main()
