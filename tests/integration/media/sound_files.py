"""Sound as people's devices and programs write it: each kind made by FFmpeg, PyAV or by hand, from one source."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.packet import Packet

from tests.integration.attacks.iso import box, words
from tests.integration.media import wma_lossless
from tests.integration.media.films import ffmpeg

SECONDS = 3
# A sweep on each side, with noise: no two moments and no two channels are alike.
_SOURCE = (
    f"aevalsrc='0.4*sin(2*PI*(200+300*t)*t)|0.3*sin(2*PI*(900-200*t)*t)':s=44100:c=stereo:d={SECONDS}[sweep];"
    f"anoisesrc=a=0.05:s=7:r=44100:d={SECONDS}[noise];[sweep][noise]amerge,pan=stereo|c0=c0+c2|c1=c1+0.5*c2"
)
_AMR_FRAME = 32  # bytes of 20 ms at 12.2 kbit/s, the first of them the header
_AVI_KEY = 0x10

Make = Callable[[Path], None]


def source(path: Path) -> Path:
    """Make (once) the sound that the others are made from, beside `path`."""
    made = path.with_name("source.wav")
    if not made.exists():
        ffmpeg("-f", "lavfi", "-i", _SOURCE, "-c:a", "pcm_s16le", made)
    return made


def by_ffmpeg(*options: str) -> Make:
    """Encode the source with these options of FFmpeg's command."""

    def make(path: Path) -> None:
        ffmpeg("-i", source(path), *options, path)

    return make


def restamped(restamp: Callable[[int, int], int], *options: str) -> Make:
    """Like `by_ffmpeg`, then give the stamps (milliseconds) of the packets new values, by number and old value."""

    def make(path: Path) -> None:
        plain = path.with_name(f"plain-{path.name}")
        ffmpeg("-i", source(path), *options, plain)
        with av.open(str(plain)) as old, av.open(str(path), "w") as new:
            stream = new.add_stream_from_template(old.streams.audio[0])
            for number, packet in enumerate(packet for packet in old.demux() if packet.size):
                assert packet.pts is not None
                packet.pts = packet.dts = restamp(number, packet.pts)
                packet.stream = stream
                new.mux(packet)

    return make


def retimed(seconds: float, speed: float, *options: str, source: str = "sine=440:r=48000") -> Make:
    """A tone, or another `source`, whose stamps run at another speed than its samples."""
    changed = f"setts=pts=PTS/{speed}:dts=DTS/{speed}:duration=DURATION/{speed}"

    def make(path: Path) -> None:
        ffmpeg("-f", "lavfi", "-i", f"{source}:d={seconds}", *options, "-bsf:a", changed, path)

    return make


def with_longer_packets(path: Path) -> None:
    """A second of Opus in short packets and then six in long ones, all stamped as if they were short."""
    parts = [path.with_name(f"{name}-{path.name}") for name in ("short", "long")]
    for part, seconds, length in zip(parts, ("1", "6"), ("2.5", "60"), strict=True):
        tone = ("-f", "lavfi", "-i", f"sine=100:r=48000:d={seconds}")
        ffmpeg(*tone, "-c:a", "libopus", "-application", "lowdelay", "-frame_duration", length, part)
    with av.open(str(parts[0])) as first, av.open(str(parts[1])) as second, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(first.streams.audio[0])
        packets = [packet for part in (first, second) for packet in part.demux(audio=0) if packet.size]
        for number, packet in enumerate(packets):
            packet.time_base = Fraction(1, 400)
            packet.pts = packet.dts = number
            packet.duration, packet.stream = 1, stream
            new.mux(packet)


def joined(*options: str) -> Make:
    """Two recordings of different pitch, one file appended to the other: all stamps begin anew."""

    def make(path: Path) -> None:
        second = path.with_name(f"second-{path.name}")
        ffmpeg("-i", source(path), *options, path)
        ffmpeg("-i", source(path), "-af", "areverse", *options, second)
        path.write_bytes(path.read_bytes() + second.read_bytes())

    return make


def cut_in_front(*options: str) -> Make:
    """Cut the start off without encoding anew: sound starts before 0, and an edit list hides the part before."""

    def make(path: Path) -> None:
        plain = path.with_name(f"plain-{path.name}")
        ffmpeg("-i", source(path), *options, plain)
        ffmpeg("-ss", "0.51", "-i", plain, "-c", "copy", path)

    return make


def avi_without_key_flags(path: Path) -> None:
    """MP3 in AVI, whose index flags no chunk as a place to start at."""
    by_ffmpeg("-c:a", "libmp3lame")(path)
    content = bytearray(path.read_bytes())
    index = content.index(b"idx1")
    for entry in range(index + 8, index + 8 + int.from_bytes(content[index + 4 : index + 8], "little"), 16):
        content[entry + 4] &= ~_AVI_KEY
    path.write_bytes(content)


