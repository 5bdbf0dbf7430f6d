import { describe, expect, it } from "vitest";
import { commonSide, labelOf, patientLetter, presetView } from "./anatomy";
import { scaleBar } from "./scalebar";
import { fitted, panned, zoomedAt } from "./viewport";
import { draggedWindow, FULL_WINDOW, transferOf } from "./window";

describe("a grey window", () => {
  it("leaves the picture alone when it is full", () => {
    expect(transferOf(FULL_WINDOW)).toEqual({ slope: 1, intercept: 0 });
  });
  it("shows its level as middle grey, inverted or not", () => {
    for (const inverted of [false, true]) {
      const { slope, intercept } = transferOf({ level: 0.3, width: 0.2, inverted });
      expect(slope * 0.3 + intercept).toBeCloseTo(0.5);
      expect(slope * 0.4 + intercept).toBeCloseTo(inverted ? 0 : 1);
    }
  });
  it("never closes, however far one drags", () => {
    expect(draggedWindow(FULL_WINDOW, -1e6, 0).width).toBeGreaterThan(0);
    expect(draggedWindow(FULL_WINDOW, 0, 1e6).level).toBeLessThanOrEqual(1.5);
  });
});

describe("a viewport", () => {
  const start = fitted({ width: 200, height: 100 }, { width: 400, height: 400 });
  it("fits the whole picture, centred", () => {
    expect(start).toEqual({ scale: 2, x: 0, y: 100 });
  });
  it("keeps the point under the pointer while zooming", () => {
    const zoomed = zoomedAt(start, 3, 130, 170, 0.1);
    const pictureX = (130 - start.x) / start.scale;
    expect(zoomed.x + zoomed.scale * pictureX).toBeCloseTo(130);
  });
  it("does not zoom out beyond the smallest scale", () => {
    expect(zoomedAt(start, 0.001, 0, 0, 2).scale).toBe(2);
  });
  it("moves with the hand", () => {
    expect(panned(start, 5, -7)).toEqual({ scale: 2, x: 5, y: 93 });
  });
});

describe("a scale bar", () => {
  it("has a round length and fits", () => {
    expect(scaleBar(0.5, 120)).toEqual({ millimetres: 50, pixels: 100 });
  });
});

describe("anatomical directions", () => {
  it("puts a right bone's lateral side at the patient's right", () => {
    expect(patientLetter(presetView("lateral", "R"))).toBe("R");
    expect(patientLetter(presetView("medial", "R"))).toBe("L");
    expect(patientLetter(presetView("lateral", "L"))).toBe("L");
  });
  it("names the patient's sides where bones have two or none", () => {
    expect(labelOf("lateral", "L")).toBe("Lateral");
    expect(labelOf("lateral", null)).toBe("From the right");
    expect(patientLetter(presetView("lateral", null))).toBe("R");
  });
  it("takes a knee for right although a sacrum has no side, and a pelvis for neither", () => {
    expect(commonSide(["R", null, "R"])).toBe("R");
    expect(commonSide(["R", "L", null])).toBeNull();
    expect(commonSide([null])).toBeNull();
  });
  it("looks from the front in the anterior view and from the head in the superior one", () => {
    expect(patientLetter(presetView("anterior", "R"))).toBe("A");
    expect(patientLetter(presetView("superior", "R"))).toBe("H");
  });
});
