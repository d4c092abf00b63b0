/**
 * `data:` URLs of pictures and sounds in events.
 *
 * Only types that show or play without running anything are made: SVG, for one, is not. Samples
 * without a header (PCM) become a WAV file.
 */

import type { Media } from "../model/reply-extras.js";

const PICTURE = /^image\/(?:png|jpeg|jpg|gif|webp|avif)$/i;
const SOUND = /^audio\/(?:wav|x-wav|wave|mpeg|mp3|mp4|aac|ogg|opus|flac|webm)$/i;
/** OpenAI's and Gemini's names; `*` is OpenAI's streamed audio, which is always PCM. */
const SAMPLES = /^audio\/(?:pcm16|pcm|l16|\*)(?:;|$)/i;
const RATE = /;\s*rate=(\d{4,6})/i;
const USUAL_RATE = 24_000;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

const made = new WeakMap<Media, string | null>();

/** The URL; null if this page does not show such media. */
export function mediaUrl(media: Media): string | null {
  const known = made.get(media);
  if (known !== undefined) return known;
  const url = build(media);
  made.set(media, url);
  return url;
}

export function isPicture({ type }: Media): boolean {
  return type.startsWith("image/");
}

function build({ type, data }: Media): string | null {
  if (data.length === 0 || !data.every((piece) => BASE64.test(piece))) return null;
  // Browsers look at the bytes of a picture, not at this name.
  const named = type === "image/*" ? "image/png" : type;
  if (PICTURE.test(named) || SOUND.test(named)) {
    const whole = data.length === 1 ? data[0] : encode(decode(data));
    return whole === undefined ? null : `data:${named};base64,${whole}`;
  }
  if (!SAMPLES.test(type)) return null;
  const samples = decode(data);
  return samples && `data:audio/wav;base64,${encode(wav(samples, Number(RATE.exec(type)?.[1] ?? USUAL_RATE))) ?? ""}`;
}

/** The bytes of pieces that are base64 each by itself. */
function decode(pieces: readonly string[]): Uint8Array | null {
  try {
    const texts = pieces.map((piece) => atob(piece));
    const bytes = new Uint8Array(texts.reduce((sum, text) => sum + text.length, 0));
    let at = 0;
    for (const text of texts) for (let i = 0; i < text.length; i++) bytes[at++] = text.charCodeAt(i);
    return bytes;
  } catch {
    return null;
  }
}

function encode(bytes: Uint8Array | null): string | undefined {
  if (!bytes) return undefined;
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

/** A WAV file of one channel with 16 bits a sample. */
function wav(samples: Uint8Array, rate: number): Uint8Array {
  const file = new Uint8Array(44 + samples.length);
  const view = new DataView(file.buffer);
  const name = (at: number, four: string): void => {
    for (let i = 0; i < 4; i++) view.setUint8(at + i, four.charCodeAt(i));
  };
  name(0, "RIFF");
  view.setUint32(4, 36 + samples.length, true);
  name(8, "WAVE");
  name(12, "fmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  name(36, "data");
  view.setUint32(40, samples.length, true);
  file.set(samples, 44);
  return file;
}
