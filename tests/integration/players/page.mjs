// Opens a file as a page would, as a picture or as a film, and tells what is shown and heard of it.

const LIMIT_MS = 60_000;
const LAST_PICTURE_MS = 10_000;
const LARGEST_SIDE = 160;
const BACKGROUND = "white";
const ANIMATED = ["image/gif", "image/png", "image/webp", "image/avif"];

const event = (target, name) => new Promise((resolve) => target.addEventListener(name, () => resolve(name), { once: true }));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms, false));
const within = (...events) => {
  let timer;
  const limit = new Promise((_, reject) => (timer = setTimeout(reject, LIMIT_MS, new Error("nothing happened"))));
  return Promise.race([...events, limit]).finally(() => clearTimeout(timer));
};

const canvas = document.createElement("canvas");
const context = canvas.getContext("2d", { willReadFrequently: true });

function pixelsOf(source, width, height) {
  const scale = Math.min(1, LARGEST_SIDE / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  context.fillStyle = BACKGROUND;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const text = Array.from(data, (value) => String.fromCharCode(value)).join("");
  return { width: canvas.width, height: canvas.height, rgba: btoa(text) };
}

/** The picture as <img> shows it, and its frames in order if it is animated; null if it is no picture. */
async function asPicture(blob, moments) {
  const url = URL.createObjectURL(blob);
  const picture = new Image();
  picture.src = url;
  try {
    await picture.decode();
    const { naturalWidth: width, naturalHeight: height } = picture;
    const animation = await asAnimation(blob, moments);
    const still = { frames: 1, seconds: 0, shown: [[moments[0], pixelsOf(picture, width, height)]] };
    return { kind: "picture", width, height, ...(animation ?? still) };
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(url);
  }
}

async function asAnimation(blob, moments) {
  for (const type of ANIMATED) {
    const decoder = new ImageDecoder({ data: await blob.arrayBuffer(), type });
    try {
      await decoder.completed;
      await decoder.tracks.ready;
      const frames = decoder.tracks.selectedTrack.frameCount;
      return frames > 1 ? await framesOf(decoder, frames, moments) : null;
    } catch {
      continue; // another type
    } finally {
      decoder.close();
    }
  }
  return null;
}

async function framesOf(decoder, frames, moments) {
  const waiting = [...moments];
  const shown = [];
  let seconds = 0;
  for (let frameIndex = 0; frameIndex < frames; frameIndex++) {
    const { image } = await decoder.decode({ frameIndex });
    // <img> shows frames that ask for 10 ms or less for 100 ms; ImageDecoder says what they ask for.
    seconds += image.duration <= 10_000 ? 0.1 : image.duration / 1e6;
    while (waiting.length && (waiting[0] < seconds || frameIndex === frames - 1)) {
      shown.push([waiting.shift(), pixelsOf(image, image.displayWidth, image.displayHeight)]);
    }
    image.close();
  }
  return { frames, seconds, shown };
}

/** The film or sound as <video> plays it. `begin` is added to the moments, which count from the first picture. */
async function asFilm(blob, moments, begin, listen) {
  const url = URL.createObjectURL(blob);
  const video = document.createElement("video");
  Object.assign(video, { preload: "auto", muted: !listen });
  document.body.append(video);
  try {
    const first = pictureOf(video);
    video.src = url;
    if ((await within(event(video, "loadeddata"), event(video, "error"))) === "error") {
      return { kind: "nothing", error: video.error.message };
    }
    const { videoWidth: width, videoHeight: height } = video;
    // A film without a length is over before anything is seen.
    const hasFilm = video.duration > 0 && Array.from(video.videoTracks).some((track) => track.selected);
    const isSeen = hasFilm && (await within(first));
    const sounds = Array.from(video.audioTracks);
    const isHeard = sounds.some((track) => track.enabled);
    const found = { kind: "film", width, height, isSeen, isHeard, isDisabled: sounds.length > 0 && !isHeard };
    found.shown = [];
    for (const moment of isSeen ? moments : []) found.shown.push([moment, await pixelsAt(video, begin + moment)]);
    if (listen) found.hertz = await hertzOf(video);
    found.seconds = Number.isFinite(video.duration) ? video.duration : null;
    return found;
  } finally {
    video.removeAttribute("src");
    video.load();
    video.remove();
    URL.revokeObjectURL(url);
  }
}

/** True when the next picture is on the screen, false after an error. `seeked` may come before it. */
function pictureOf(video) {
  const shown = new Promise((resolve) => video.requestVideoFrameCallback(() => resolve(true)));
  return Promise.race([shown, event(video, "error").then(() => false)]);
}

/** The picture at a time; null if the player has failed, or shows nothing there. */
async function pixelsAt(video, seconds) {
  if (video.error) return null;
  const target = Math.min(seconds, video.duration);
  const picture = pictureOf(video);
  const sought = Promise.race([event(video, "seeked"), event(video, "error")]);
  video.currentTime = target;
  if ((await within(sought)) !== "seeked") return null;
  // At the end of joined recordings Chromium shows nothing new, and says nothing.
  const isThere = await (seconds < video.duration ? within(picture) : Promise.race([picture, pause(LAST_PICTURE_MS)]));
  return isThere ? pixelsOf(video, video.videoWidth, video.videoHeight) : null;
}

/** The loudest pitch while the sound plays. */
async function hertzOf(video) {
  const sound = new AudioContext();
  try {
    const ear = new AnalyserNode(sound, { fftSize: 4096, smoothingTimeConstant: 0 });
    sound.createMediaElementSource(video).connect(ear);
    video.currentTime = 0;
    await sound.resume();
    await within(video.play());
    const levels = new Float32Array(ear.frequencyBinCount);
    for (;;) {
      await within(event(video, "timeupdate"));
      ear.getFloatFrequencyData(levels);
      const loudest = levels.indexOf(Math.max(...levels));
      if (levels[loudest] > -80) return (loudest * sound.sampleRate) / ear.fftSize;
      if (video.ended) return 0;
    }
  } finally {
    video.pause();
    await sound.close();
  }
}

/** The length of the sound as Web Audio decodes it, null if it cannot. */
async function soundOf(blob) {
  try {
    const sound = await new OfflineAudioContext(1, 1, 48_000).decodeAudioData(await blob.arrayBuffer());
    return sound.duration;
  } catch {
    return null;
  }
}

window.show = async (url, moments, begin, listen) => {
  const blob = await (await fetch(url)).blob();
  const picture = await asPicture(blob, moments);
  if (picture) return picture;
  return { ...(await asFilm(blob, moments, begin, listen)), decodedSeconds: await soundOf(blob) };
};