def avi_with_false_length(path: Path) -> None:
    """MP3 in AVI, whose header promises 2^31 samples, in a wrong unit."""
    by_ffmpeg("-c:a", "libmp3lame")(path)
    content = bytearray(path.read_bytes())
    header = content.index(b"auds")
    content[header + 20 : header + 28] = struct.pack("<II", 1, 2**31 - 1)
    content[header + 32 : header + 36] = struct.pack("<I", 2**31 - 1)
    path.write_bytes(content)


def mp4_without_durations(path: Path) -> None:
    """Fragments of Opus as MediaRecorder writes them: no packet says how long it is."""
    flags = "frag_keyframe+empty_moov+default_base_moof"
    by_ffmpeg("-c:a", "libopus", "-frame_duration", "60", "-movflags", flags, "-frag_duration", "300000")(path)
    content = bytearray(path.read_bytes())
    place = content.find(b"trex")
    content[place + 16 : place + 20] = bytes(4)
    while (place := content.find(b"tfhd", place)) > 0:
        stated = int.from_bytes(content[place + 4 : place + 8], "big")
        assert stated & 0x8, "the fragment states no duration of all its packets"
        # After the flags and the track: the place of a description and of the data, if they are stated.
        at = place + 12 + 4 * bool(stated & 0x2) + 8 * bool(stated & 0x1)
        content[at : at + 4] = bytes(4)
        place += 4
    path.write_bytes(content)


def amr_in_3gp(frames_in_a_packet: int) -> Make:
    """Phones put several AMR frames into a packet. Any bits are valid AMR: this is noise."""

    def make(path: Path) -> None:
        count = SECONDS * 50 // frames_in_a_packet
        bits = np.random.default_rng(4).integers(0, 256, (count * frames_in_a_packet, _AMR_FRAME), dtype=np.uint8)
        bits[:, 0] = 0x3C
        path.write_bytes(_amr_file(bits.tobytes(), count, frames_in_a_packet))

    return make


