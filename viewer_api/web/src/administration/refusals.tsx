// Whether studies that are not reconstructed get a report and a picture that say why.

import { useEffect, useState } from "preact/hooks";
import { Tick } from "../components/tick";
import { Confirmation, useProposal } from "./proposal";

export function Refusals({ answered, changed }: { answered: boolean; changed: () => void }) {
  const [draft, setDraft] = useState(answered);
  const door = useProposal(changed);
  useEffect(() => setDraft(answered), [answered]);
  const submit = (event: Event) => {
    event.preventDefault();
    door.propose({ subject: "institution", name: "", value: { answers_refusals: draft } });
  };
  return (
    <section class="panel p-4">
      <h2 class="mb-3 font-semibold">Studies that are not reconstructed</h2>
      <form class="flex flex-wrap items-center gap-4" onSubmit={submit}>
        <Tick label="get a report and a picture in the PACS that say why" value={draft} onValue={setDraft} />
        <button type="submit" class="button">
          Show the change
        </button>
      </form>
      <Confirmation door={door} />
    </section>
  );
}
