// Upload: every file is looked at before anything is stored, and what its file does not say is typed beside it.

import { useEffect, useRef, useState } from "preact/hooks";
import { call, messageOf } from "../api";
import { Choice, TextField } from "../components/field";
import { Notice } from "../components/notice";
import { useTitle } from "../hooks";
import { navigate } from "../router";
import { useSession } from "../session";
import type { PictureFacts } from "../types";
import { sizeOf } from "../words";

const ACCEPTED = ".png,.jpg,.jpeg,.dcm,image/png,image/jpeg,application/dicom";
const BODY_PARTS = ["FEMUR", "HIP", "THIGH", "KNEE", "PELVIS"];

interface Typed {
  view: string;
  side: string;
  body_part: string;
  pixel_spacing_mm: string;
}

interface Entry {
  key: number;
  file: File;
  isPicture: boolean;
  typed: Typed;
}

interface Answer {
  studies: string[];
  problems: { name: string; sentence: string }[];
  note: string;
}

let lastKey = 0;

function entryOf(file: File): Entry {
  const isPicture = /\.(png|jpe?g)$/i.test(file.name);
  const typed = { view: "", side: "", body_part: isPicture ? "FEMUR" : "", pixel_spacing_mm: "" };
  lastKey += 1;
  return { key: lastKey, file, isPicture, typed };
}

