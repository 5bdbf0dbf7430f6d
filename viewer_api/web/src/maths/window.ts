// Window level and width on pictures that arrive with 8 bits: a straight line from grey in to grey out.

export interface GreyWindow {
  level: number; // grey value shown as middle grey, 0..1
  width: number; // range of grey values shown from black to white, > 0
  inverted: boolean;
}

export const FULL_WINDOW: GreyWindow = { level: 0.5, width: 1, inverted: false };
const NARROWEST = 0.04;
const WIDEST = 4;

const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));

// Dragging right widens the window, dragging down darkens: the habit of every workstation.
export function draggedWindow(from: GreyWindow, across: number, down: number): GreyWindow {
  return {
    ...from,
    width: clamp(from.width * 2 ** (across / 200), NARROWEST, WIDEST),
    level: clamp(from.level + (down / 400) * from.width, -0.5, 1.5),
  };
}

// out = slope * in + intercept
export function transferOf(window: GreyWindow): { slope: number; intercept: number } {
  const slope = 1 / window.width;
  const intercept = 0.5 - slope * window.level;
  return window.inverted ? { slope: -slope, intercept: 1 - intercept } : { slope, intercept };
}
