import type { ScaleBar } from "../maths/scalebar";

export function Bar({ bar }: { bar: ScaleBar }) {
  return (
    <div class="pointer-events-none absolute bottom-2 left-2 rounded bg-black/60 px-2 py-1 text-xs text-bone">
      <div class="mb-0.5 h-1.5 border-x border-b border-bone" style={{ width: `${bar.pixels}px` }} />
      {bar.millimetres} mm
    </div>
  );
}
