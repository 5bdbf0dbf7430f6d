// What is to be looked after: silent senders, how long what is kept, quarantine.

import { useEffect, useState } from "preact/hooks";
import { messageOf, post, remove } from "../api";
import { TextField } from "../components/field";
import { Notice } from "../components/notice";
import { useLoaded } from "../hooks";
import type { Quarantined, Retention, Upkeep } from "../types";
import { momentOf, sizeOf } from "../words";
import { Confirmation, useProposal } from "./proposal";

const ADDRESS = "/api/administration/upkeep";
const KEPT: Record<string, string> = {
  keep_images_days: "Images",
  keep_results_days: "Results",
  keep_replaced_results_days: "Replaced results",
  keep_quarantine_days: "Quarantine",
  keep_rejected_attempts_days: "Rejected attempts",
};

function Outlook({ of }: { of: Retention }) {
  if (!of.days) return null;
  return (
    <p class="mt-1 text-xs text-faint">
      {of.going ? `${of.going} go at the next hour, ${sizeOf(of.going_bytes)}.` : "Nothing goes now."}
      {of.held_back.length > 0 && ` Some stay: ${of.held_back.join("; ")}.`}
    </p>
  );
}

function RetentionForm({ retention, changed }: { retention: Retention[]; changed: () => void }) {
  const [days, setDays] = useState<Record<string, number>>({});
  const door = useProposal(changed);
  useEffect(() => setDays(Object.fromEntries(retention.map((each) => [each.entry, each.days]))), [retention]);
  const submit = (event: Event) => {
    event.preventDefault();
    door.propose({ subject: "institution", name: "", value: days });
  };
  return (
    <section class="panel p-4">
      <h2 class="font-semibold">How long what is kept</h2>
      <p class="mb-3 text-sm text-soft">
        In days; 0: for ever. Nothing goes before its results were delivered, and a change takes effect a day later.
      </p>
      <form class="grid items-start gap-3 sm:grid-cols-3" onSubmit={submit}>
        {retention.map((each) => (
          <div key={each.entry}>
            <TextField
              label={KEPT[each.entry] ?? each.entry}
              type="number"
              min="0"
              required
              value={String(days[each.entry] ?? each.days)}
              onValue={(text) => setDays({ ...days, [each.entry]: Number(text) })}
            />
            <Outlook of={each} />
          </div>
        ))}
        <button type="submit" class="button self-end">
          Show the change
        </button>
      </form>
      <Confirmation door={door} />
    </section>
  );
}

interface RowProps {
  file: Quarantined;
  act: (what: Promise<unknown>) => void;
}

function Row({ file, act }: RowProps) {
  const address = `${ADDRESS}/quarantine/${file.id}`;
  const drop = () => {
    if (confirm("Remove this file for good?")) act(remove(address));
  };
  return (
    <tr class="border-t border-line align-top">
      <td class="py-2 pr-4 whitespace-nowrap">
        {momentOf(file.last_received_at)}
        {file.times > 1 && (
          <p class="text-xs text-faint">
            {file.times} times since {momentOf(file.received_at)}
          </p>
        )}
      </td>
      <td class="py-2 pr-4 text-soft">{file.sender}</td>
      <td class="py-2 pr-4 text-soft">{file.reason}</td>
      <td class="py-2 text-right whitespace-nowrap">
        <button type="button" class="toggle" onClick={() => act(post(`${address}/retry`))}>
          Take in again
        </button>
        <a class="toggle" href={address} download>
          Download, {sizeOf(file.size)}
        </a>
        <button type="button" class="toggle" onClick={drop}>
          Remove
        </button>
      </td>
    </tr>
  );
}

function Quarantine({ files, changed }: { files: Quarantined[]; changed: () => void }) {
  const [problem, setProblem] = useState("");
  const act = async (what: Promise<unknown>) => {
    setProblem("");
    try {
      await what;
      changed();
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  return (
    <section class="panel p-4">
      <h2 class="mb-3 font-semibold">Quarantine</h2>
      {problem && <Notice kind="bad">{problem}</Notice>}
      {files.length === 0 && <p class="text-sm text-soft">Everything that was received could be taken in.</p>}
      <div class="overflow-x-auto">
        <table class="w-full text-sm">
          <tbody>
            {files.map((file) => (
              <Row key={file.id} file={file} act={act} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

export function UpkeepOfNode({ round, changed }: { round: number; changed: () => void }) {
  const loaded = useLoaded<Upkeep>(ADDRESS);
  // An undone change may be one of these settings.
  useEffect(() => {
    if (round > 0) loaded.reload();
  }, [round]);
  if (!loaded.value) return loaded.problem ? <Notice kind="bad">{loaded.problem}</Notice> : null;
  const { silent, retention, quarantine } = loaded.value;
  return (
    <>
      {silent.map((sentence) => (
        <Notice key={sentence} kind="warn">
          {sentence}
        </Notice>
      ))}
      <RetentionForm retention={retention} changed={changed} />
      <Quarantine files={quarantine} changed={loaded.reload} />
    </>
  );
}
