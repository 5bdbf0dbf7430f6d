// The 3D scene of one bone: loaded once, drawn only when something changed.

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
  SRGBColorSpace,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { type Preset, presetView, type Side, type Vector } from "../maths/anatomy";

export interface Look {
  uncertainty: boolean; // vertex colours by expected error
  inferred: boolean; // hatch what no radiograph shows
}

export interface Attitude {
  right: Vector;
  up: Vector;
  millimetresPerPixel: number; // meaningful only where the study's scale is known
}

const BONE_COLOUR = new Color("#e6d8bd");
const MARGIN = 1.12;
const DISTANCE = 4; // of the camera, in radii of the bone
const TURN_SECONDS = 0.35;

export class BoneScene {
  readonly #renderer: WebGLRenderer;
  readonly #scene = new Scene();
  readonly #camera = new OrthographicCamera();
  readonly #controls: OrbitControls;
  readonly #material: MeshStandardMaterial;
  readonly #marking = { value: 0 };
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
    this.#material = markableMaterial(this.#marking);
    this.#addLights();
    this.#controls = new OrbitControls(this.#camera, canvas);
    this.#controls.addEventListener("change", () => this.draw());
    this.#watch = new ResizeObserver(() => this.#resize());
    this.#watch.observe(canvas.parentElement ?? canvas);
  }

  async load(url: string): Promise<void> {
    const model = (await new GLTFLoader().loadAsync(url)).scene;
    model.traverse((part) => {
      if (!(part instanceof Mesh)) return;
      (part.material as Material).dispose();
      prepare(part);
      part.material = this.#material;
    });
    const sphere = new Box3().setFromObject(model).getBoundingSphere(new Sphere());
    model.position.sub(sphere.center);
    this.#radius = sphere.radius;
    this.#scene.add(model);
    this.#resize();
  }

  look({ uncertainty, inferred }: Look): void {
    this.#material.vertexColors = uncertainty;
    this.#material.color = uncertainty ? new Color("white") : BONE_COLOUR;
    this.#material.needsUpdate = true;
    this.#marking.value = inferred ? 1 : 0;
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

  #addLights(): void {
    const key = new DirectionalLight("#fff4e2", 2.3);
    key.position.set(-0.6, 0.8, 1);
    const fill = new DirectionalLight("#c8dcf5", 0.7);
    fill.position.set(1, -0.3, 0.5);
    this.#camera.add(key, fill);
    this.#scene.add(this.#camera, new HemisphereLight("#dfe8f2", "#3a3026", 0.75));
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

// GLB names custom attributes with a leading underscore, which shaders reserve.
function prepare(part: Mesh): void {
  const { geometry } = part;
  const count = geometry.getAttribute("position").count;
  const inferred = geometry.getAttribute("_inferred") ?? geometry.getAttribute("_INFERRED");
  geometry.setAttribute("inferred", inferred ?? new BufferAttribute(new Float32Array(count), 1));
  if (!geometry.getAttribute("normal")) geometry.computeVertexNormals();
}

// A standard material that can hatch the vertices that are inferred, in lines fixed to the screen.
function markableMaterial(marking: { value: number }): MeshStandardMaterial {
  const material = new MeshStandardMaterial({ color: BONE_COLOUR, roughness: 0.62, metalness: 0 });
  material.onBeforeCompile = (shader) => {
    shader.uniforms.marking = marking;
    shader.vertexShader = shader.vertexShader
      .replace("#include <common>", "#include <common>\nattribute float inferred;\nvarying float vInferred;")
      .replace("#include <begin_vertex>", "#include <begin_vertex>\nvInferred = inferred;");
    shader.fragmentShader = shader.fragmentShader
      .replace("#include <common>", "#include <common>\nuniform float marking;\nvarying float vInferred;")
      .replace(
        "#include <color_fragment>",
        `#include <color_fragment>
        float stripe = smoothstep(0.45, 0.55, abs(fract((gl_FragCoord.x + gl_FragCoord.y) / 9.0) - 0.5) * 2.0);
        float hatch = marking * step(0.5, vInferred) * stripe;
        diffuseColor.rgb = mix(diffuseColor.rgb, vec3(0.12, 0.16, 0.22), 0.55 * hatch);`,
      );
  };
  return material;
}
