import { useEffect, useRef } from "preact/hooks";
import { PRESETS } from "../maths/anatomy";

const EVERYWHERE = [
  ["l", "Study list"],
  ["u", "Upload"],
  ["?", "This overview"],
  ["Esc", "Close"],
] as const;
const LIST = [
  ["/", "Search"],
  ["j  k", "Next, previous study"],
  ["Enter", "Open the study"],
] as const;
const STUDY = [
  ["c", "Contour on and off"],
  ["i", "Invert the grey values"],
  ["0", "Reset window, zoom and view"],
  ...PRESETS.map(({ key, label }) => [key, `Bone: ${label.toLowerCase()}`] as const),
  ["e", "Bone: expected error in colour"],
  ["m", "Bone: mark what is inferred"],
] as const;
const MOUSE = [
  ["drag", "Window and level; orbit the bone"],
  ["wheel", "Zoom"],
  ["right drag", "Pan (also Shift and drag)"],
  ["double click", "Fit again"],
  ["arrows", "The same without a mouse, when focused"],
  ["+  −", "Zoom, when focused"],
] as const;

function Keys({ title, keys }: { title: string; keys: readonly (readonly [string, string])[] }) {
  return (
    <section>
      <h3 class="mb-2 text-xs text-faint">{title}</h3>
      <dl class="space-y-1.5 text-sm">
        {keys.map(([key, meaning]) => (
          <div key={key} class="flex gap-3">
            <dt class="w-24 shrink-0">
              {key.split("  ").map((each) => (
                <kbd key={each} class="key mr-1 font-sans">
                  {each}
                </kbd>
              ))}
            </dt>
            <dd class="text-soft">{meaning}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

export function Help({ close }: { close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog
      ref={dialog}
      onClose={close}
      aria-labelledby="help-title"
      class="panel m-auto w-[46rem] max-w-[94vw] p-6 text-ink shadow-2xl backdrop:bg-black/70"
    >
      <div class="mb-5 flex items-center justify-between">
        <h2 id="help-title" class="text-lg font-semibold">
          Keyboard and mouse
        </h2>
        <button type="button" class="button" onClick={close}>
          Close
        </button>
      </div>
      <div class="grid gap-x-8 gap-y-6 sm:grid-cols-2">
        <Keys title="On a study" keys={STUDY} />
        <div class="space-y-6">
          <Keys title="Everywhere" keys={EVERYWHERE} />
          <Keys title="In the list" keys={LIST} />
          <Keys title="On pictures" keys={MOUSE} />
        </div>
      </div>
    </dialog>
  );
}
