// How long a study waits for further views: in general, and for single body parts.

import { useEffect, useState } from "preact/hooks";
import { TextField } from "../components/field";
import { Tick } from "../components/tick";
import type { Administration, PartWait } from "../types";
import { Confirmation, useProposal } from "./proposal";

type Waits = Pick<Administration, "quiet_seconds" | "maximum_wait_seconds" | "waits">;

const NEW_PART: PartWait = { body_part: "", quiet_seconds: null, maximum_wait_seconds: null, by_content: true };

// Empty: as for other body parts.
const secondsOf = (text: string): number | null => (text.trim() === "" ? null : Number(text));
const textOf = (seconds: number | null): string => (seconds === null ? "" : String(seconds));

interface PartProps {
  part: PartWait;
  change: (part: PartWait) => void;
  remove: () => void;
}

function Part({ part, change, remove }: PartProps) {
  return (
    <div class="grid items-end gap-3 border-t border-line pt-3 sm:grid-cols-[1fr_1fr_1fr_auto_auto]">
      <TextField
        label="Body part"
        required
        placeholder="KNEE"
        value={part.body_part}
        onValue={(body_part) => change({ ...part, body_part })}
      />
      <TextField
        label="Quiet for, seconds"
        type="number"
        placeholder="as above"
        value={textOf(part.quiet_seconds)}
        onValue={(text) => change({ ...part, quiet_seconds: secondsOf(text) })}
      />
      <TextField
        label="At most, seconds"
        type="number"
        placeholder="as above"
        value={textOf(part.maximum_wait_seconds)}
        onValue={(text) => change({ ...part, maximum_wait_seconds: secondsOf(text) })}
      />
      <div class="pb-2">
        <Tick
          label="ready when every view is here"
          value={part.by_content}
          onValue={(by_content) => change({ ...part, by_content })}
        />
      </div>
      <button type="button" class="toggle" onClick={remove}>
        Remove
      </button>
    </div>
  );
}

export function WaitsOfStudies({ waits, changed }: { waits: Waits; changed: () => void }) {
  const [draft, setDraft] = useState(waits);
  const door = useProposal(changed);
  useEffect(() => setDraft(waits), [JSON.stringify(waits)]);
  const setPart = (at: number, part: PartWait) =>
    setDraft({ ...draft, waits: draft.waits.map((each, number) => (number === at ? part : each)) });
  const drop = (at: number) => setDraft({ ...draft, waits: draft.waits.filter((_, number) => number !== at) });
  const submit = (event: Event) => {
    event.preventDefault();
    door.propose({ subject: "institution", name: "", value: { ...draft } });
  };
  return (
    <section class="panel p-4">
      <h2 class="mb-3 font-semibold">How long a study waits for further views</h2>
      <form class="grid gap-3" onSubmit={submit}>
        <div class="grid gap-3 sm:grid-cols-[1fr_1fr_1fr]">
          <TextField
            label="Until it has been quiet for, seconds"
            type="number"
            required
            value={String(draft.quiet_seconds)}
            onValue={(text) => setDraft({ ...draft, quiet_seconds: Number(text) })}
          />
          <TextField
            label="At most, seconds"
            type="number"
            required
            value={String(draft.maximum_wait_seconds)}
            onValue={(text) => setDraft({ ...draft, maximum_wait_seconds: Number(text) })}
          />
        </div>
        {draft.waits.map((part, number) => (
          <Part key={number} part={part} change={(changed) => setPart(number, changed)} remove={() => drop(number)} />
        ))}
        <div class="flex gap-2">
          <button
            type="button"
            class="button"
            onClick={() => setDraft({ ...draft, waits: [...draft.waits, NEW_PART] })}
          >
            Add a body part
          </button>
          <button type="submit" class="button">
            Show the change
          </button>
        </div>
      </form>
      <Confirmation door={door} />
    </section>
  );
}
