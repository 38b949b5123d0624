// Shapes of the JSON columns. Times are seconds from the first frame, probabilities are P(fake), 0 to 1.
import type { MediaKind, Stage, Verdict, VerdictReason } from './schema'

/** A part of the pictures or of the sound that was scored once. A still picture has one window of zero length. */
export interface TimelineWindow {
  start_seconds: number
  end_seconds: number
  /** That of the worst face, if faces were scored; null if the window was skipped. */
  fake_probability: number | null
  /** Why there was nothing to score. */
  skipped?: SkipReason
  /** Seconds of sound that were scored, if fewer than the detector listens to: damaged parts, or a short track. */
  heard_seconds?: number
  /** The channel that was scored, counted from 1, if the channels cancel each other out when they are mixed. */
  channel?: number
  faces?: Face[]
}

export type SkipReason = 'no_face' | 'silence' | 'damaged'

export interface Face {
  /** Left, top, right, bottom, as fractions of the picture's width and height. */
  box: [left: number, top: number, right: number, bottom: number]
  /** Confidence of the face detection, 0 to 1. */
  score: number
  fake_probability: number
}

/** Counts of windows, only from detectors that score faces. */
export interface Faces {
  windows: number
  windows_with_faces: number
  /** The most faces in one window. */
  most_in_a_window: number
}

/** The judgement of one track, before pictures and sound are joined. */
export interface TrackJudgement {
  verdict: Verdict
  fake_probability: number | null
  /** The probability from which the verdict is `fake`. */
  threshold: number
  reason: VerdictReason | null
  /** Share of the track that was looked at, 0 to 1. */
  coverage: number
  /** The longest part that was not looked at. */
  longest_gap_seconds: number
}

/** The judgement of the sound with its evidence. */
export interface HeardSound extends TrackJudgement {
  detector: DetectorFacts
  timeline: TimelineWindow[]
}

/** Sound that has no verdict, and the reason. */
export type UnheardSound =
  /** The file has no sound track. */
  | { reason: 'no_sound'; verdict?: never }
  /** The request named a detector of pictures, or the worker has no detector of sound. `coverage` is 0. */
  | { reason: 'not_asked' | 'no_detector'; coverage: number; longest_gap_seconds: number; verdict?: never }
  /** It could not be decoded: `error_code` says why. */
  | { reason: 'unreadable'; error_code: string; coverage: number; longest_gap_seconds: number; verdict?: never }

export type Sound = HeardSound | UnheardSound

/** The detector that made a result. */
export interface DetectorFacts {
  key: string
  task: 'video' | 'image' | 'audio'
  /** The repository of its weights; null for a folder of the operator. */
  repository: string | null
  revision: string | null
  licence: string
  /** The model's labels by their index, and those that mean fake. */
  labels: Record<string, string>
  fake_indices: number[]
  /** How it is known which labels mean fake. */
  fake_indices_source: string
  /** True if it scores faces instead of whole pictures. */
  faces: boolean
  /** How windows become one probability: `mean`, or the mean of the highest (`top_k`). */
  aggregation: 'mean' | 'top_k'
  /** Divisor of the raw scores, from the calibration. */
  temperature: number
  /** Below this probability the verdict is `real`; from here to `threshold` it is `uncertain`. */
  real_below: number
  /** Raw score from which a single window makes a `real` file `uncertain`. */
  suspicious_score: number | null
  /** True if thresholds and temperature were fitted to labelled files. */
  calibrated: boolean
  /** `cpu` or `cuda`, and the type of its numbers. */
  device: string
  dtype: string
  /** Key of the detector that it replaced because that one could not take the file. */
  instead_of?: string
}

/** Facts about the file. The pictures' values are 0 for a file with only sound. */
export interface MediaFacts {
  kind: Exclude<MediaKind, 'auto'>
  container: string
  size_bytes: number
  sha256: string
  /** Duration of the pictures, or of the sound if there are none; 0 for a still picture. */
  duration_seconds: number
  has_video: boolean
  has_audio: boolean
  video_codec: string | null
  audio_codec: string | null
  /** Size on screen, after rotation. */
  width: number
  height: number
  /** The average; `typical_rate` is by the median distance of two frames, 0 if it is not known. */
  frames_per_second: number
  typical_rate: number
  frame_count: number
  /** The sound track that players play: its seconds, hertz and channels; 0 without one. */
  audio_seconds: number
  sample_rate: number
  channels: number
  /** Numbers of tracks, of which the one that browsers play is looked at. */
  video_tracks: number
  audio_tracks: number
  /** True if the file ends early. */
  truncated: boolean
  /** Seconds that play, but that no decoder is given. */
  unread_seconds: number
  /** Frames that could not be decoded, and were replaced. */
  unreadable_frames: number
  /** Only for a URL: without its query. */
  source_url?: string
  etag?: string | null
}

/** Paths of pictures in the bucket `derived`; none for a file with only sound. */
export interface Derived {
  thumbnail?: string
  /** The window with the highest probability; not for a still picture. */
  worst_frame?: string
  /** The next two windows by probability. */
  worst_frame_2?: string
  worst_frame_3?: string
  /** `worst_frame` with the boxes of its faces. */
  worst_faces?: string
  /** One picture of all windows, cell by cell. */
  filmstrip?: string
  /** A film that browsers play, if `options.preview` asked for it. */
  preview?: string
}

/** Seconds in each stage. */
export type Timings = Partial<Record<Stage, number>>

/** An object of at most 8 KiB and 32 levels. `preview: true` asks for a preview; other keys are reserved for detectors. */
export type Options = { preview?: boolean } & Record<string, unknown>
