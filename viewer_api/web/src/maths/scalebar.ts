// A scale bar of a round length that takes about `wanted` screen pixels.

const ROUND_LENGTHS_MM = [1, 2, 5, 10, 20, 50, 100, 200, 500];

export interface ScaleBar {
  millimetres: number;
  pixels: number;
}

export function scaleBar(millimetresPerPixel: number, wanted: number): ScaleBar {
  const fits = ROUND_LENGTHS_MM.filter((length) => length / millimetresPerPixel <= wanted);
  const millimetres = fits.at(-1) ?? 1;
  return { millimetres, pixels: millimetres / millimetresPerPixel };
}
