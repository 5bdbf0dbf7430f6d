// Directions of the patient in the 3D scene. GLB is y-up: x points to the patient's left, y to the head, z to the front.

export type Vector = readonly [number, number, number];
export type Side = "L" | "R" | null; // null: bones of both sides, or in the middle
export type Preset = "anterior" | "posterior" | "medial" | "lateral" | "superior";

export const PRESETS: readonly { name: Preset; key: string; label: string }[] = [
  { name: "anterior", key: "1", label: "Anterior" },
  { name: "posterior", key: "2", label: "Posterior" },
  { name: "medial", key: "3", label: "Medial" },
  { name: "lateral", key: "4", label: "Lateral" },
  { name: "superior", key: "5", label: "Superior" },
];

// Where there are two sides, or none, nothing is medial: the same views by the patient's own sides.
export function labelOf(preset: Preset, side: Side): string {
  if (side === null && preset === "lateral") return "From the right";
  if (side === null && preset === "medial") return "From the left";
  return PRESETS.find(({ name }) => name === preset)?.label ?? preset;
}

// The side that all bones share, those without one apart.
export function commonSide(sides: readonly (string | null)[]): Side {
  const [first, ...others] = [...new Set(sides.filter((side) => side !== null))];
  return (first === "L" || first === "R") && others.length === 0 ? first : null;
}

const TOWARDS_LETTER: readonly (readonly [Vector, string])[] = [
  [[1, 0, 0], "L"],
  [[-1, 0, 0], "R"],
  [[0, 1, 0], "H"],
  [[0, -1, 0], "F"],
  [[0, 0, 1], "A"],
  [[0, 0, -1], "P"],
];

// From where one looks at the bone; upright is towards the head, and from above the patient's front is below.
export function presetView(preset: Preset, side: Side): Vector {
  const lateral: Vector = side === "L" ? [1, 0, 0] : [-1, 0, 0];
  const from: Record<Preset, Vector> = {
    anterior: [0, 0, 1],
    posterior: [0, 0, -1],
    medial: [-lateral[0], 0, 0],
    lateral,
    superior: [0, 1, 0],
  };
  return from[preset];
}

// DICOM's letter for the patient direction nearest to a scene direction.
export function patientLetter(direction: Vector): string {
  const along = (other: Vector) => direction[0] * other[0] + direction[1] * other[1] + direction[2] * other[2];
  return TOWARDS_LETTER.reduce((best, next) => (along(next[0]) > along(best[0]) ? next : best))[1];
}
