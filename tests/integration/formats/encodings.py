"""Containers and codecs that FFmpeg writes, each made from the same two films."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_X264 = ("-c:v", "libx264", "-preset", "fast", "-crf", "18", "-threads", "1")
_H264 = (*_X264, "-pix_fmt", "yuv420p")
_HEVC = ("-c:v", "libx265", "-preset", "fast", "-crf", "18", "-x265-params", "log-level=none:pools=1")
_AV1 = ("-c:v", "libaom-av1", "-cpu-used", "8", "-crf", "20", "-b:v", "0")
_VP8 = ("-c:v", "libvpx", "-cpu-used", "8", "-crf", "6", "-b:v", "4M")
_VP9 = ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-crf", "18", "-b:v", "0")
_MJPEG = ("-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p")
_PRORES = ("-c:v", "prores_ks", "-profile:v", "2", "-pix_fmt", "yuv422p10le")

_JUNK = bytes(range(255, 0, -1))
_BOX = (100).to_bytes(4, "big") + b"uuid" + bytes(92)


@dataclass(frozen=True, slots=True)
class Format:
    """FFmpeg's options, and what precedes the file that they make.

    `same_frames`: all source frames are there, upright, near their size; PSNR can be measured.
    """

    suffix: str
    options: tuple[str, ...]
    same_frames: bool = True
    before: bytes = b""


def _quality(codec: str) -> tuple[str, ...]:
    return ("-c:v", codec, "-q:v", "2")


FORMATS: Mapping[str, Format] = {
    "mp4 h264": Format("mp4", _H264),
    "mp4 hevc": Format("mp4", _HEVC),
    "mp4 av1": Format("mp4", _AV1),
    "mp4 vp9": Format("mp4", _VP9),
    "mp4 mpeg4": Format("mp4", _quality("mpeg4")),
    "mp4 mjpeg": Format("mp4", _MJPEG),
    "mov h264": Format("mov", _H264),
    "mov prores": Format("mov", _PRORES),
    "mov mjpeg": Format("mov", _MJPEG),
    "mkv h264": Format("mkv", _H264),
    "mkv hevc": Format("mkv", _HEVC),
    "mkv vp8": Format("mkv", _VP8),
    "mkv mpeg2": Format("mkv", _quality("mpeg2video")),
    "mkv ffv1": Format("mkv", ("-c:v", "ffv1")),
    "mkv prores": Format("mkv", _PRORES),
    "webm vp8": Format("webm", _VP8),
    "webm vp9": Format("webm", _VP9),
    "webm av1": Format("webm", _AV1),
    "avi h264": Format("avi", _H264),
    "avi mpeg4": Format("avi", _quality("mpeg4")),
    "avi mjpeg": Format("avi", _MJPEG),
    "flv flv1": Format("flv", _quality("flv1")),
    "flv h264": Format("flv", _H264),
    "wmv wmv2": Format("wmv", _quality("wmv2")),
    "wmv msmpeg4": Format("wmv", _quality("msmpeg4")),
    "3gp h263": Format("3gp", _quality("h263")),
    "3gp h264": Format("3gp", _H264),
    "mpg mpeg1": Format("mpg", _quality("mpeg1video")),
    "mpg mpeg2": Format("mpg", _quality("mpeg2video")),
    "m1v mpeg1": Format("m1v", _quality("mpeg1video")),
    "m2v mpeg2": Format("m2v", _quality("mpeg2video")),
    "mpg mpeg1 behind junk": Format("mpg", _quality("mpeg1video"), before=_JUNK),
    "ts h264": Format("ts", _H264),
    "ts h264 behind junk": Format("ts", _H264, before=_JUNK),
    "m2ts h264": Format("m2ts", (*_H264, "-mpegts_m2ts_mode", "1")),
    "mov h264 behind other boxes": Format(
        "mov", (*_H264, "-movflags", "frag_keyframe+empty_moov+default_base_moof"), before=_BOX + _BOX
    ),
    "ts h264, one key frame": Format("ts", (*_H264, "-g", "9999")),
    "ts hevc": Format("ts", _HEVC),
    "ts mpeg2": Format("ts", _quality("mpeg2video")),
    "gif": Format("gif", ("-filter_complex", "[0:v]split[a][b];[a]palettegen[p];[b][p]paletteuse")),
    "apng": Format("apng", ("-c:v", "apng", "-f", "apng")),
    "webp, animated": Format("webp", ("-c:v", "libwebp_anim", "-quality", "95", "-loop", "0"), same_frames=False),
    "10 bit h264": Format("mp4", (*_X264, "-pix_fmt", "yuv420p10le")),
    "10 bit hevc": Format("mp4", (*_HEVC, "-pix_fmt", "yuv420p10le")),
    "odd size": Format("mp4", ("-vf", "scale=175:143", *_X264, "-pix_fmt", "yuv444p")),
    "rotated": Format("mov", ("-vf", "transpose=1", *_H264), same_frames=False),
    "variable rate": Format(
        "mp4", ("-vf", "select='not(eq(mod(n,7),3))'", "-fps_mode", "vfr", *_H264), same_frames=False
    ),
    "with sound": Format("mp4", ("-f", "lavfi", "-i", "sine=d=4", "-map", "0:v", "-map", "1:a", "-c:a", "aac", *_H264)),
    "mkv mjpeg with sound": Format("mkv", ("-f", "lavfi", "-i", "sine=d=4", "-map", "0:v", "-map", "1:a", *_MJPEG)),
    "mkv png with sound": Format(
        "mkv", ("-f", "lavfi", "-i", "sine=d=4", "-map", "0:v", "-map", "1:a", "-c:v", "png", "-pix_fmt", "rgb24")
    ),
    "fragmented mp4 mjpeg with sound": Format(
        "mp4",
        (
            *("-f", "lavfi", "-i", "sine=d=4", "-map", "0:v", "-map", "1:a", *_MJPEG),
            "-movflags",
            "frag_keyframe+empty_moov",
        ),
    ),
    "sound first": Format(
        "mkv", ("-f", "lavfi", "-i", "sine=d=4", "-map", "1:a", "-map", "0:v", "-c:a", "aac", *_H264)
    ),
}


def encode(film: Path, name: str, folder: Path) -> Path:
    """Encode the film in the format of this name."""
    wanted = FORMATS[name]
    path = folder / f"{film.stem} {name}.{wanted.suffix}"
    _ffmpeg("-i", film, *wanted.options, path)
    if wanted.before:
        path.write_bytes(wanted.before + path.read_bytes())
    if name != "rotated":
        return path
    upright = path.with_stem(f"{path.stem} back")  # the player turns it back
    _ffmpeg("-i", path, "-c", "copy", "-metadata:s:v:0", "rotate=90", upright)
    return upright


def psnr(path: Path, film: Path) -> float:
    """PSNR of the luma and chroma of all frames in order, in decibels; scaled films are scaled back first."""
    width, height = _size(film)
    graph = (
        f"[0:v]scale={width}:{height}:flags=bicubic,format=yuv420p,settb=1/25,setpts=N[a];"
        "[1:v]format=yuv420p,settb=1/25,setpts=N[b];[a][b]psnr"
    )
    said = _ffmpeg("-i", path, "-i", film, "-lavfi", graph, "-f", "null", "-", level="info")
    found = re.search(r"PSNR.* average:(\S+)", said)
    assert found is not None, said[-500:]
    return float(found[1])


def _size(film: Path) -> tuple[int, int]:
    asked = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height", "-of", "csv=p=0"]
    said = subprocess.run([*asked, str(film)], check=True, capture_output=True, text=True).stdout
    width, height = said.strip().strip(",").split(",")[:2]
    return int(width), int(height)


def _ffmpeg(*arguments: str | Path, level: str = "error") -> str:
    command = ["ffmpeg", "-v", level, "-nostdin", "-y", *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-500:]
    return ran.stderr
