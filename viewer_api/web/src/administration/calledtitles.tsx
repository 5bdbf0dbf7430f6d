import { useEffect, useState } from "preact/hooks";
import { TextField } from "../components/field";
import { Confirmation, useProposal } from "./proposal";

export function CalledTitles({ titles, changed }: { titles: string[]; changed: () => void }) {
  const [text, setText] = useState(titles.join(", "));
  const door = useProposal(changed);
  useEffect(() => setText(titles.join(", ")), [titles]);
  const submit = (event: Event) => {
    event.preventDefault();
    const wanted = text
      .split(",")
      .map((title) => title.trim())
      .filter(Boolean);
    door.propose({ subject: "institution", name: "", value: { called_ae_titles: wanted } });
  };
  return (
    <section class="panel p-4">
      <h2 class="mb-3 font-semibold">AE titles of this institution</h2>
      <form class="flex items-end gap-3" onSubmit={submit}>
        <div class="max-w-md flex-1">
          <TextField label="Modalities call the node as (separate several by commas)" value={text} onValue={setText} />
        </div>
        <button type="submit" class="button">
          Show the change
        </button>
      </form>
      <Confirmation door={door} />
    </section>
  );
}
