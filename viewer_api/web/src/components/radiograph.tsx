// A radiograph in its frame: window and level, zoom, pan, and the reconstruction's contour on it.

import { useEffect, useId, useMemo, useRef, useState } from "preact/hooks";
import { scaleBar } from "../maths/scalebar";
import { fitted, panned, type Size, type Viewport, zoomedAt } from "../maths/viewport";
import { draggedWindow, FULL_WINDOW, type GreyWindow, transferOf } from "../maths/window";
import type { Point } from "../types";
import { Bar } from "./bar";

const SCALE_BAR_PIXELS = 130;
const WHEEL_STEP = 1.0015;
const KEY_STEP = 20; // pixels of dragging that one press of an arrow key stands for
const ARROWS: Record<string, readonly [number, number]> = {
  ArrowLeft: [-KEY_STEP, 0],
  ArrowRight: [KEY_STEP, 0],
  ArrowUp: [0, -KEY_STEP],
  ArrowDown: [0, KEY_STEP],
};
const ZOOMS: Record<string, number> = { "+": 1.25, "-": 0.8 };

export interface Contour {
  name: string;
  title: string;
  colour: string;
  polygons: Point[][];
}

interface RadiographProps {
  picture: string;
  title: string;
  note: string;
  contours: Contour[];
  contourShown: boolean;
  inverted: boolean;
  size: Size | null; // of the source in pixels, which the contour counts; null: the picture's own
  mmPerPixel: number | null;
  banner: string;
  round: number; // a new number resets window, zoom and pan
}

type Frame = { current: HTMLDivElement | null };

function useFrameSize(frame: Frame): Size {
  const [size, setSize] = useState<Size>({ width: 0, height: 0 });
  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const watch = new ResizeObserver(() => setSize({ width: element.clientWidth, height: element.clientHeight }));
    watch.observe(element);
    return () => watch.disconnect();
  }, [frame]);
  return size;
}

// What hands do to a picture: the state, and the handlers that change it.
function useHandling(frame: Frame, size: Size, round: number) {
  const frameSize = useFrameSize(frame);
  const [moved, setMoved] = useState<Viewport | null>(null);
  const [grey, setGrey] = useState<GreyWindow>(FULL_WINDOW);
  const fit = fitted(size, frameSize);
  const reset = () => {
    setMoved(null);
    setGrey(FULL_WINDOW);
  };
  // A new round is what resets.
  useEffect(reset, [round]);
  const zoom = (factor: number, x: number, y: number) =>
    setMoved((now) => zoomedAt(now ?? fit, factor, x, y, fit.scale / 2));

  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const roll = (event: WheelEvent) => {
      event.preventDefault();
      const box = element.getBoundingClientRect();
      zoom(WHEEL_STEP ** -event.deltaY, event.clientX - box.left, event.clientY - box.top);
    };
    // Not as a property: the browser would take it for passive, and the page would scroll too.
    element.addEventListener("wheel", roll, { passive: false });
    return () => element.removeEventListener("wheel", roll);
  });

  const drag = (event: PointerEvent) => {
    if (event.buttons === 0) return;
    const panning = event.buttons !== 1 || event.shiftKey;
    if (panning) setMoved((now) => panned(now ?? fit, event.movementX, event.movementY));
    else setGrey((now) => draggedWindow(now, event.movementX, event.movementY));
  };
  const press = (event: KeyboardEvent) => {
    const arrow = ARROWS[event.key];
    const factor = ZOOMS[event.key];
    if (arrow) setGrey((now) => draggedWindow(now, ...arrow));
    if (factor) zoom(factor, frameSize.width / 2, frameSize.height / 2);
    if (arrow || factor) event.preventDefault();
  };
  return { viewport: moved ?? fit, grey, reset, drag, press };
}

