// A file as a person should see it before sending it, and the fields for what it does not say.

import { useEffect, useState } from "preact/hooks";
import { call, messageOf } from "../api";
import { Choice, TextField } from "../components/field";
import type { PictureFacts } from "../types";
import { sizeOf } from "../words";
import type { Entry, Typed } from "./entry";

const BODY_PARTS = ["FEMUR", "HIP", "THIGH", "KNEE", "PELVIS"];

interface Shown {
  facts: PictureFacts | undefined;
  picture: string;
  problem: string;
  fail: () => void;
}

// Pictures are shown by the browser itself; DICOM is rendered by the server, which keeps nothing of it.
function usePreview({ file, isPicture }: Entry): Shown {
  const [facts, setFacts] = useState<PictureFacts>();
  const [picture, setPicture] = useState("");
  const [problem, setProblem] = useState("");
  useEffect(() => {
    if (isPicture) {
      const url = URL.createObjectURL(file);
      setPicture(url);
      return () => URL.revokeObjectURL(url);
    }
    const form = new FormData();
    form.append("file", file);
    call<PictureFacts>("POST", "/api/uploads/preview", form).then(
      (answer) => {
        setFacts(answer);
        setPicture(answer.picture);
      },
      (error) => setProblem(messageOf(error)),
    );
  }, [file, isPicture]);
  return { facts, picture, problem, fail: () => setProblem("This file is not a picture that can be shown.") };
}

function Preview({ name, shown }: { name: string; shown: Shown }) {
  const { picture, problem, fail } = shown;
  if (problem) return <p class="p-4 text-center text-sm text-bad">{problem}</p>;
  if (!picture) return <p class="text-sm text-faint">Rendering…</p>;
  return <img src={picture} alt={`Preview of ${name}`} class="max-h-80 max-w-full object-contain" onError={fail} />;
}

interface FieldsProps {
  entry: Entry;
  facts: PictureFacts | undefined;
  change: (typed: Typed) => void;
}

function Fields({ entry, facts, change }: FieldsProps) {
  const { typed, isPicture } = entry;
  const set = (part: keyof Typed) => (value: string) => change({ ...typed, [part]: value });
  const says = (value: string | undefined) => (value ? `As in the file: ${value}` : "Not known");
  return (
    <div class="grid gap-3 sm:grid-cols-2">
      <Choice label="View" value={typed.view} onValue={set("view")}>
        <option value="">{says(facts?.view)}</option>
        <option value="AP">AP</option>
        <option value="PA">PA</option>
        <option value="LATERAL">Lateral</option>
      </Choice>
      <Choice label="Side" value={typed.side} onValue={set("side")}>
        <option value="">{says(facts?.side)}</option>
        <option value="R">Right</option>
        <option value="L">Left</option>
      </Choice>
      <Choice label="Body part" value={typed.body_part} onValue={set("body_part")}>
        <option value="">{says(facts?.body_part)}</option>
        {BODY_PARTS.map((part) => (
          <option key={part} value={part}>
            {part.charAt(0) + part.slice(1).toLowerCase()}
          </option>
        ))}
      </Choice>
      <TextField
        label="Pixel spacing, mm"
        type="number"
        step="any"
        min="0.02"
        max="2"
        placeholder={facts?.scale || (isPicture || facts ? "none: shape only" : "")}
        value={typed.pixel_spacing_mm}
        onValue={set("pixel_spacing_mm")}
      />
    </div>
  );
}

interface CardProps {
  entry: Entry;
  change: (typed: Typed) => void;
  drop: () => void;
}

export function Card({ entry, change, drop }: CardProps) {
  const shown = usePreview(entry);
  const { facts } = shown;
  const { name, size } = entry.file;
  return (
    <article class="panel grid overflow-hidden sm:grid-cols-[16rem_1fr]" aria-label={name}>
      <div class="flex h-72 items-center justify-center bg-black sm:h-auto sm:min-h-72">
        <Preview name={name} shown={shown} />
      </div>
      <div class="p-4">
        <div class="mb-3 flex items-start gap-3">
          <div class="min-w-0 flex-1">
            <p class="truncate font-medium">{name}</p>
            <p class="text-xs text-faint">
              {sizeOf(size)}
              {facts && ` · ${facts.modality} ${facts.columns} × ${facts.rows}`}
            </p>
          </div>
          <button type="button" class="toggle" onClick={drop} aria-label={`Leave out ${name}`}>
            Leave out
          </button>
        </div>
        <Fields entry={entry} facts={facts} change={change} />
        <p class="mt-2 text-xs text-faint">
          {entry.isPicture
            ? "Spacing in the plane of the bone, from a ruler or ball beside it. Without it, the result is shape only."
            : "What you type replaces what the file says, in a copy that says it was typed."}
        </p>
        {facts?.notes.map((note) => (
          <p key={note} class="mt-1 text-xs text-warn">
            {note}
          </p>
        ))}
      </div>
    </article>
  );
}
