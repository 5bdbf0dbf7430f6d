// How dates, names and figures are written.

import type { Progress, StudyState, SurfaceReport } from "./types";

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

// DICOM DA: YYYYMMDD.
export function dayOf(da: string): string {
  const parts = /^(\d{4})(\d{2})(\d{2})$/.exec(da);
  return parts ? DAY.format(new Date(Number(parts[1]), Number(parts[2]) - 1, Number(parts[3]))) : da;
}

export function momentOf(iso: string): string {
  return MOMENT.format(new Date(iso));
}

// DICOM PN: family^given^middle^prefix^suffix, of which the first group (before =) is shown.
export function personOf(pn: string): string {
  const [family, given] = (pn.split("=")[0] ?? "").split("^");
  return [family, given].filter(Boolean).join(", ");
}

const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

// "Waits for a lateral view of the left knee until 12:03:10."
export function waitOf({ waits_for, wait_until }: Progress): string {
  return waits_for && wait_until ? `Waits for ${waits_for} until ${CLOCK.format(new Date(wait_until))}.` : "";
}

export function sizeOf(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(0)} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

export function sideOf(letter: string): string {
  return { L: "left", R: "right", B: "both sides" }[letter] ?? "";
}

// "Right hip bone", "Sacrum".
export function boneOf({ bone, side }: SurfaceReport): string {
  const words = [sideOf(side ?? ""), bone.replace("_", " ")].filter(Boolean).join(" ");
  return words.replace(/^./, (letter) => letter.toUpperCase());
}

export const IVORY = "#eaddc4";

export function colourOf({ colour }: SurfaceReport): string {
  return colour || IVORY;
}

export function viewOf(view: string): string {
  return view === "LATERAL" ? "Lateral" : view;
}

export function isOnItsWay(state: StudyState): boolean {
  return state === "receiving" || state === "queued" || state === "running";
}