function GreyFilter({ id, window }: { id: string; window: GreyWindow }) {
  const { slope, intercept } = transferOf(window);
  return (
    <svg width="0" height="0" class="absolute" aria-hidden="true">
      <filter id={id} color-interpolation-filters="sRGB">
        <feComponentTransfer>
          <feFuncR type="linear" slope={slope} intercept={intercept} />
          <feFuncG type="linear" slope={slope} intercept={intercept} />
          <feFuncB type="linear" slope={slope} intercept={intercept} />
        </feComponentTransfer>
      </filter>
    </svg>
  );
}

// The contour counts pixel centres, a picture's coordinates begin at the first pixel's corner.
function pathOf(polygons: Point[][]): string {
  return polygons
    .map((polygon) => `M${polygon.map(([column, row]) => `${column + 0.5} ${row + 0.5}`).join("L")}Z`)
    .join("");
}

// A dark edge under the line keeps it legible on white bone as on black air.
function Outline({ polygons, colour }: Contour) {
  const path = useMemo(() => pathOf(polygons), [polygons]);
  return (
    <g>
      <path d={path} class="contour-line stroke-black/55" stroke-width="4" />
      <path d={path} class="contour-line" stroke={colour} stroke-width="1.8" />
    </g>
  );
}

function Outlines({ contours, size }: { contours: Contour[]; size: Size }) {
  return (
    <svg
      class="contour absolute inset-0 overflow-visible"
      viewBox={`0 0 ${size.width} ${size.height}`}
      role="img"
      aria-label={`Outline of the reconstruction: ${contours.map(({ title }) => title).join(", ")}`}
    >
      {contours.map((contour) => (
        <Outline key={contour.name} {...contour} />
      ))}
    </svg>
  );
}

export function Radiograph(props: RadiographProps) {
  const { picture, title, note, contours, contourShown, inverted, mmPerPixel, banner, round } = props;
  const filter = `grey${useId().replace(/[^a-z0-9]/gi, "")}`;
  const frame = useRef<HTMLDivElement>(null);
  const [natural, setNatural] = useState<Size | null>(null);
  const size = props.size ?? natural ?? { width: 1, height: 1 };
  const { viewport, grey, reset, drag, press } = useHandling(frame, size, round);
  return (
    <figure class="relative h-full min-h-0 overflow-hidden bg-black">
      <div
        ref={frame}
        role="application"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: an application takes keys (WAI-ARIA 1.2, 5.4)
        tabIndex={0}
        aria-label={`${title}: drag or arrow keys for window and level, wheel or + and - to zoom`}
        onKeyDown={press}
        class="absolute inset-0 cursor-crosshair touch-none select-none"
        onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
        onPointerMove={drag}
        onContextMenu={(event) => event.preventDefault()}
        onDblClick={reset}
      >
        <GreyFilter id={filter} window={{ ...grey, inverted }} />
        <div
          class="absolute top-0 left-0 origin-top-left"
          style={{
            width: `${size.width}px`,
            height: `${size.height}px`,
            transform: `translate(${viewport.x}px, ${viewport.y}px) scale(${viewport.scale})`,
          }}
        >
          <img
            src={picture}
            alt={`Radiograph, ${title}`}
            draggable={false}
            class="block h-full w-full max-w-none"
            style={{ filter: `url(#${filter})` }}
            onLoad={({ currentTarget }) =>
              setNatural({ width: currentTarget.naturalWidth, height: currentTarget.naturalHeight })
            }
          />
          {contourShown && contours.length > 0 && <Outlines contours={contours} size={size} />}
        </div>
      </div>
      {!natural && (
        <p class="pointer-events-none absolute inset-x-0 top-1/2 text-center text-sm text-faint">Loading…</p>
      )}
      <figcaption class="pointer-events-none absolute top-2 left-2 rounded bg-black/60 px-2 py-1 text-sm">
        <span class="font-medium">{title}</span>
        <span class="block text-xs text-soft">{note}</span>
      </figcaption>
      {banner && <p class="banner">{banner}</p>}
      {mmPerPixel !== null && <Bar bar={scaleBar(mmPerPixel / viewport.scale, SCALE_BAR_PIXELS)} />}
    </figure>
  );
}