// Pictures are shown by the browser itself; DICOM is rendered by the server, which keeps nothing of it.
function usePreview({ file, isPicture }: Entry) {
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

interface CardProps {
  entry: Entry;
  change: (typed: Typed) => void;
  drop: () => void;
}

function Card({ entry, change, drop }: CardProps) {
  const { facts, picture, problem, fail } = usePreview(entry);
  const { typed, isPicture } = entry;
  const set = (part: keyof Typed) => (value: string) => change({ ...typed, [part]: value });
  const says = (value: string | undefined) => (value ? `As in the file: ${value}` : "Not known");
  return (
    <article class="panel grid overflow-hidden sm:grid-cols-[16rem_1fr]" aria-label={entry.file.name}>
      <div class="flex h-72 items-center justify-center bg-black sm:h-auto sm:min-h-72">
        {problem ? (
          <p class="p-4 text-center text-sm text-bad">{problem}</p>
        ) : picture ? (
          <img
            src={picture}
            alt={`Preview of ${entry.file.name}`}
            class="preview max-h-80 max-w-full object-contain"
            onError={fail}
          />
        ) : (
          <p class="text-sm text-faint">Rendering…</p>
        )}
      </div>
      <div class="p-4">
        <div class="mb-3 flex items-start gap-3">
          <div class="min-w-0 flex-1">
            <p class="truncate font-medium">{entry.file.name}</p>
            <p class="text-xs text-faint">
              {sizeOf(entry.file.size)}
              {facts && ` · ${facts.modality} ${facts.columns} × ${facts.rows}`}
            </p>
          </div>
          <button type="button" class="toggle" onClick={drop} aria-label={`Leave out ${entry.file.name}`}>
            Leave out
          </button>
        </div>
        <div class="grid gap-3 sm:grid-cols-2">
          <Choice label="View" value={typed.view} onValue={set("view")}>
            <option value="">{isPicture ? "Not known" : says(facts?.view)}</option>
            <option value="AP">AP</option>
            <option value="PA">PA</option>
            <option value="LATERAL">Lateral</option>
          </Choice>
          <Choice label="Side" value={typed.side} onValue={set("side")}>
            <option value="">{isPicture ? "Not known" : says(facts?.side)}</option>
            <option value="R">Right</option>
            <option value="L">Left</option>
          </Choice>
          <Choice label="Body part" value={typed.body_part} onValue={set("body_part")}>
            <option value="">{isPicture ? "Not known" : says(facts?.body_part)}</option>
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
            placeholder={facts?.scale || "none: shape only"}
            value={typed.pixel_spacing_mm}
            onValue={set("pixel_spacing_mm")}
          />
        </div>
        <p class="mt-2 text-xs text-faint">
          {isPicture
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

function DropZone({ add }: { add: (files: FileList | null) => void }) {
  const [over, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  return (
    <section
      aria-label="Files"
      class={`rounded-xl border-2 border-dashed px-6 py-10 text-center ${over ? "border-bone bg-raised" : "border-line"}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        add(event.dataTransfer?.files ?? null);
      }}
    >
      <p class="mb-3 text-soft">Drop the radiographs of one study here: DICOM, PNG or JPEG.</p>
      <button type="button" class="button" onClick={() => input.current?.click()}>
        Choose files
      </button>
      <input
        ref={input}
        type="file"
        multiple
        accept={ACCEPTED}
        class="sr-only"
        tabIndex={-1}
        aria-label="Radiographs"
        onChange={(event) => {
          add(event.currentTarget.files);
          event.currentTarget.value = "";
        }}
      />
    </section>
  );
}

function formOf(entries: Entry[], label: string): FormData {
  const form = new FormData();
  for (const { file } of entries) form.append("files", file);
  const facts = entries.map(({ typed }) => ({
    ...typed,
    pixel_spacing_mm: typed.pixel_spacing_mm ? Number(typed.pixel_spacing_mm) : null,
  }));
  form.append("description", JSON.stringify({ patient_id: label, facts }));
  return form;
}

export function UploadView() {
  useTitle("Upload");
  const { session } = useSession();
  const [entries, setEntries] = useState<Entry[]>([]);
  const [label, setLabel] = useState("");
  const [problems, setProblems] = useState<string[]>([]);
  const [busy, setBusy] = useState(false);
  const add = (files: FileList | null) => setEntries((now) => [...now, ...Array.from(files ?? [], entryOf)]);
  const send = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblems([]);
    try {
      const answer = await call<Answer>("POST", "/api/uploads", formOf(entries, label));
      const [study] = answer.studies;
      if (study && answer.problems.length === 0) return navigate(`/studies/${study}`);
      setProblems(
        [...answer.problems.map(({ name, sentence }) => `${name}: ${sentence}`), answer.note].filter(Boolean),
      );
      setEntries((now) => now.filter(({ file }) => answer.problems.some(({ name }) => name === file.name)));
    } catch (error) {
      setProblems([messageOf(error)]);
    }
    setBusy(false);
  };
  const unscaled = entries.some(({ isPicture, typed }) => isPicture && !typed.pixel_spacing_mm);
  return (
    <form class="mx-auto max-w-4xl space-y-4" onSubmit={send}>
      <h1 class="text-xl font-semibold">Upload radiographs</h1>
      <DropZone add={add} />
      {entries.map((entry) => (
        <Card
          key={entry.key}
          entry={entry}
          change={(typed) => setEntries((now) => now.map((each) => (each === entry ? { ...each, typed } : each)))}
          drop={() => setEntries((now) => now.filter((each) => each !== entry))}
        />
      ))}
      {entries.some(({ isPicture }) => isPicture) && (
        <div class="panel p-4">
          <TextField
            label="Patient ID for the pictures"
            hint="Pictures do not say whom they show. A pseudonym is best; empty is allowed."
            value={label}
            onValue={setLabel}
          />
        </div>
      )}
      {unscaled && <Notice kind="warn">{session.shape_only}</Notice>}
      {problems.map((problem) => (
        <Notice key={problem} kind="bad">
          {problem}
        </Notice>
      ))}
      {entries.length > 0 && (
        <div class="flex items-center justify-end gap-4">
          <span class="text-sm text-faint">Nothing is stored yet.</span>
          <button type="submit" class="button button-main" disabled={busy}>
            {busy ? "Sending…" : `Send ${entries.length} ${entries.length === 1 ? "radiograph" : "radiographs"}`}
          </button>
        </div>
      )}
    </form>
  );
}
