/**
 * Schedules writes to the document: at most once a frame, and never for long.
 *
 * All writers share one frame and its time; those that get no turn, or do not finish, continue in
 * the next. Hidden tabs have no frames. There a slow timer replaces them, so that the text is ready
 * when the tab is shown.
 */

/** The milliseconds of one frame that all writers share. */
const TIME = 12;
/** After this many milliseconds without a frame, the timer does the work. */
const PATIENCE = 250;

/** Works until the given time; returns whether there is more to do. */
export type Work = (until: number) => boolean;

const waiting = new Set<Work>();
let frame = 0;
/** Until when work may be done before the next frame; 0 if none was. */
let early = 0;
let timer: ReturnType<typeof setTimeout> | undefined;

function isScheduled(): boolean {
  return timer !== undefined;
}

export function nextFrame(work: Work): void {
  waiting.add(work);
  if (!isScheduled()) schedule();
}

/** Work now, as long as all that work before the next frame have time, and go on in that one. */
export function now(work: Work): void {
  if (early === 0) {
    early = performance.now() + TIME;
    if (!isScheduled()) schedule();
  }
  waiting.delete(work);
  if (performance.now() >= early || work(early)) nextFrame(work);
}

export function forget(work: Work): void {
  waiting.delete(work);
}

function schedule(): void {
  frame = requestAnimationFrame(run);
  timer = setTimeout(run, PATIENCE);
}

function run(): void {
  cancelAnimationFrame(frame);
  clearTimeout(timer);
  timer = undefined;
  early = 0;
  const until = performance.now() + TIME;
  try {
    for (const work of [...waiting]) {
      if (performance.now() >= until) break;
      waiting.delete(work);
      if (work(until)) waiting.add(work);
    }
  } finally {
    if (waiting.size > 0 && !isScheduled()) schedule();
  }
}