def _amr_file(data: bytes, packets: int, frames_in_a_packet: int) -> bytes:
    """The boxes of a 3GP file with one AMR track of `packets` equal packets."""
    kind = box(b"ftyp", b"3gp4", words(0), b"3gp4")
    lasting = packets * frames_in_a_packet * 160
    matrix = words(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    details = box(b"damr", b"ffmp", bytes([0]), struct.pack(">HBB", 0x81FF, 0, frames_in_a_packet))
    entry = box(b"samr", bytes(6), struct.pack(">H", 1), bytes(8), struct.pack(">HHIHH", 1, 16, 0, 8000, 0), details)
    table = box(
        b"stbl",
        box(b"stsd", words(0, 1), entry),
        box(b"stts", words(0, 1, packets, frames_in_a_packet * 160)),
        box(b"stsc", words(0, 1, 1, packets, 1)),
        box(b"stsz", words(0, frames_in_a_packet * _AMR_FRAME, packets)),
        box(b"stco", words(0, 1, len(kind) + 8)),
    )
    reference = box(b"dinf", box(b"dref", words(0, 1), box(b"url ", words(1))))
    media = box(
        b"mdia",
        box(b"mdhd", words(0, 0, 0, 8000, lasting, 0x55C40000)),
        box(b"hdlr", words(0, 0), b"soun", bytes(13)),
        box(b"minf", box(b"smhd", words(0, 0)), reference, table),
    )
    track = box(b"trak", box(b"tkhd", words(7, 0, 0, 1, 0, lasting, 0, 0, 0, 0x01000000), matrix, words(0, 0)), media)
    header = box(b"mvhd", words(0, 0, 0, 8000, lasting, 0x10000, 0x01000000, 0, 0), matrix, bytes(24), words(2))
    return kind + box(b"mdat", data) + box(b"moov", header, track)


def flac_of_32_bits(path: Path) -> None:
    """FFmpeg before version 6 has no such encoder, so PyAV writes it."""
    steps = np.random.default_rng(5).integers(-(2**30), 2**30, (1, 2 * SECONDS * 44_100), dtype=np.int32)
    options = {"strict": "experimental", "bits_per_raw_sample": "32"}
    with av.open(str(path), "w") as out:
        stream = out.add_stream("flac", rate=44_100, options=options, layout="stereo", format="s32")
        frame = AudioFrame.from_ndarray(steps, "s32", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = 44_100, 0, Fraction(1, 44_100)
        packets: list[Packet[Any]] = [*stream.encode(frame), *stream.encode(None)]
        out.mux(packets)


def lossless_wma(path: Path) -> None:
    """WMA Lossless of one channel of the source."""
    with av.open(str(source(path))) as container:
        parts = [frame.to_ndarray().reshape(-1, 2)[:, 0] for frame in container.decode(audio=0)]
    samples = np.concatenate(parts).astype(np.int16)
    wma_lossless.write(path, samples[: len(samples) // wma_lossless.FRAME * wma_lossless.FRAME], 44_100)


def wav(path: Path, samples: np.ndarray[Any, np.dtype[np.int16]], rate: int, mask: int | None = None) -> None:
    """Write samples [S, C] as 16-bit WAV; with `mask` as WAVE_FORMAT_EXTENSIBLE with these speakers."""
    count = samples.shape[1]
    form = struct.pack("<HHIIHH", 1 if mask is None else 0xFFFE, count, rate, 2 * rate * count, 2 * count, 16)
    if mask is not None:
        form += struct.pack("<HHIH", 22, 16, mask, 1) + bytes.fromhex("000000001000800000aa00389b71")
    data = samples.astype("<i2").tobytes()
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)


FILES: Mapping[str, Make] = {
    "chromium.webm": restamped(
        lambda number, stamp: stamp + (0, 3, -2, 7, -5)[number % 5] * (number > 0),
        *("-c:a", "libopus", "-frame_duration", "60", "-live", "1"),
    ),
    "firefox.webm": restamped(lambda number, stamp: 6 + stamp + number % 2, "-c:a", "libopus", "-frame_duration", "20"),
    "camera.mp4": mp4_without_durations,
    "before_zero.mp4": cut_in_front("-c:a", "aac"),
    "before_zero.mov": cut_in_front("-c:a", "aac"),
    "no_key_flags.avi": avi_without_key_flags,
    "false_length.avi": avi_with_false_length,
    "one_frame.3gp": amr_in_3gp(1),
    "five_frames.3gp": amr_in_3gp(5),
    "fifty_frames.3gp": amr_in_3gp(50),
    "alac.mka": by_ffmpeg("-c:a", "alac"),
    "bits32.flac": flac_of_32_bits,
    "lossless.wma": lossless_wma,
    "no_xing.mp3": by_ffmpeg("-q:a", "4", "-write_xing", "0"),
    "joined.aac": joined("-c:a", "aac"),
    "joined.ts": joined("-c:a", "aac"),
    "joined.webm": joined("-c:a", "libopus"),
    "joined.mp3": joined("-write_xing", "0", "-id3v2_version", "0"),
    "chained.ogg": joined("-c:a", "libvorbis"),
    "chained.opus": joined(),
    "truehd.mka": by_ffmpeg("-c:a", "truehd", "-strict", "-2"),
    "truehd.mp4": by_ffmpeg("-c:a", "truehd", "-strict", "-2"),
    "mlp.mka": by_ffmpeg("-c:a", "mlp", "-strict", "-2"),
    **{
        name: by_ffmpeg(*options.split())
        for name, options in {
            "plain.mp3": "",
            "plain.flac": "",
            "bits24.flac": "-sample_fmt s32",
            "plain.opus": "",
            "plain.ogg": "-c:a libvorbis",
            "plain.aac": "",
            "plain.m4a": "",
            "alac.m4a": "-c:a alac",
            "opus.mp4": "-c:a libopus",
            "flac.mp4": "-c:a flac -strict -2",
            "pcm.mov": "-c:a pcm_s16be",
            "ulaw.mov": "-c:a pcm_mulaw",
            "ima.mov": "-c:a adpcm_ima_qt",
            "version1.wma": "-c:a wmav1",
            "version2.wma": "-c:a wmav2",
            "wma.avi": "-c:a wmav2",
            "pcm.avi": "-c:a pcm_s16le",
            "aac.avi": "-c:a aac",
            "ac3.avi": "-c:a ac3",
            "aac.ts": "-c:a aac",
            "mp2.ts": "-c:a mp2",
            "ac3.ts": "-c:a ac3",
            "dts.ts": "-c:a dca -strict -2",
            "mp2.mpg": "-c:a mp2",
            "aac.flv": "-c:a aac",
            "mp3.flv": "-c:a libmp3lame",
            "speex.flv": "-c:a libspeex -ac 1 -ar 16000",
            "nellymoser.flv": "-c:a nellymoser -ac 1 -ar 22050",
            "adpcm.flv": "-c:a adpcm_swf",
            "opus.webm": "",
            "vorbis.webm": "-c:a libvorbis",
            "eac3.mka": "-c:a eac3",
            "wavpack.mka": "-c:a wavpack",
            "tta.mka": "-c:a tta",
            "pcm.mka": "-c:a pcm_s24le",
            "surround.m4a": "-ac 6",
            "mono.m4a": "-ac 1 -ar 22050",
            "odd_rate.flac": "-ar 41000",
            "fast.wav": "-ar 96000",
            "u8.wav": "-c:a pcm_u8",
            "s16.wav": "-c:a pcm_s16le",
            "s24.wav": "-c:a pcm_s24le",
            "s32.wav": "-c:a pcm_s32le",
            "f32.wav": "-c:a pcm_f32le",
            "f64.wav": "-c:a pcm_f64le",
            "alaw.wav": "-c:a pcm_alaw",
            "mulaw.wav": "-c:a pcm_mulaw",
            "ms.wav": "-c:a adpcm_ms",
            "ima.wav": "-c:a adpcm_ima_wav",
            "yamaha.wav": "-c:a adpcm_yamaha",
            "g726.wav": "-c:a g726 -ac 1 -ar 8000",
            "gsm.wav": "-c:a libgsm_ms -ac 1 -ar 8000",
            "mp3.wav": "-c:a libmp3lame",
            "ac3.wav": "-c:a ac3",
        }.items()
    },
}
"""How to make each file. The name says what is special about it."""
