// One file that somebody wants to send, with what they type about it.

export interface Typed {
  view: string;
  side: string;
  body_part: string;
  pixel_spacing_mm: string;
}

export interface Entry {
  key: number;
  file: File;
  isPicture: boolean;
  typed: Typed;
}

let lastKey = 0;

export function entryOf(file: File): Entry {
  const isPicture = /\.(png|jpe?g)$/i.test(file.name);
  const typed = { view: "", side: "", body_part: isPicture ? "FEMUR" : "", pixel_spacing_mm: "" };
  lastKey += 1;
  return { key: lastKey, file, isPicture, typed };
}

export function formOf(entries: Entry[], label: string): FormData {
  const form = new FormData();
  for (const { file } of entries) form.append("files", file);
  const facts = entries.map(({ typed }) => ({
    ...typed,
    pixel_spacing_mm: typed.pixel_spacing_mm ? Number(typed.pixel_spacing_mm) : null,
  }));
  form.append("description", JSON.stringify({ patient_id: label, facts }));
  return form;
}
