// Upload: every file is looked at before anything is stored, and what its file does not say is typed beside it.

import { useState } from "preact/hooks";
import { call, messageOf } from "../api";
import { TextField } from "../components/field";
import { Notice } from "../components/notice";
import { useTitle } from "../hooks";
import { navigate } from "../router";
import { useSession } from "../session";
import { Card } from "../upload/card";
import { DropZone } from "../upload/dropzone";
import { type Entry, entryOf, formOf } from "../upload/entry";

interface Answer {
  studies: string[];
  problems: { name: string; sentence: string }[];
}

export function UploadView() {
  useTitle("Upload");
  const { session } = useSession();
  const [entries, setEntries] = useState<Entry[]>([]);
  const [label, setLabel] = useState("");
  const [problems, setProblems] = useState<string[]>([]);
  const [stored, setStored] = useState("");
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
      setProblems(answer.problems.map(({ name, sentence }) => `${name}: ${sentence}`));
      setStored(study ?? "");
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
      {stored && (
        <Notice kind="good">
          The other files were stored.{" "}
          <a class="link" href={`/studies/${stored}`}>
            To their study
          </a>
        </Notice>
      )}
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
