// Where a picture lies in its frame: screen = offset + scale * picture (CSS pixels).

export interface Viewport {
  scale: number;
  x: number;
  y: number;
}

export interface Size {
  width: number;
  height: number;
}

const LARGEST_SCALE = 16;

export function fitted(picture: Size, frame: Size): Viewport {
  const scale = Math.min(frame.width / picture.width, frame.height / picture.height);
  return { scale, x: (frame.width - picture.width * scale) / 2, y: (frame.height - picture.height * scale) / 2 };
}

// The point under the pointer stays under it.
export function zoomedAt(viewport: Viewport, factor: number, x: number, y: number, smallest: number): Viewport {
  const scale = Math.min(LARGEST_SCALE, Math.max(smallest, viewport.scale * factor));
  const grown = scale / viewport.scale;
  return { scale, x: x - (x - viewport.x) * grown, y: y - (y - viewport.y) * grown };
}

export function panned(viewport: Viewport, across: number, down: number): Viewport {
  return { ...viewport, x: viewport.x + across, y: viewport.y + down };
}
