import type { StudyState } from "../types";

const LOOKS: Record<StudyState, { word: string; look: string }> = {
  receiving: { word: "Receiving", look: "text-soft bg-soft" },
  queued: { word: "Queued", look: "text-busy bg-busy" },
  running: { word: "Running", look: "text-busy bg-busy motion-safe:animate-pulse" },
  reconstructed: { word: "Reconstructed", look: "text-good bg-good" },
  refused: { word: "Refused", look: "text-warn bg-warn" },
  failed: { word: "Failed", look: "text-bad bg-bad" },
  "left-out": { word: "Left out", look: "text-faint bg-faint" },
  "out-of-scope": { word: "No radiograph", look: "text-faint bg-faint" },
};

export function Badge({ state }: { state: StudyState }) {
  const { word, look } = LOOKS[state];
  const [text, ...dot] = look.split(" ");
  return (
    <span class={`inline-flex items-center gap-2 text-sm whitespace-nowrap ${text}`} data-state={state}>
      <span class={`size-2 rounded-full ${dot.join(" ")}`} />
      {word}
    </span>
  );
}

export function ProgressBar({ fraction, sentence }: { fraction: number; sentence: string }) {
  return (
    <div class="min-w-40">
      <div
        class="h-1.5 overflow-hidden rounded-full bg-line"
        role="progressbar"
        aria-label="Reconstruction"
        aria-valuenow={fraction}
        aria-valuemin={0}
        aria-valuemax={100}
      >
        <div class="h-full rounded-full bg-busy motion-safe:transition-[width]" style={{ width: `${fraction}%` }} />
      </div>
      <p class="mt-1 text-xs text-soft">{sentence || "Waiting for a worker"}</p>
    </div>
  );
}
