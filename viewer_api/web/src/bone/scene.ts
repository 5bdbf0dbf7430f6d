// The 3D scene of one bone or several: loaded once, drawn only when something changed.

import {
  Box3,
  BufferAttribute,
  Color,
  DirectionalLight,
  HemisphereLight,
  type Material,
  Mesh,
  MeshStandardMaterial,
  OrthographicCamera,
  Scene,
  Sphere,
  Spherical,
  SRGBColorSpace,
  Vector2,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { type Preset, presetView, type Side, type Vector } from "../maths/anatomy";
import { IVORY } from "../words";

export interface Look {
  uncertainty: boolean; // colours by one standard deviation
  inferred: boolean; // hatch what no radiograph shows
}

export interface Attitude {
  right: Vector;
  up: Vector;
  millimetresPerPixel: number; // meaningful only where the study's scale is known
}

// The same stops and limits as in every picture that Bonecraft renders (pipeline/stages/palette.py).
const UNCERTAINTY_MM = { surest: 0.5, least: 4 };
const RAMP = ["#eaddc4", "#f4be5c", "#de683a", "#961c42"].map((stop) => new Color(stop));
const MARGIN = 1.02;
// Beside the camera, in its distances: right, up, back.
const LAMPS: readonly { colour: string; intensity: number; beside: Vector }[] = [
  { colour: "#fff4e2", intensity: 2.1, beside: [-0.75, 0.75, 0] },
  { colour: "#bcd3f0", intensity: 0.7, beside: [1.6, -0.3, -0.4] },
];
const DISTANCE = 4; // of the camera, in radii of the bone
const TURN_SECONDS = 0.35;

export class BoneScene {
  readonly #renderer: WebGLRenderer;
  readonly #scene = new Scene();
  readonly #camera = new OrthographicCamera();
  readonly #controls: OrbitControls;
  readonly #bones = new Map<string, Mesh>();
  readonly #switches = { uncertainty: { value: 0 }, inferred: { value: 0 } };
  readonly #watch: ResizeObserver;
  #radius = 1;
  #pending = 0;
  #turn = 0;

  constructor(
    readonly canvas: HTMLCanvasElement,
    readonly onAttitude: (attitude: Attitude) => void,
  ) {
    this.#renderer = new WebGLRenderer({ canvas, antialias: true, preserveDrawingBuffer: true });
    this.#renderer.outputColorSpace = SRGBColorSpace;
    this.#renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.#controls = new OrbitControls(this.#camera, canvas);
    this.#controls.addEventListener("change", () => this.draw());
    this.#watch = new ResizeObserver(() => this.#resize());
    this.#watch.observe(canvas.parentElement ?? canvas);
  }

  async load(url: string, colours: ReadonlyMap<string, string>): Promise<void> {
    const model = (await new GLTFLoader().loadAsync(url)).scene;
    model.traverse((part) => {
      if (!(part instanceof Mesh)) return;
      (part.material as Material).dispose();
      prepare(part);
      const name = String(part.userData.name); // the node's own: the loader makes names unique by numbers
      part.material = boneMaterial(this.#switches, colours.get(name) ?? IVORY);
      this.#bones.set(name, part);
    });
    const several = this.#bones.size > 1;
    const box = several ? seenBox([...this.#bones.values()]) : new Box3().setFromObject(model);
    const sphere = box.getBoundingSphere(new Sphere());
    model.position.sub(sphere.center);
    this.#radius = sphere.radius;
    this.#scene.add(model);
    this.#addLights();
    this.#resize();
  }

  look({ uncertainty, inferred }: Look): void {
    this.#switches.uncertainty.value = uncertainty ? 1 : 0;
    this.#switches.inferred.value = inferred ? 1 : 0;
    this.draw();
  }

  hide(hidden: ReadonlySet<string>): void {
    for (const [name, bone] of this.#bones) bone.visible = !hidden.has(name);
    this.draw();
  }

  view(preset: Preset, side: Side, animate: boolean): void {
    const end = new Vector3(...presetView(preset, side)).multiplyScalar(this.#radius * DISTANCE);
    this.#camera.zoom = 1;
    this.#controls.target.set(0, 0, 0);
    cancelAnimationFrame(this.#turn);
    if (animate) this.#turnTo(end);
    else this.#place(end);
  }

  orbit(azimuth: number, elevation: number): void {
    const from = new Spherical().setFromVector3(this.#camera.position);
    from.theta += azimuth;
    from.phi += elevation;
    this.#place(new Vector3().setFromSpherical(from.makeSafe()));
  }

  draw(): void {
    if (this.#pending) return;
    this.#pending = requestAnimationFrame(() => {
      this.#pending = 0;
      this.#renderer.render(this.#scene, this.#camera);
      this.onAttitude(this.#attitude());
    });
  }

  dispose(): void {
    cancelAnimationFrame(this.#pending);
    cancelAnimationFrame(this.#turn);
    this.#watch.disconnect();
    this.#controls.dispose();
    this.#renderer.dispose();
  }

  // Lamps go with the viewer, as on a photographer's table; the shadows show the relief from every side.
  #addLights(): void {
    for (const { colour, intensity, beside } of LAMPS) {
      const lamp = new DirectionalLight(colour, intensity);
      lamp.position.set(...beside).multiplyScalar(this.#radius * DISTANCE);
      this.#camera.add(lamp);
    }
    this.#scene.add(this.#camera, new HemisphereLight("#dfe8f2", "#2a2420", 0.55));
  }

  #place(position: Vector3): void {
    this.#camera.position.copy(position);
    this.#camera.updateProjectionMatrix();
    this.#controls.update();
    this.draw();
  }

  #turnTo(end: Vector3): void {
    const start = this.#camera.position.clone().normalize();
    const finish = end.clone().normalize();
    const began = performance.now();
    const step = () => {
      const t = Math.min(1, (performance.now() - began) / 1000 / TURN_SECONDS);
      const direction = start.clone().lerp(finish, t * t * (3 - 2 * t));
      // Half-way between opposite views the straight line passes through the bone: go round its side instead.
      if (direction.lengthSq() < 1e-2) direction.set(1, 0, 0.2);
      this.#place(direction.setLength(end.length()));
      if (t < 1) this.#turn = requestAnimationFrame(step);
      else this.#place(end);
    };
    step();
  }

  #resize(): void {
    const frame = this.canvas.parentElement;
    if (!frame || frame.clientWidth === 0) return;
    this.#renderer.setSize(frame.clientWidth, frame.clientHeight, false);
    const radius = this.#radius * MARGIN;
    const aspect = frame.clientWidth / frame.clientHeight;
    const [halfWidth, halfHeight] = aspect > 1 ? [radius * aspect, radius] : [radius, radius / aspect];
    Object.assign(this.#camera, { left: -halfWidth, right: halfWidth, top: halfHeight, bottom: -halfHeight });
    Object.assign(this.#camera, { near: radius * 0.1, far: radius * 12 });
    this.#camera.updateProjectionMatrix();
    this.draw();
  }

  #attitude(): Attitude {
    const axes = this.#camera.matrixWorld.elements;
    const metresHigh = (this.#camera.top - this.#camera.bottom) / this.#camera.zoom;
    return {
      right: [axes[0], axes[1], axes[2]],
      up: [axes[4], axes[5], axes[6]],
      millimetresPerPixel: (metresHigh * 1000) / Math.max(1, this.canvas.clientHeight),
    };
  }
}

// GLB names its own attributes with a leading underscore, which three.js keeps in lower case. The deviation's name says
// its unit; results of the first version call it by its whole name.
const STORED = {
  deviation: ["_sd_mm", "_sd", "_standard_deviation"],
  inferred: ["_inferred"],
} as const;

function prepare(part: Mesh): void {
  const { geometry } = part;
  const count = geometry.getAttribute("position").count;
  for (const [name, stored] of Object.entries(STORED)) {
    const found = stored.map((each) => geometry.getAttribute(each)).find((each) => each !== undefined);
    geometry.setAttribute(name, found ?? new BufferAttribute(new Float32Array(count), 1));
  }
  if (!geometry.getAttribute("normal")) geometry.computeVertexNormals();
}

// Of what a film shows: beside a pelvis, femora that are inferred down to the knee would make it small.
function seenBox(bones: readonly Mesh[]): Box3 {
  const [seen, all] = [new Box3(), new Box3()];
  const point = new Vector3();
  for (const { geometry } of bones) {
    const positions = geometry.getAttribute("position");
    const inferred = geometry.getAttribute("inferred");
    for (let k = 0; k < positions.count; k++) {
      point.fromBufferAttribute(positions, k);
      all.expandByPoint(point);
      if (inferred.getX(k) < 0.5) seen.expandByPoint(point);
    }
  }
  return seen.isEmpty() ? all : seen;
}

interface Switches {
  uncertainty: { value: number };
  inferred: { value: number };
}

const VERTEX_ATTRIBUTES = `
attribute float deviation;
attribute float inferred;
varying float vDeviation;
varying float vInferred;`;

const FRAGMENT_UNIFORMS = `
uniform vec3 ramp[4];
uniform vec2 limits;
uniform float showUncertainty;
uniform float showInferred;
varying float vDeviation;
varying float vInferred;
vec3 rampColour(float place) {
  vec3 low = mix(ramp[0], ramp[1], clamp(place / 0.35, 0.0, 1.0));
  vec3 middle = mix(low, ramp[2], clamp((place - 0.35) / 0.35, 0.0, 1.0));
  return mix(middle, ramp[3], clamp((place - 0.7) / 0.3, 0.0, 1.0));
}`;

// Hatching in lines fixed to the screen: it reads as a mark, never as a texture of the bone.
const FRAGMENT_COLOUR = `
float place = clamp((vDeviation - limits.x) / (limits.y - limits.x), 0.0, 1.0);
diffuseColor.rgb = mix(diffuseColor.rgb, rampColour(place), showUncertainty);
float stripe = smoothstep(0.35, 0.65, abs(fract((gl_FragCoord.x + gl_FragCoord.y) / 10.0) - 0.5) * 2.0);
float mark = showInferred * smoothstep(0.4, 0.6, vInferred);
diffuseColor.rgb = mix(diffuseColor.rgb, vec3(0.30, 0.40, 0.56), mark * (0.25 + 0.35 * stripe));`;

function boneMaterial(switches: Switches, colour: string): MeshStandardMaterial {
  const material = new MeshStandardMaterial({ color: colour, roughness: 0.62, metalness: 0 });
  material.onBeforeCompile = (shader) => {
    Object.assign(shader.uniforms, {
      ramp: { value: RAMP },
      limits: { value: new Vector2(UNCERTAINTY_MM.surest, UNCERTAINTY_MM.least) },
      showUncertainty: switches.uncertainty,
      showInferred: switches.inferred,
    });
    shader.vertexShader = shader.vertexShader
      .replace("#include <common>", `#include <common>${VERTEX_ATTRIBUTES}`)
      .replace("#include <begin_vertex>", "#include <begin_vertex>\nvDeviation = deviation;\nvInferred = inferred;");
    shader.fragmentShader = shader.fragmentShader
      .replace("#include <common>", `#include <common>${FRAGMENT_UNIFORMS}`)
      .replace("#include <color_fragment>", `#include <color_fragment>${FRAGMENT_COLOUR}`);
  };
  return material;
}
