// Runs in the guest page beside the page's own script: notes when each picture was captured and shown, with the
// brightness of the 13 squares that hold its number, and takes whole pictures on demand. It copies only the strip with
// the squares out of each picture and converts no colours, so that looking costs little.
(() => {
  "use strict";
  const SQUARES = 13;
  const even = (value) => Math.floor(value / 2) * 2;

  // The Unix time of performance.now() = 0, by the machine's clock as it is: performance.timeOrigin is of the browser's
  // own making. Read in the moment in which Date.now() advances, for it has whole milliseconds only.
  const before = Date.now();
  while (Date.now() === before);
  const epoch = Date.now() - performance.now();

  // Mean brightness of the middle of each square. The strip lies at x = 224, y = 16 in a 1280 by 720 picture.
  async function squares(frame) {
    const across = frame.visibleRect.width / 1280;
    const down = frame.visibleRect.height / 720;
    const rect = {
      x: even(224 * across), y: even(16 * down), width: even(SQUARES * 64 * across), height: even(64 * down),
    };
    const strip = new Uint8Array(frame.allocationSize({ rect }));
    const [{ offset, stride }] = await frame.copyTo(strip, { rect });
    const side = rect.width / SQUARES;
    const means = [];
    for (let square = 0; square < SQUARES; square += 1) {
      const [left, right] = [Math.ceil((square + 0.25) * side), Math.floor((square + 0.75) * side)];
      let sum = 0;
      let count = 0;
      for (let y = rect.height >> 2; y < rect.height - (rect.height >> 2); y += 1) {
        for (let x = left; x < right; x += 1) {
          sum += strip[offset + y * stride + x];
          count += 1;
        }
      }
      means.push(Math.round(sum / count));
    }
    return means;
  }

  function follow(video, list) {
    let presented = 0;
    const step = (_, metadata) => {
      video.requestVideoFrameCallback(step);
      // A remote picture's capture time is the other side's, as guessed here: only our own camera's is known.
      const when = (video.id === "local" && metadata.captureTime) || metadata.presentationTime;
      // Pictures that were presented while this script had no time to look.
      const missed = Math.max(metadata.presentedFrames - presented - 1, 0);
      presented = metadata.presentedFrames;
      const seen = { at: epoch + when, height: metadata.height, missed, squares: null };
      list.push(seen);
      let frame;
      try {
        frame = new VideoFrame(video);
      } catch {
        // The call has just ended, and with it the picture.
        return;
      }
      squares(frame).then((means) => { seen.squares = means; }, () => {}).finally(() => frame.close());
    };
    video.requestVideoFrameCallback(step);
  }

  const probe = { captured: [], shown: [] };
  follow(document.getElementById("local"), probe.captured);
  follow(document.getElementById("remote"), probe.shown);

  probe.forget = () => { probe.captured.length = probe.shown.length = 0; };

  // The brightness of what is shown now, or null if nothing is.
  probe.picture = async () => {
    const video = document.getElementById("remote");
    if (!video.videoWidth) return null;
    const frame = new VideoFrame(video);
    try {
      const { width, height } = frame.visibleRect;
      const whole = new Uint8Array(frame.allocationSize());
      const [{ offset, stride }] = await frame.copyTo(whole);
      const luma = new Uint8Array(width * height);
      for (let y = 0; y < height; y += 1) {
        luma.set(whole.subarray(offset + y * stride, offset + y * stride + width), y * width);
      }
      return { width, height, luma: luma.toHex() };
    } finally {
      frame.close();
    }
  };

  window.probe = probe;
})();
