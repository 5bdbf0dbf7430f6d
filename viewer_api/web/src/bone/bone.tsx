// The bone in three dimensions, with its presets, its uncertainty and the patient's directions at the edges.

import { useEffect, useRef, useState } from "preact/hooks";
import { messageOf } from "../api";
import { Bar } from "../components/bar";
import { Notice } from "../components/notice";
import { useKeys } from "../hooks";
import { labelOf, PRESETS, type Preset, patientLetter, type Side, type Vector } from "../maths/anatomy";
import { scaleBar } from "../maths/scalebar";
import type { Attitude, BoneScene, Look } from "./scene";

interface BoneProps {
  model: string;
  colours: ReadonlyMap<string, string>; // by bone
  hidden: ReadonlySet<string>;
  side: Side;
  title: string;
  expectedError: string;
  scaleKnown: boolean;
  banner: string;
  round: number;
}

const CALM = matchMedia("(prefers-reduced-motion: reduce)");
const SCALE_BAR_PIXELS = 120;
const KEY_STEP = Math.PI / 24;
const ARROWS: Record<string, readonly [number, number]> = {
  ArrowLeft: [KEY_STEP, 0],
  ArrowRight: [-KEY_STEP, 0],
  ArrowUp: [0, KEY_STEP],
  ArrowDown: [0, -KEY_STEP],
};
const opposite = ([x, y, z]: Vector): Vector => [-x, -y, -z];

function Directions({ attitude }: { attitude: Attitude }) {
  const { right, up } = attitude;
  const at = "pointer-events-none absolute text-sm text-faint";
  return (
    <>
      <span class={`${at} top-1/2 right-2`}>{patientLetter(right)}</span>
      <span class={`${at} top-1/2 left-2`}>{patientLetter(opposite(right))}</span>
      <span class={`${at} top-2 left-1/2`}>{patientLetter(up)}</span>
      <span class={`${at} bottom-2 left-1/2`}>{patientLetter(opposite(up))}</span>
    </>
  );
}

function Legend({ look, scaleKnown }: { look: Look; scaleKnown: boolean }) {
  return (
    <div class="pointer-events-none absolute right-3 bottom-3 space-y-1 text-right text-xs text-soft">
      {look.uncertainty && (
        <div>
          <div class="uncertainty-ramp mb-0.5 ml-auto h-1.5 w-28 rounded-full" />
          {scaleKnown ? "± 0.5 mm … ± 4 mm" : "surer … less sure"}
        </div>
      )}
      {look.inferred && <div>hatched: inferred, seen in no view</div>}
    </div>
  );
}

// three.js is half of the page's weight: it is fetched when the first bone is shown.
function useScene(model: string, colours: ReadonlyMap<string, string>, side: Side) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [scene, setScene] = useState<BoneScene>();
  const [attitude, setAttitude] = useState<Attitude>();
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let made: BoneScene | undefined;
    let current = true;
    const build = async () => {
      const { BoneScene } = await import("./scene");
      if (!current || !canvas.current) return;
      made = new BoneScene(canvas.current, setAttitude);
      await made.load(model, colours);
      if (!current) return;
      made.view("anterior", side, false);
      setScene(made);
    };
    build().catch((error) => setProblem(`The bone cannot be drawn: ${messageOf(error)}`));
    return () => {
      current = false;
      made?.dispose();
    };
  }, [model, colours, side]);
  return { canvas, scene, attitude, problem };
}

interface ToolbarProps {
  side: Side;
  preset: Preset;
  turnTo: (preset: Preset) => void;
  look: Look;
  toggle: (part: keyof Look) => void;
}

function Toolbar({ side, preset, turnTo, look, toggle }: ToolbarProps) {
  return (
    <div class="flex flex-wrap items-center gap-1 border-t border-line bg-panel px-2 py-1.5">
      {PRESETS.map(({ name, key }) => (
        <button
          key={name}
          type="button"
          class="toggle"
          aria-pressed={preset === name}
          title={`Key ${key}`}
          onClick={() => turnTo(name)}
        >
          {labelOf(name, side)}
        </button>
      ))}
      <span class="mx-1 h-4 w-px bg-line" />
      <button
        type="button"
        class="toggle"
        aria-pressed={look.uncertainty}
        title="Key e"
        onClick={() => toggle("uncertainty")}
      >
        Expected error
      </button>
      <button
        type="button"
        class="toggle"
        aria-pressed={look.inferred}
        title="Key m"
        onClick={() => toggle("inferred")}
      >
        Inferred
      </button>
    </div>
  );
}

export function Bone(props: BoneProps) {
  const { model, colours, hidden, side, title, expectedError, scaleKnown, banner, round } = props;
  const { canvas, scene, attitude, problem } = useScene(model, colours, side);
  const [look, setLook] = useState<Look>({ uncertainty: false, inferred: true });
  const [preset, setPreset] = useState<Preset>("anterior");
  useEffect(() => scene?.look(look), [scene, look]);
  useEffect(() => scene?.hide(hidden), [scene, hidden]);
  const turnTo = (wanted: Preset) => {
    setPreset(wanted);
    scene?.view(wanted, side, !CALM.matches);
  };
  // A new round is what resets.
  useEffect(() => {
    if (round > 0) turnTo("anterior");
  }, [round]);
  const orbit = (event: KeyboardEvent) => {
    const arrow = ARROWS[event.key];
    if (!arrow) return;
    event.preventDefault();
    scene?.orbit(...arrow);
  };
  const toggle = (part: keyof Look) => setLook((now) => ({ ...now, [part]: !now[part] }));
  useKeys({
    ...Object.fromEntries(PRESETS.map(({ key, name }) => [key, () => turnTo(name)])),
    e: () => toggle("uncertainty"),
    m: () => toggle("inferred"),
  });
  return (
    <figure class="flex h-full min-h-0 flex-col bg-[#0c0f12]">
      <div class="relative min-h-0 flex-1">
        {/* biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: an application takes keys (WAI-ARIA 1.2, 5.4) */}
        <canvas
          ref={canvas}
          class="absolute inset-0 h-full w-full touch-none"
          data-drawn={attitude ? "yes" : "no"}
          role="application"
          tabIndex={0}
          aria-label={`${title} in three dimensions, ${preset} view; arrow keys turn it`}
          onKeyDown={orbit}
        />
        <figcaption class="pointer-events-none absolute top-2 left-2 px-2 py-1 text-sm">
          <span class="font-medium">{title}</span>
          <span class="block text-xs text-soft">{expectedError}</span>
        </figcaption>
        {banner && <p class="banner">{banner}</p>}
        {attitude && <Directions attitude={attitude} />}
        {attitude && scaleKnown && <Bar bar={scaleBar(attitude.millimetresPerPixel, SCALE_BAR_PIXELS)} />}
        <Legend look={look} scaleKnown={scaleKnown} />
        {problem && (
          <div class="absolute inset-x-6 top-1/3">
            <Notice kind="bad">{problem}</Notice>
          </div>
        )}
      </div>
      <Toolbar side={side} preset={preset} turnTo={turnTo} look={look} toggle={toggle} />
    </figure>
  );
}
