/**
 * When to write to the document: at most once a frame, and never for long.
 *
 * All who want to write share one frame and its time; who gets no turn, or is not finished, has
 * one in the next. A tab that nobody sees has no frames: there a timer takes their place, slowly,
 * so that the text is already there when the tab is looked at.
 */

/** Milliseconds of one frame for all. */
const TIME = 12;
/** Milliseconds without a frame after which the timer does the work. */
const PATIENCE = 250;

/** Does some work until the time given; gives whether there is more. */
export type Work = (until: number) => boolean;

const waiting = new Set<Work>();
let frame = 0;
let timer: ReturnType<typeof setTimeout> | undefined;

function isScheduled(): boolean {
  return timer !== undefined;
}

export function nextFrame(work: Work): void {
  waiting.add(work);
  if (!isScheduled()) schedule();
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
